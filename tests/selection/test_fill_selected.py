"""Filling what is selected: from the command line, in a folder, in Python; and again from the record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mlx_moebius
from mlx_moebius import generate
from mlx_moebius.photos.photo import read_provenance
from tests.support.command import run

from .scenes import sky, with_ball

FAST = ("--model", "nano", "--steps", "1", "--guidance", "1", "--no-detail", "--quality", "95")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "ball.png"
    Image.fromarray(with_ball(150, 210)[0]).save(path)
    return path


def test_what_is_selected_is_filled_recorded_and_repeated(photo: Path) -> None:
    first, again = photo.with_name("first.png"), photo.with_name("again.png")
    ended = run(generate.main, photo, "--select", "box:60,18,108,108", *FAST, "-o", first)
    assert ended.returncode == 0, ended.stderr
    before, after = (np.asarray(Image.open(path)).astype(int) for path in (photo, first))
    ball = with_ball(150, 210)[1]
    assert (before != after)[ball].any(axis=-1).mean() > 0.95
    assert (after[ball].mean(axis=0)[0]) < 150  # no red is left
    assert not (before != after)[:5].any()
    assert (read_provenance(first) or {})["selected"] == ["box:60,18,108,108"]
    ended = run(generate.main, photo, "--from-metadata", first, "-o", again)
    assert ended.returncode == 0, ended.stderr
    assert first.read_bytes() == again.read_bytes()


def test_python_selects_too(photo: Path) -> None:
    out = mlx_moebius.fill(photo, select=["box:60,18,108,108"], model="nano", num_steps=1, guidance_scale=1)
    assert (read_provenance(out) or {})["selected"] == ["box:60,18,108,108"]


def test_in_a_folder_photos_without_dust_stay_as_they_are(tmp_path: Path) -> None:
    album = tmp_path / "album"
    album.mkdir()
    for name in ("clean", "dusty"):
        rgb = sky(120, 160)
        if name == "dusty":
            rgb[60:65, 80:84] = 20
        Image.fromarray(rgb).save(album / f"{name}.png")
    ended = run(generate.main, album, "--select", "dust", *FAST, "--dry-run")
    assert ended.stdout.splitlines()[0] == "clean.png + dust: nothing is there"
    assert ended.stdout.splitlines()[1].startswith("dusty.png + dust: 1 window")
    ended = run(generate.main, album, "--select", "dust", *FAST, "--json")
    assert ended.returncode == 0, ended.stderr
    assert [file.name for file in sorted((tmp_path / "album_filled").glob("*.png"))] == ["dusty.png"]
    filled = np.asarray(Image.open(tmp_path / "album_filled" / "dusty.png"))
    assert filled[62, 82].min() > 60
    assert (read_provenance(tmp_path / "album_filled" / "dusty.png") or {})["selected"] == ["dust"]
    assert all(json.loads(line) for line in ended.stdout.splitlines())
    record = tmp_path / "album_filled" / "dusty.png"
    ended = run(generate.main, album, "--from-metadata", record, "-o", tmp_path / "again")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "again" / "dusty.png").read_bytes() == record.read_bytes()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--select", "everything"], "'everything' cannot be selected: there are box, lasso,"),
        (["--select", "dust"], "there is no dust in"),
        (["--select", "nowhere/m.png"], "'nowhere/m.png' is the name of a file: give it as the mask"),
    ],
)
def test_what_cannot_be_selected_is_said(tmp_path: Path, words: list[str], sentence: str) -> None:
    Image.new("RGB", (80, 60), (120, 140, 160)).save(tmp_path / "plain.png")
    ended = run(generate.main, tmp_path / "plain.png", *words, *FAST)
    assert ended.returncode == 1
    assert sentence in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["plain.png"]
