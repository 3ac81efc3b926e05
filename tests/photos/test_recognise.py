"""Files of real people that are no photo to fill, or are one in spite of what looks wrong."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import PngImagePlugin

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos import metadata
from mlx_moebius.photos.metadata import Field
from mlx_moebius.photos.pairing import pair
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.photos.save import default_output, write_photo
from tests.support.pictures import SRGB, picture, saved


def tiff(**fields: bytes) -> bytes:
    """A TIFF file with further fields, `t254=...` as LONG."""
    picture("RGB").save(buffer := io.BytesIO(), "TIFF")
    extra = {int(name[1:]): Field(metadata.LONG, data) for name, data in fields.items()}
    return metadata.edit_fields(buffer.getvalue(), extra)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.nef", tiff()),
        ("a.tif", tiff(t50706=bytes(4))),
        ("a.tif", tiff(t254=struct.pack("<I", 1), t330=struct.pack("<I", 8))),
        ("a.jpg", b"II*\0\x10\0\0\0CR\2\0" + bytes(100)),
        ("a.jpg", b"FUJIFILMCCD-RAW 0201" + bytes(100)),
        ("a.heic", b"\0\0\0\x18ftypcrx " + bytes(100)),
    ],
)
def test_camera_raw_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MoebiusError, match="camera raw file: develop it first"):
        read_photo(tmp_path / name)


@pytest.mark.parametrize(
    ("head", "named"),
    [
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"GIF89a", "GIF"),
        (b"8BPS\0\1", "Photoshop"),
        (b"MM\0+\0\x08\0\0", "big-endian BigTIFF"),
        (b"\xff\xd8\xff\xe0\0\4ab\xff\xc1\0\x0b\x0c", "12 bits"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, head: bytes, named: str) -> None:
    (tmp_path / "a.jpg").write_bytes(head + bytes(100))
    with pytest.raises(MoebiusError, match=f"{named}.* is not supported: save it as"):
        read_photo(tmp_path / "a.jpg")


@pytest.mark.parametrize("first", ["photo", "thumbnail"])
def test_a_thumbnail_page_is_no_second_picture(tmp_path: Path, first: str) -> None:
    large, small = picture("RGB"), picture("RGB", 16, 12)
    small.encoderinfo = {"tiffinfo": {254: 1}}
    pages: list[Any] = [large, small] if first == "photo" else [small, large]
    options = {"tiffinfo": {254: 1}} if first == "thumbnail" else {}
    large.encoderinfo = {"tiffinfo": {254: 0}}
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:], **options)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, np.asarray(picture("RGB")))
    picture("RGB").save(tmp_path / "b.tif", save_all=True, append_images=[picture("RGB")])
    with pytest.raises(MoebiusError, match="pages"):
        read_photo(tmp_path / "b.tif")


@pytest.mark.parametrize("extension", ["png", "webp", "jpg"])
def test_a_damaged_exif_header_costs_the_exif_alone(tmp_path: Path, extension: str) -> None:
    source = saved(tmp_path / f"a.{extension}", picture("RGB"), exif=b"Exif\0\0XX*\0\x08\0\0\0\0\0\0\0\0\0")
    photo = read_photo(source)
    assert "EXIF is damaged" in photo.notes[0]
    write_photo(photo, default_output(source))
    assert read_photo(default_output(source)).notes == ()


def test_heic_without_exif_has_none_damaged(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    picture("RGB").save(tmp_path / "a.heic")
    assert read_photo(tmp_path / "a.heic").notes == ()


def test_png_with_much_text_is_read(tmp_path: Path) -> None:
    for megabytes, name in ((3, "a.png"), (65, "b.png")):
        info = PngImagePlugin.PngInfo()
        info.add_text("Layers", "x" * (megabytes << 20), zip=True)
        picture("RGB").save(tmp_path / name, pnginfo=info)
    assert read_photo(tmp_path / "a.png").width == 83
    with pytest.raises(MoebiusError, match="64 MB of text"):
        read_photo(tmp_path / "b.png")


@pytest.mark.parametrize("profile", [SRGB, b"no profile at all", SRGB[:200]])
def test_cmyk_with_an_unusable_profile_takes_the_plain_formula(tmp_path: Path, profile: bytes) -> None:
    source = saved(tmp_path / "a.tif", picture("CMYK"), icc_profile=profile)
    photo = read_photo(source)
    assert "plain formula" in photo.notes[0]
    np.testing.assert_array_equal(photo.rgb(), np.asarray(picture("CMYK").convert("RGB")))
    weight = np.zeros((61, 83), np.float32)
    weight[20:30, 20:30] = 1
    filled = photo.composite(np.zeros((61, 83, 3), np.uint8), weight)
    write_photo(filled, tmp_path / "b.tif")
    np.testing.assert_array_equal(read_photo(tmp_path / "b.tif").pixels, filled.pixels)
    assert replace(photo).metadata.icc == profile


def test_raw_files_of_a_folder_are_listed_unless_developed(tmp_path: Path) -> None:
    for name in ("a.jpg", "a_mask.png", "a.NEF", "b.nef"):
        (tmp_path / name).touch()
    pairing = pair(tmp_path, None, tmp_path / "out")
    assert [(each.name.name, each.problem and "camera raw" in each.problem) for each in pairing.pairs] == [
        ("a.jpg", None),
        ("b.nef", True),
    ]


@pytest.mark.parametrize(
    ("photo", "mask"),
    [("IMG_0001.JPG", "img_0001_mask.png"), ("a.jpg", "a_Mask.png"), ("caf\u00e9.jpg", "cafe\u0301_mask.png")],
)
@pytest.mark.parametrize("apart", [False, True])
def test_names_that_people_take_for_one_find_each_other(tmp_path: Path, photo: str, mask: str, apart: bool) -> None:
    masks = tmp_path / "masks" if apart else tmp_path
    masks.mkdir(exist_ok=True)
    (tmp_path / photo).touch()
    (masks / mask).touch()
    pairing = pair(tmp_path, str(masks) if apart else None, tmp_path / "out")
    assert [(each.name, each.mask, each.problem) for each in pairing.pairs] == [(Path(photo), masks / mask, None)]


def test_exact_names_come_first(tmp_path: Path) -> None:
    for name in ("a.jpg", "A.jpg", "a_mask.png", "A_mask.png"):
        (tmp_path / name).touch()
    pairing = pair(tmp_path, None, tmp_path / "out")
    if len(list(tmp_path.iterdir())) == 4:  # on disks that tell capitals from small letters
        assert {each.name.name: each.mask and Path(each.mask).name for each in pairing.pairs} == {
            "A.jpg": "A_mask.png",
            "a.jpg": "a_mask.png",
        }
    assert all(each.problem is None for each in pairing.pairs)
