"""A folder run takes what photos hide from the shots that were taken shortly before and after."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlx_moebius import generate
from mlx_moebius.alignment.neighbours import neighbours
from tests.support.command import run
from tests.support.series import Series, make_series


def dated(path: Path, time: str, focal: float = 35.0) -> Path:
    """Write a time and a focal length into a photo's EXIF."""
    image = Image.open(path)
    image.load()
    exif = Image.Exif()
    exif[0x0110] = "a camera"
    exif.get_ifd(0x8769).update({0x9003: f"2026:05:02 {time}", 0x920A: focal})
    image.save(path, exif=exif)
    return path


@pytest.fixture
def wedding(tmp_path: Path) -> Series:
    series = make_series(tmp_path / "wedding")
    for path, time in zip([series.photo, *series.others], ("15:00:00", "15:00:40", "15:02:00"), strict=True):
        dated(path, time)
    return series


def test_neighbours_are_near_in_time_and_held_the_same_way(tmp_path: Path) -> None:
    names = ("own", "near", "nearer", "late", "tele", "tall", "undated")
    files = {name: tmp_path / f"{name}.jpg" for name in names}
    for name, path in files.items():
        Image.new("RGB", (40, 60) if name == "tall" else (60, 40), "grey").save(path)
    times = {"own": "15:00:00", "near": "15:01:00", "nearer": "14:59:50", "late": "15:30:00", "tall": "15:00:01"}
    for name, time in times.items():
        dated(files[name], time)
    dated(files["tele"], "15:00:02", focal=200.0)
    others = [path for name, path in files.items() if name != "own"]
    assert [path.stem for path in neighbours(files["own"], others)] == ["nearer", "near"]


@pytest.mark.slow
def test_a_folder_is_filled_from_neighbours_and_says_so(wedding: Series) -> None:
    folder = wedding.photo.parent
    words = (folder, "--model", "nano", "--no-detail", "--from-neighbours", "--json")
    ended = run(generate.main, *words)
    assert ended.returncode == 0, ended.stderr
    out = folder.with_name("wedding_filled")
    assert wedding.psnr(out / "0.png") > 36
    lines = {line["input"]: line for line in map(json.loads, (out / "moebius.jsonl").read_text().splitlines())}
    shots = lines["0.png"]["shots"]
    assert {shot["file"] for shot in shots} == {"1.png", "2.png"}
    assert sum(shot["share"] for shot in shots) > 0.98
    assert "of the hole taken, error" in (out / "review.html").read_text()
    again = run(generate.main, *words)
    assert again.stdout.count('"skipped"') == 3

    by_record = (folder, "--model", "nano", "--no-detail", "--json", "--from-metadata", out / "0.png", "-o")
    repeated = run(generate.main, *by_record, folder.with_name("again"))
    assert repeated.returncode == 0, repeated.stderr
    assert (folder.with_name("again") / "0.png").read_bytes() == (out / "0.png").read_bytes()
    aside = wedding.others[1].rename(folder.with_name("2.png"))
    refused = run(generate.main, *by_record, folder.with_name("third"))
    assert refused.returncode != 0
    assert "was filled from 2.png, which is not in" in refused.stderr
    assert not folder.with_name("third").exists()
    aside.rename(wedding.others[1])
    changed = np.asarray(Image.open(wedding.others[0])).copy()
    changed[:5] = 0
    Image.fromarray(changed).save(wedding.others[0])
    dated(wedding.others[0], "15:00:40")
    again = run(generate.main, *words)
    assert again.stdout.count('"skipped"') == 0  # it is in what each of them was filled from
