"""A folder run among real files: what it takes for inputs, what it never overwrites, who may read what it makes."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from PIL import Image

from mlx_moebius.folder import ledger, review
from mlx_moebius.folder.report import fitted
from mlx_moebius.folder.run import _distinguishable, find_pairs
from mlx_moebius.generate import main
from mlx_moebius.photos.pairing import Pair
from tests.folder.test_batch import draw, draw_mask
from tests.support.command import run
from tests.support.tiny import tiny

FAST = ("--model", tiny(), "--no-detail")


def fill(folder: Path, out: Path, *more: str) -> tuple[int, str]:
    """The exit code and what is said on standard error."""
    ended = run(main, folder, "-o", out, *FAST, *more)
    return ended.returncode, ended.stderr


@pytest.fixture
def wedding(tmp_path: Path) -> Path:
    for index, name in enumerate(("a", "b")):
        draw(tmp_path / "wedding" / f"{name}.jpg", seed=index)
        draw_mask(tmp_path / "wedding" / f"{name}_mask.png")
    return tmp_path / "wedding"


def test_an_emptied_result_is_made_again(wedding: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert fill(wedding, out)[0] == 0
    before = (out / "a.jpg").read_bytes()
    (out / "a.jpg").write_bytes(b"")
    changed = bytearray((out / "b.jpg").read_bytes())
    changed[-20] ^= 1
    (out / "b.jpg").write_bytes(changed)
    status, said = fill(wedding, out)
    assert (status, "2 done (2 in this run" in said) == (0, True)
    assert (out / "a.jpg").read_bytes() == before


def test_what_is_done_is_not_done_again_and_its_thumbnails_are_kept(
    wedding: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    fill(wedding, out)
    page = (out / review.NAME).read_bytes()
    made: list[Path] = []

    def thumbnails(path: Path, _: object) -> list[str]:
        made.append(path)
        return [""]

    monkeypatch.setattr(review, "_thumbnails", thumbnails)
    status, said = fill(wedding, out)
    assert (status, "2 done (0 in this run" in said) == (0, True)
    assert not made
    assert (out / review.NAME).read_bytes() == page


def test_masks_are_not_overwritten_by_results(tmp_path: Path) -> None:
    draw(tmp_path / "wedding" / "a.jpg")
    mask = draw_mask(tmp_path / "masks" / "a.png")
    before = mask.read_bytes()
    status, said = fill(tmp_path / "wedding", tmp_path / "masks", "--mask", str(tmp_path / "masks"))
    assert status == 1
    assert "folder of the masks" in said
    assert mask.read_bytes() == before
    assert list((tmp_path / "masks").iterdir()) == [mask]


def test_a_claimed_folder_that_leads_back_to_the_photos_is_refused(tmp_path: Path) -> None:
    source = draw(tmp_path / "photos" / "inside" / "a.jpg")
    draw_mask(source.with_name("a_mask.png"))
    before = source.read_bytes()
    out = tmp_path / "out"
    out.mkdir()
    (out / ledger.NAME).touch()
    (out / "inside").symlink_to(source.parent)
    status, said = fill(tmp_path / "photos", out, "--recursive")
    assert status == 1
    assert "by another name" in said
    assert source.read_bytes() == before


def test_a_folder_without_masks_is_an_error(tmp_path: Path) -> None:
    draw(tmp_path / "photos" / "a.jpg")
    status, said = fill(tmp_path / "photos", tmp_path / "out")
    assert status == 1
    assert "a_mask.png" in said
    assert not (tmp_path / "out").exists()


def test_results_inside_the_folder_are_no_inputs(wedding: Path) -> None:
    assert fill(wedding, wedding / "finished")[0] == 0
    found = find_pairs(wedding, [], [], wedding / "second", recursive=True, overwrite=False)
    assert [each.name.as_posix() for each in found.pairs] == ["a.jpg", "b.jpg"]


def test_a_photo_that_was_filled_is_no_input_for_a_mask_meant_for_all(wedding: Path, tmp_path: Path) -> None:
    assert run(main, wedding / "a.jpg", "--mask", wedding / "a_mask.png", *FAST).returncode == 0
    assert (wedding / "a_filled.jpg").exists()
    found = find_pairs(wedding, [str(wedding / "a_mask.png")], [], tmp_path / "out", recursive=False, overwrite=False)
    assert [each.name.name for each in found.pairs] == ["a.jpg", "b.jpg"]
    assert [each.name for each in found.results] == ["a_filled.jpg"]
    draw_mask(wedding / "a_filled_mask.png")  # with a mask for itself it is meant
    found = find_pairs(wedding, [], [], tmp_path / "out", recursive=False, overwrite=False)
    assert "a_filled.jpg" in [each.name.name for each in found.pairs]


def test_a_private_folder_stays_private(wedding: Path, tmp_path: Path) -> None:
    for path in wedding.iterdir():
        path.chmod(0o600)
    wedding.chmod(0o700)
    out = tmp_path / "made" / "out"
    assert fill(wedding, out)[0] == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == dict.fromkeys(
        ("a.jpg", "b.jpg", ledger.NAME, review.NAME), 0o600
    )


def test_the_ledger_names_no_folder_of_the_users(wedding: Path, tmp_path: Path) -> None:
    fill(wedding, tmp_path / "out")
    assert str(tmp_path) not in (tmp_path / "out" / ledger.NAME).read_text()
    record = json.loads((tmp_path / "out" / ledger.NAME).read_text().splitlines()[0])
    assert (wedding / record["mask"]).is_file()


def test_names_that_a_disk_cannot_tell_apart_are_one_result_and_one_error(tmp_path: Path) -> None:
    pairs = [Pair(Path("IMG_1.JPG"), None), Pair(Path("img_1.jpg"), None)]
    (tmp_path / ledger.NAME).touch()
    assert _distinguishable(pairs, tmp_path) == pairs
    os.link(tmp_path / ledger.NAME, tmp_path / ledger.NAME.upper())  # as a disk without capitals answers
    first, second = _distinguishable(pairs, tmp_path)
    assert first.problem is None
    assert "cannot tell" in str(second.problem)


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_a_status_line_is_no_wider_than_the_terminal(columns: int) -> None:
    text = "3 of 9 · 2026-06-15 Anna & Tom 教会 0001.jpg, step 3 of 12 · 31.2 photos a minute, 14 s left"
    shown = fitted(text, columns)
    assert len(shown) < columns
    assert shown.endswith("14 s left")
    assert fitted("short", columns) == "short"


def test_thumbnails_come_from_the_page_only_for_the_same_photos(wedding: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(wedding, out)
    Image.new("RGB", (160, 140), "white").save(wedding / "a.jpg")
    fill(wedding, out)
    records = ledger.read(out)
    with review.Thumbnails(out / review.NAME) as page:
        assert all(page.find(record) for record in records.values())
        assert page.find(records["a.jpg"] | {"input_sha256": "0" * 64}) is None
