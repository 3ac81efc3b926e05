"""A fill repeated from its record, byte for byte or with a reason; the same photo alone and in a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mlx_moebius import generate
from mlx_moebius.models.cache import BUNDLED
from mlx_moebius.photos.photo import read_photo, read_provenance
from mlx_moebius.photos.save import write_photo
from tests.support.command import Ended, run
from tests.support.pictures import picture

FAST = ("--steps", "2", "--guidance", "1", "--no-detail")


def fill(*words: str | Path) -> Ended:
    ended = run(generate.main, *words)
    assert ended.returncode == 0, ended.stderr
    return ended


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photo with two holes so far apart that each has its window."""
    picture("RGB", 420, 200).save(tmp_path / "photo.jpg")
    mask = np.zeros((200, 420), np.uint8)
    mask[90:110, 40:60] = mask[80:100, 360:380] = 255
    Image.fromarray(mask).save(tmp_path / "photo_mask.png")
    return tmp_path / "photo.jpg"


def with_record(path: Path, **changed: Any) -> Path:
    """A copy of a filled file whose record says something else."""
    copy = path.with_name("changed" + path.suffix)
    write_photo(read_photo(path), copy, provenance=(read_provenance(path) or {}) | changed)
    return copy


@pytest.mark.slow
def test_what_decides_the_bytes_is_recorded_and_repeated(photo: Path) -> None:
    mask = photo.with_name("photo_mask.png")
    first, again = photo.with_name("first.jpg"), photo.with_name("again.jpg")
    fill(photo, "--mask", mask, "--model", "nano", *FAST, "--quality", "60", "--dtype", "float16", "-o", first)
    ended = fill(photo, "--mask", mask, "--from-metadata", first, "-o", again)
    assert first.read_bytes() == again.read_bytes()
    assert "may differ" not in ended.stderr
    plain = photo.with_name("plain.jpg")
    fill(photo, "--mask", mask, "--model", "nano", *FAST, "-o", plain)
    assert plain.read_bytes() != first.read_bytes()
    other = with_record(first, mlx="0.1", device="abacus")
    ended = fill(photo, "--mask", mask, "--from-metadata", other, "-o", photo.with_name("other.jpg"))
    assert "MLX was 0.1, is " in ended.stderr
    assert "the device was abacus, is cpu" in ended.stderr


@pytest.mark.slow
def test_another_model_of_the_name_is_an_error(photo: Path) -> None:
    hole, filled = ("--mask-from", "40,90,20,20"), photo.with_name("filled.png")
    fill(photo, *hole, "--model", "nano", *FAST, "-o", filled)
    for name in ("unet_sha256", "vae_sha256"):
        other = with_record(filled, **{name: "ab" * 32})
        ended = run(generate.main, photo, *hole, "--from-metadata", other, "-o", photo.with_name("no.png"))
        assert ended.returncode == 1
        assert "another model called 'nano'" in ended.stderr
        assert "abababababab..." in ended.stderr
        assert ended.stderr.count("\n") == 1
        fill(photo, *hole, "--from-metadata", other, "--model", "nano", "-o", photo.with_name("asked.png"))
        photo.with_name("asked.png").unlink()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_photo_comes_out_the_same_alone_and_in_a_folder(photo: Path, dtype: str) -> None:
    folder = photo.with_name("wedding")
    folder.mkdir()
    for number in range(3):
        shutil.copy(photo.with_name("photo_mask.png"), folder / f"{number}_mask.png")
        picture("RGB", 420, 200, number).save(folder / f"{number}.png")
    words = ("--model", "nano", *FAST, "--dtype", dtype)
    fill(folder, *words, "-o", photo.with_name("finished"))
    records = [json.loads(line) for line in (photo.with_name("finished") / "moebius.jsonl").read_text().splitlines()]
    assert [record["windows"] for record in records] == [2, 2, 2]
    for number in (0, 2):
        alone = photo.with_name(f"{number}.png")
        fill(folder / f"{number}.png", "--mask", folder / f"{number}_mask.png", *words, "-o", alone)
        assert alone.read_bytes() == (photo.with_name("finished") / alone.name).read_bytes()
    assert BUNDLED["nano"].name == read_provenance(alone)["model"]  # type: ignore[index]
