"""`mlx_moebius.fill`: from file to file, with all that the file carried."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import mlx_moebius
from mlx_moebius import MoebiusError, MoebiusPipeline, read_photo
from mlx_moebius.generate import app
from mlx_moebius.photos.photo import read_provenance
from tests.support.pictures import SRGB, camera_exif, fields_of, picture, saved

HASTY: dict[str, Any] = {"num_steps": 1, "detail": False}


@pytest.fixture(scope="module")
def nano() -> MoebiusPipeline:
    return MoebiusPipeline.from_pretrained("nano")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    exif = b"Exif\0\0" + camera_exif()
    return saved(tmp_path / "photo.jpg", picture("RGB"), quality=83, exif=exif, icc_profile=SRGB)


@pytest.fixture
def hole() -> np.ndarray[Any, Any]:
    hole = np.zeros((61, 83), bool)
    hole[20:32, 30:48] = True
    return hole


def test_the_file_keeps_what_it_carried_and_is_the_command_lines(tmp_path: Path, photo: Path) -> None:
    mask = saved(tmp_path / "mask.png", Image.fromarray(np.pad(np.full((9, 9), 255, np.uint8), ((20, 32), (30, 44)))))
    out = mlx_moebius.fill(str(photo), str(mask), str(tmp_path / "out.jpg"), model="nano", seed=3)
    assert out == tmp_path / "out.jpg"
    before, after = Image.open(photo), Image.open(out)
    assert after.quantization == before.quantization  # type: ignore[attr-defined]
    assert after.info["icc_profile"] == SRGB
    assert fields_of(out)[0x010F] == fields_of(photo)[0x010F]
    recorded = read_provenance(out)
    assert recorded is not None
    assert (recorded["model"], recorded["settings"]["seed"]) == ("nano", 3)
    other = tmp_path / "cli.jpg"
    run = CliRunner().invoke(app, [str(photo), "-m", str(mask), "--model", "nano", "--seed", "3", "-o", str(other)])
    assert run.exit_code == 0, run.output
    assert out.read_bytes() == other.read_bytes()


def test_sixteen_bits_stay_sixteen(nano: MoebiusPipeline, tmp_path: Path, hole: np.ndarray[Any, Any]) -> None:
    photo = saved(tmp_path / "photo.png", picture("I;16"))
    mlx_moebius.fill(photo, hole, tmp_path / "out.png", model=nano, **HASTY)
    before, after = read_photo(photo), read_photo(tmp_path / "out.png")
    assert after.mode == "I;16"
    assert np.array_equal(after.pixels[:10], before.pixels[:10])
    assert not np.array_equal(after.pixels[hole], before.pixels[hole])


def test_nothing_is_overwritten_unless_asked(nano: MoebiusPipeline, photo: Path, hole: np.ndarray[Any, Any]) -> None:
    out = mlx_moebius.fill(photo, hole, model=nano, metadata=False, **HASTY)
    assert out == photo.with_name("photo_filled.jpg")
    assert read_provenance(out) is None
    first = out.read_bytes()
    with pytest.raises(MoebiusError, match=r"photo_filled.jpg exists: choose another name or overwrite=True"):
        mlx_moebius.fill(photo, hole, model=nano, **HASTY)
    assert out.read_bytes() == first
    mlx_moebius.fill(photo, hole, model=nano, overwrite=True, seed=5, **HASTY)
    assert out.read_bytes() != first


def test_what_cannot_be_meant_is_refused_before_any_work(photo: Path, hole: np.ndarray[Any, Any]) -> None:
    """With a model that is not there: it would be looked for only after these."""
    call: Any = mlx_moebius.fill
    for given, said in (
        ({"mask": ~hole}, r"would be filled .*: large=True if that is meant or invert=True if the rest is meant"),
        ({"mask": hole & False}, "is empty"),
        ({}, "no mask"),
        ({"mask": hole, "steps": 3}, r"no parameter 'steps': did you mean num_steps\?"),
        (
            {"mask": hole, "max_pixels": 1000},
            r"the limit is 0.0 \(as asked for\): reduce or split it or raise max_pixels",
        ),
        ({"mask": hole, "output": "out.xyz"}, "the extension must be one of"),
    ):
        with pytest.raises(MoebiusError, match=said):
            call(photo, model="no such model", **given)
    assert [path.name for path in photo.parent.iterdir()] == ["photo.jpg"]


def test_masks_and_boxes_are_united_and_the_frame_is_extended(
    nano: MoebiusPipeline, photo: Path, hole: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    settings = nano.settings(dilate=0, **HASTY)
    parts: list[Any] = [hole & (np.arange(83) < 38), Image.fromarray(hole & (np.arange(83) >= 38))]
    both = mlx_moebius.fill(photo, parts, tmp_path / "both.png", model=nano, settings=settings)
    box = mlx_moebius.fill(photo, None, tmp_path / "box.png", model=nano, boxes=["30,20,18,12"], settings=settings)
    assert np.array_equal(read_photo(both).pixels, read_photo(box).pixels)
    wider = mlx_moebius.fill(photo, None, tmp_path / "wide.png", model=nano, extend=(8, 0, 0, 0), **HASTY)
    assert np.array_equal(read_photo(wider).pixels[:, 8:], read_photo(photo).pixels)


def test_what_the_format_cannot_keep_is_a_warning(
    nano: MoebiusPipeline, photo: Path, hole: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="BMP holds no metadata"):
        mlx_moebius.fill(photo, hole, tmp_path / "out.bmp", model=nano, **HASTY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mlx_moebius.fill(photo, hole, tmp_path / "out.png", model=nano, **HASTY)
