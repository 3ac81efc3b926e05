"""Photos named one by one: where their masks are looked for, where results go, what is never overwritten."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from PIL import Image

from mlx_moebius import generate
from mlx_moebius.generate import main
from mlx_moebius.photos import save
from tests.folder.test_batch import draw, draw_mask
from tests.support.command import Ended, run

FAST = ("--model", "nano", "--no-detail")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with two photos and their masks."""
    for index, name in enumerate(("a", "b")):
        draw(tmp_path / f"{name}.jpg", seed=index)
        draw_mask(tmp_path / f"{name}_mask.png")
    return tmp_path


def fill(here: Path, *words: str) -> Ended:
    return run(main, *words, *FAST, cwd=here)


def test_the_mask_beside_a_photo_is_found(here: Path) -> None:
    assert fill(here, "a.jpg").returncode == 0
    (here / "a_mask.png").unlink()
    (here / "A_MASK.PNG").symlink_to("b_mask.png")
    assert fill(here, "a.jpg", "--overwrite").returncode == 0
    (here / "A_MASK.PNG").unlink()
    ended = fill(here, "a.jpg", "--overwrite")
    assert ended.returncode == 1
    assert "a_mask.png beside it" in ended.stderr


@pytest.mark.parametrize("out", ["made/inside", "there", "."])
def test_an_output_may_be_a_folder(here: Path, out: str) -> None:
    (here / "there").mkdir()
    ended = fill(here, "a.jpg", "-o", out)
    assert ended.returncode == 0, ended.stderr
    assert (here / out / "a_filled.jpg").is_file()


def test_several_photos_are_filled_and_one_bad_one_stops_none(here: Path) -> None:
    (here / "bad.jpg").write_bytes(b"no picture")
    draw_mask(here / "bad_mask.png")
    ended = fill(here, "a.jpg", "bad.jpg", "b.jpg")
    assert ended.returncode == 1
    assert "bad.jpg" in ended.stderr
    assert "1 of 3" in ended.stderr
    assert {path.name for path in here.glob("*_filled.jpg")} == {"a_filled.jpg", "b_filled.jpg"}
    ended = fill(here, "a.jpg", "b.jpg", "-o", "out")
    assert (ended.returncode, len(list((here / "out").iterdir()))) == (0, 2)


def test_the_photo_itself_is_never_the_output(here: Path) -> None:
    before = (here / "a.jpg").read_bytes()
    os.link(here / "a.jpg", here / "other.jpg")
    (here / "link.jpg").symlink_to("a.jpg")
    for name in ("a.jpg", "other.jpg", "link.jpg"):
        ended = fill(here, "a.jpg", "-o", name, "--overwrite")
        assert (ended.returncode, "photo itself" in ended.stderr) == (1, True)
    ended = fill(here, "a.jpg", "-o", "out.jpg", "--save-mask", "link.jpg", "--overwrite")
    assert ended.returncode == 1
    assert (here / "a.jpg").read_bytes() == before
    assert not (here / "out.jpg").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-o", "same.png", "--save-mask", "same.png"), "both"),
        (("-o", "same.png", "--save-mask", "./SAME.png"), "both"),
        (("-o", "out.png", "--save-mask", "nowhere/mask.png"), "does not exist"),
    ],
)
def test_outputs_are_checked_before_the_work(here: Path, words: tuple[str, ...], said: str) -> None:
    ended = fill(here, "a.jpg", *words)
    assert (ended.returncode, said in ended.stderr) == (1, True)
    assert not [path for path in here.rglob("*.png") if "_mask" not in path.name]


def test_a_file_saved_meanwhile_is_kept(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = save.write_photo

    def later(*positional: object, **named: object) -> list[str]:
        (here / "out.jpg").write_text("saved meanwhile")
        return written(*positional, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(generate, "write_photo", later)
    ended = fill(here, "a.jpg", "-o", "out.jpg")
    assert (ended.returncode, "meanwhile" in ended.stderr) == (1, True)
    assert (here / "out.jpg").read_text() == "saved meanwhile"


def test_a_sheet_and_a_mask_are_as_private_as_the_photo(here: Path) -> None:
    (here / "a.jpg").chmod(0o600)
    assert fill(here, "a.jpg", "--seeds", "2").returncode == 0
    assert fill(here, "a.jpg", "--save-mask", "saved.png").returncode == 0
    for name in ("a_seeds.png", "saved.png", "a_filled.jpg"):
        assert stat.S_IMODE((here / name).stat().st_mode) == 0o600, name
    assert Image.open(here / "saved.png").mode == "L"
