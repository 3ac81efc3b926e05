"""TIFF files as software writes them that few test with: BigTIFF, extra channels, fields of a wrong type."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from mlx_moebius.photos import metadata
from mlx_moebius.photos.metadata import Field
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.photos.save import write_photo
from tests.support.pictures import PROVENANCE, SRGB, camera_exif, fields_of, picture, saved, text

ICC, X_RESOLUTION, Y_RESOLUTION, NEW_SUBFILE_TYPE = 34675, 282, 283, 254
RATIONAL, DOUBLE = 5, 12


def test_a_big_tiffs_caption_and_artist_are_kept(tmp_path: Path) -> None:
    source, target = tmp_path / "a.tif", tmp_path / "b.tif"
    artist = (315, 2, 0, "Ada, who was there", True)
    tifffile.imwrite(
        source, np.asarray(picture("RGB")), bigtiff=True, extratags=[artist], metadata=None, photometric="rgb",
        description="On the beach", iccprofile=SRGB,
    )  # fmt: skip
    photo = read_photo(source)
    assert photo.notes == ()
    write_photo(photo, target, provenance=PROVENANCE)
    fields = fields_of(target)
    assert text(fields, 0x010E) == b"On the beach"
    assert text(fields, 0x013B) == b"Ada, who was there"
    np.testing.assert_array_equal(read_photo(target).pixels, np.asarray(picture("RGB")))


def test_a_big_tiffs_exposure_is_kept(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.tif", picture("RGB"), exif=camera_exif(), big_tiff=True)
    assert source.read_bytes()[:3] == b"II+"
    write_photo(read_photo(source), tmp_path / "b.jpg")
    details: Any = fields_of(tmp_path / "b.jpg")[metadata.EXIF_IFD]
    assert details[0x829A] == Field(RATIONAL, (1).to_bytes(4, "little") + (125).to_bytes(4, "little"))


@pytest.mark.parametrize(
    ("mode", "photometric", "extra", "said"),
    [
        ("RGB", "rgb", ["unspecified"], "its extra channel (a saved selection) was left out"),
        ("RGB", "rgb", ["unspecified"] * 2, "its 2 extra channels (saved selections) were left out"),
        ("RGBA", "rgb", ["unassalpha", "unspecified"], "its extra channel (a saved selection) was left out"),
        ("CMYK", "separated", ["unspecified"], "its extra channel (a spot colour) was left out"),
        ("RGBA", "rgb", ["unassalpha"], None),
        ("CMYK", "separated", None, None),
    ],
)
def test_extra_channels_are_named(
    tmp_path: Path, mode: str, photometric: str, extra: list[str] | None, said: str | None
) -> None:
    own = np.asarray(picture(mode)).reshape(61, 83, -1)
    others = max(0, len(extra or ()) - (mode == "RGBA"))
    channels = np.concatenate([own, np.full((61, 83, others), 77, np.uint8)], axis=-1)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, channels, photometric=photometric, planarconfig="contig", extrasamples=extra, metadata=None)
    photo = read_photo(path)
    assert photo.notes == ((f"{path}: {said}",) if said else ())
    assert photo.mode == mode
    np.testing.assert_array_equal(photo.pixels.reshape(own.shape), own)


def test_a_microscopes_resolution_is_kept_where_it_can_be(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.tif", picture("RGB"), dpi=(254_000, 254_000))
    photo = read_photo(source)
    for extension in ("tif", "png"):
        assert write_photo(photo, tmp_path / f"b.{extension}") == []
        dpi = read_photo(tmp_path / f"b.{extension}").metadata.dpi
        assert dpi is not None
        assert round(float(dpi[0])) == 254_000
    said = "JPEG holds no resolution above 65535 dpi; it was left out"
    assert write_photo(photo, tmp_path / "b.jpg") == [f"{tmp_path}/b.jpg: {said}"]


@pytest.mark.parametrize(
    ("tag", "field", "lost"),
    [
        (X_RESOLUTION, Field(metadata.BYTE, b"300 dpi"), "resolution"),
        (X_RESOLUTION, Field(metadata.ASCII, b"300 dpi\0"), "resolution"),
        (Y_RESOLUTION, Field(RATIONAL, bytes(8)), "resolution"),
        (Y_RESOLUTION, Field(DOUBLE, bytes(6) + b"\xf0\x7f"), "resolution"),
        (X_RESOLUTION, Field(metadata.LONG, b"\xff" * 4), "resolution"),
        (ICC, Field(metadata.LONG, b"\1\0\0\0"), "ICC profile"),
        (ICC, Field(metadata.ASCII, b"sRGB IEC61966-2.1\0"), "ICC profile"),
        (metadata.XMP_PACKET, Field(metadata.SHORT, b"<\0x\0"), "XMP"),
        (metadata.XMP_PACKET, Field(metadata.LONG, b"<x/>"), "XMP"),
        (NEW_SUBFILE_TYPE, Field(metadata.ASCII, b"photo\0"), None),
    ],
)
def test_fields_of_a_wrong_type_are_left_out(tmp_path: Path, tag: int, field: Field, lost: str | None) -> None:
    buffer = io.BytesIO()
    picture("RGB").save(buffer, "TIFF", resolution=72)
    path = tmp_path / "a.tif"
    path.write_bytes(metadata.edit_fields(buffer.getvalue(), {tag: field}))
    photo = read_photo(path)
    assert photo.notes == ((f"{path}: its {lost} cannot be read and was left out",) if lost else ())
    for extension in ("tif", "jpg", "png", "webp"):
        assert write_photo(photo, tmp_path / f"b.{extension}", provenance=PROVENANCE) == []
        assert read_photo(tmp_path / f"b.{extension}").notes == ()
