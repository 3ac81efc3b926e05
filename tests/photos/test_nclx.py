"""Colours that HEIC and AVIF give by numbers keep their meaning; HEIC keeps its chroma."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos import nclx
from mlx_moebius.photos.photo import photo_from_image, read_photo
from mlx_moebius.photos.save import write_photo
from tests.support.pictures import SRGB, picture, saved

pillow_heif.register_heif_opener()


def with_numbers(path: Path, primaries: int, transfer: int) -> Path:
    """A picture whose file gives its colours by these numbers."""
    saved(path, picture("RGB"))
    data = path.read_bytes()
    at = data.index(b"colrnclx") + 8
    path.write_bytes(data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :])
    return path


def seen(icc: bytes, colour: tuple[int, int, int]) -> tuple[int, ...]:
    """A colour of the profile, in sRGB."""
    image = Image.new("RGB", (1, 1), colour)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    shown = ImageCms.profileToProfile(
        image, profile, ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    assert shown is not None
    return tuple(np.asarray(shown)[0, 0].tolist())


def p3_in_srgb(*colour: int) -> list[int]:
    """A Display P3 colour in sRGB, by the matrix between their linear values (same white, no profile in between)."""
    matrix = np.array([[1.2249, -0.2249, 0.0], [-0.0420, 1.0420, 0.0], [-0.0196, -0.0786, 1.0982]])
    linear = matrix @ ((np.array(colour) / 255 + 0.055) / 1.055) ** 2.4
    return [round(value) for value in (1.055 * linear ** (1 / 2.4) - 0.055) * 255]


@pytest.mark.parametrize("extension", ["heic", "avif"])
@pytest.mark.parametrize("output", ["heic", "avif", "jpg", "png"])
def test_display_p3_stays_display_p3(tmp_path: Path, extension: str, output: str) -> None:
    photo = read_photo(with_numbers(tmp_path / f"a.{extension}", 12, 13))
    assert photo.notes == ()
    write_photo(photo, tmp_path / f"b.{output}")
    icc = read_photo(tmp_path / f"b.{output}").metadata.icc
    assert icc == photo.metadata.icc
    assert np.abs(np.subtract(seen(icc, (180, 120, 90)), p3_in_srgb(180, 120, 90))).max() <= 1
    assert np.abs(np.subtract(seen(icc, (128, 128, 128)), (128, 128, 128))).max() <= 1


def test_a_profile_of_srgbs_numbers_is_srgb() -> None:
    icc = nclx.profile(1, 4)
    assert icc
    assert np.abs(np.subtract(seen(icc, (255, 0, 0)), (255, 0, 0))).max() <= 1
    columns, _ = nclx._to_d50(1)
    expected = [[0.4360, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]]  # of the sRGB profile
    assert np.abs(columns - expected).max() < 1e-3


@pytest.mark.parametrize("extension", ["heic", "avif"])
def test_srgb_needs_no_profile_and_a_profile_comes_first(tmp_path: Path, extension: str) -> None:
    assert read_photo(with_numbers(tmp_path / f"a.{extension}", 1, 13)).metadata.icc == b""
    saved(tmp_path / f"b.{extension}", picture("RGB"), icc_profile=SRGB)
    assert read_photo(tmp_path / f"b.{extension}").metadata.icc == SRGB


@pytest.mark.parametrize("extension", ["heic", "avif"])
@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_in_one_line(tmp_path: Path, extension: str, transfer: int, name: str) -> None:
    path = with_numbers(tmp_path / f"a.{extension}", 9, transfer)
    with pytest.raises(MoebiusError, match=f"HDR picture .{name} curve.*export it as SDR") as caught:
        read_photo(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_unknown_numbers_are_said(tmp_path: Path) -> None:
    photo = read_photo(with_numbers(tmp_path / "a.avif", 10, 17))
    assert "unknown numbers" in photo.notes[0]
    assert photo.metadata.icc == b""


@pytest.mark.parametrize("chroma", [420, 422, 444])
def test_heic_keeps_its_chroma(tmp_path: Path, chroma: int) -> None:
    write_photo(read_photo(saved(tmp_path / "a.heic", picture("RGB"), chroma=chroma)), tmp_path / "b.heic")
    with Image.open(tmp_path / "b.heic") as image:
        assert image.info["chroma"] == chroma


def test_heic_from_another_format_is_what_every_viewer_opens(tmp_path: Path) -> None:
    write_photo(photo_from_image(picture("RGB")), tmp_path / "b.heic")
    with Image.open(tmp_path / "b.heic") as image:
        assert image.info["chroma"] == 420
