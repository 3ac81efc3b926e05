"""16 bits a channel in colour, in and out: what editors hand to an external program."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius import memory
from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos import metadata
from mlx_moebius.photos.metadata import Field
from mlx_moebius.photos.photo import Photo, read_photo, read_provenance
from mlx_moebius.photos.save import check_output, write_photo
from tests.support.pictures import PROVENANCE, SRGB, XMP, camera_exif, fields_of, text

MODES = {"LA;16": 2, "RGB;16": 3, "RGBA;16": 4}


def pixels(channels: int) -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(0, 65536, (61, 83, channels), np.uint16)


def tiff(path: Path, data: NDArray[Any], **options: Any) -> Path:
    """A 16-bit TIFF file; extra channels are opacity unless `options` say otherwise."""
    usual: dict[str, Any] = {"photometric": "rgb", "metadata": None}
    if data.shape[-1] == 4:
        usual["extrasamples"] = ["unassalpha"]
    tifffile.imwrite(path, data, **(usual | options))
    return path


def edited(photo: Photo, opaque: bool = False) -> Photo:
    """A fill of 100.25 of 255 in the middle."""
    weight = np.zeros((photo.height, photo.width), np.float32)
    weight[20:40, 20:50] = 1
    return photo.composite(np.full((*weight.shape, 3), 100.25, np.float32), weight, opaque=opaque)


@pytest.mark.parametrize(
    ("mode", "extension"),
    [("RGB;16", "tif"), ("RGBA;16", "tif"), ("LA;16", "png"), ("RGB;16", "png"), ("RGBA;16", "png")],
)
def test_what_is_not_filled_is_the_same_to_the_last_bit(tmp_path: Path, mode: str, extension: str) -> None:
    data = pixels(MODES[mode])
    path = tmp_path / f"a.{extension}"
    if extension == "png":
        path.write_bytes(imagecodecs.png_encode(data))
    else:
        tiff(path, data)
    photo = read_photo(path)
    assert (photo.mode, photo.notes) == (mode, ())
    assert photo.rgb().dtype == np.uint8
    colours = data[..., :3] if MODES[mode] > 2 else np.repeat(data[..., :1], 3, axis=-1)
    assert np.array_equal(photo.rgb(), np.rint(colours / 257))

    write_photo(edited(photo, opaque=True), tmp_path / f"b.{extension}")
    again = tmp_path / f"b.{extension}"
    written = tifffile.imread(again) if extension == "tif" else imagecodecs.png_decode(again.read_bytes())
    assert written.dtype == np.uint16
    inside = np.zeros(data.shape[:2], bool)
    inside[20:40, 20:50] = True
    assert np.array_equal(written[~inside], data[~inside])
    has_alpha = mode != "RGB;16"
    fill = written[inside][:, :-1] if has_alpha else written[inside]
    assert (np.abs(fill - 100.25 * 257) <= 0.51).all()  # between two values of 8 bits
    if has_alpha:
        assert (written[inside][:, -1] == 65535).all()
        kept = edited(photo).alpha()
        assert kept is not None
        assert np.array_equal(kept, data[..., -1] // 257)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd"])
@pytest.mark.parametrize("layout", [{}, {"byteorder": ">"}, {"tile": (32, 32)}])
def test_tiff_layouts_are_read_and_compression_is_kept(
    tmp_path: Path, layout: dict[str, Any], compression: str | None
) -> None:
    path = tiff(tmp_path / "a.tif", pixels(3), compression=compression, predictor=compression is not None, **layout)
    write_photo(read_photo(path), tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), pixels(3))
    with tifffile.TiffFile(path) as source, tifffile.TiffFile(tmp_path / "b.tif") as written:
        assert written.pages[0].compression == source.pages[0].compression


def test_metadata_goes_along_between_tiff_and_png(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", pixels(3), iccprofile=SRGB, resolution=(300, 300), resolutionunit="inch")
    fields: dict[int, Any] = metadata.describing(metadata.read_fields(camera_exif(6)))
    fields |= {metadata.ORIENTATION: Field(metadata.SHORT, struct.pack("<H", 6)), 700: Field(metadata.BYTE, XMP)}
    path.write_bytes(metadata.edit_fields(path.read_bytes(), fields))
    upright = np.rot90(pixels(3), -1)
    for name in ("b.tif", "c.png", "d.tif"):
        photo = read_photo(path)
        assert np.array_equal(photo.pixels, upright)
        path = tmp_path / name
        write_photo(photo, path, provenance=PROVENANCE)
        again = read_photo(path)
        assert np.array_equal(again.pixels, upright)
        assert (again.orientation, again.metadata.icc) == (1, SRGB)
        assert b"Beach" in again.metadata.xmp
        assert again.metadata.dpi is not None
        assert round(again.metadata.dpi[0]) == 300
        assert text(fields_of(path), 0x010F) == b"Camera maker"
        assert read_provenance(path) == PROVENANCE
    with Image.open(tmp_path / "c.png") as image:
        image.load()  # Pillow finds every chunk in its place
        assert image.size == (61, 83)


def test_a_colour_that_stands_for_transparent_becomes_opacity(tmp_path: Path) -> None:
    data = pixels(3)
    whole = imagecodecs.png_encode(data)
    key = b"tRNS" + data[0, 0].astype(">u2").tobytes()
    chunk = struct.pack(">I", 6) + key + struct.pack(">I", zlib.crc32(key))
    (tmp_path / "a.png").write_bytes(whole[:33] + chunk + whole[33:])
    photo = read_photo(tmp_path / "a.png")
    assert photo.mode == "RGBA;16"
    assert photo.pixels[0, 0, 3] == 0
    assert np.array_equal(photo.pixels[..., :3], data)


def test_formats_of_eight_bits_are_refused(tmp_path: Path) -> None:
    photo = read_photo(tiff(tmp_path / "a.tif", pixels(3)))
    with pytest.raises(MoebiusError, match="JPEG cannot hold the photo's 16 bits a channel: choose PNG or TIFF"):
        check_output(photo, tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("channels", "options", "said"),
    [
        (4, {"extrasamples": ["assocalpha"]}, "colours multiplied by their opacity"),
        (4, {"extrasamples": ["unspecified"]}, "an extra channel"),
        (4, {"photometric": "separated", "extrasamples": None}, "colours other than RGB"),
    ],
)
def test_what_cannot_be_kept_is_refused(tmp_path: Path, channels: int, options: dict[str, Any], said: str) -> None:
    with pytest.raises(MoebiusError, match=said):
        read_photo(tiff(tmp_path / "a.tif", pixels(channels), **options))


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", pixels(3), compression="zlib")
    path.write_bytes(path.read_bytes()[:20_000])
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels(3))[:20_000])
    for name in ("a.tif", "a.png"):
        with pytest.raises(MoebiusError, match="damaged or cut short"):
            read_photo(tmp_path / name)


def test_memory_is_counted_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiff(tmp_path / "a.tif", pixels(3))
    monkeypatch.setattr(memory, "available", lambda: 2 * 24 * 83 * 61)
    with pytest.raises(MoebiusError, match="at 48 bytes a pixel"):
        read_photo(path)


@pytest.mark.parametrize("package", ["tifffile", "imagecodecs"])
def test_without_the_packages_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    path = tiff(tmp_path / "a.tif", pixels(3))
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(MoebiusError, match=r'pip install "mlx-moebius\[deep\]"'):
        read_photo(path)
