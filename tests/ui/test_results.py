"""Results of a folder's photo: all are kept, the chosen one is the file, and without a choice there is none."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mlx_moebius.folder import ledger
from mlx_moebius.generate import main
from mlx_moebius.ui import launch
from tests.support.command import run
from tests.support.visitor import QUICK, Visitor, brush
from tests.ui.stage import PHOTO


def fill(visitor: Visitor, photo: dict[str, Any], **options: Any) -> list[int]:
    asked = {"strokes": [brush((20, 20), (40, 30))], "on": 0} | QUICK | options
    answer = visitor.post(f"/api/series/{photo['id']}/queue", json=asked)
    assert answer.status_code == 202, answer.text
    ended = visitor.ended(answer.json())
    assert ended["state"] == "done", ended["error"]
    return list(ended["versions"])


def go_to(visitor: Visitor, photo: dict[str, Any], number: int) -> None:
    answer = visitor.post(f"/api/photos/{photo['id']}/current", json={"version": number})
    assert answer.status_code == 200, answer.text


def small_photo(path: Path) -> Path:
    Image.open(PHOTO).convert("RGB").crop((100, 100, 196, 196)).save(path)
    return path


def folder_of_one(tmp_path: Path) -> tuple[Path, Path]:
    folder = tmp_path / "wedding"
    folder.mkdir()
    small_photo(folder / "1.png")
    return folder, tmp_path / "finished"


@pytest.mark.slow
def test_every_result_is_kept_and_the_chosen_one_is_the_file(tmp_path: Path) -> None:
    folder, out = folder_of_one(tmp_path)
    file, mask = out / "1.png", out / "masks" / "1_mask.png"
    with launch("nano", folder=folder, output=out) as server:
        visitor = Visitor(server)
        [photo] = visitor.get("/api/series").json()["items"]
        [first] = fill(visitor, photo)
        one = file.read_bytes()
        [second] = fill(visitor, photo, seed=7)
        other = file.read_bytes()
        assert one != other
        go_to(visitor, photo, first)
        assert file.read_bytes() == one
        assert ledger.read(out)["1.png"]["seed"] == 0
        (out / ledger.NAME).chmod(0o600)
        go_to(visitor, photo, 0)
        assert not file.exists()
        assert not mask.exists()
        assert ledger.read(out) == {}
        assert stat.S_IMODE((out / ledger.NAME).stat().st_mode) == 0o600

    with launch("nano", folder=folder, output=out) as server:
        visitor = Visitor(server)
        [photo] = visitor.get("/api/series").json()["items"]
        assert photo["state"] == "todo"
        assert [version["id"] for version in visitor.photo(photo)["versions"]] == [0, first, second]
        go_to(visitor, photo, second)
        assert file.read_bytes() == other
        made = fill(visitor, photo, count=2, seed=20)
        assert len(made) == 2
        assert file.read_bytes() == other  # until one of them is chosen
        go_to(visitor, photo, made[1])
        assert ledger.read(out)["1.png"]["seed"] == 21
        assert file.read_bytes() not in (one, other)
    again = run(
        main, folder, "-m", out / "masks", "-o", out, "--model", "nano", "--seed", "21", "--no-detail", "--json"
    )
    assert again.returncode == 0, again.stderr
    assert "skipped" in again.stdout


def test_a_result_that_was_changed_elsewhere_is_kept_too(tmp_path: Path) -> None:
    folder, out = folder_of_one(tmp_path)
    with launch("nano", folder=folder, output=out) as server:
        visitor = Visitor(server)
        [photo] = visitor.get("/api/series").json()["items"]
        [first] = fill(visitor, photo)
        made = (out / "1.png").read_bytes()
        (out / "1.png").unlink()
        Image.new("RGB", (96, 96), "red").save(out / "1.png")
        changed = (out / "1.png").read_bytes()
        go_to(visitor, photo, 0)
        assert not (out / "1.png").exists()
        *_, kept = visitor.photo(photo)["versions"]
        go_to(visitor, photo, kept["id"])
        assert (out / "1.png").read_bytes() == changed
        go_to(visitor, photo, first)
        assert (out / "1.png").read_bytes() == made


@pytest.mark.parametrize(("of_folder", "of_photo"), [(0o755, 0o600), (0o700, 0o644)])
def test_what_is_made_of_private_photos_is_private(tmp_path: Path, of_folder: int, of_photo: int) -> None:
    folder, out = folder_of_one(tmp_path)
    small_photo(folder / "2.png")
    for photo in folder.iterdir():
        photo.chmod(of_photo)
    folder.chmod(of_folder)
    with launch("nano", folder=folder, output=out) as server:
        visitor = Visitor(server)
        first, second = visitor.get("/api/series").json()["items"]
        fill(visitor, first)
        visitor.paint(first, brush((10, 10), (20, 20)))
        assert visitor.post(f"/api/series/{second['id']}/skip").status_code == 200
    assert (out / "review.html").is_file()
    assert open_to_others(out) == []


def open_to_others(folder: Path) -> list[Path]:
    """The files that other accounts can get at."""
    if not folder.stat().st_mode & 0o011:
        return []
    inside = sorted(folder.iterdir())
    files = [path for path in inside if path.is_file() and path.stat().st_mode & 0o077]
    return files + [path for below in inside if below.is_dir() for path in open_to_others(below)]
