"""What was taken out must be out: previews in metadata, regions of faces."""

from __future__ import annotations

import base64
import io
import re
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mlx_moebius.photos import metadata
from mlx_moebius.photos.metadata import Field
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.photos.privacy import map_regions, turned, without_streams
from mlx_moebius.photos.save import default_output, write_photo
from tests.support.pictures import camera_exif, picture, text


def jpeg() -> bytes:
    """A preview with a thumbnail of its own."""
    picture("RGB", 40, 30).save(inner := io.BytesIO(), "JPEG")
    picture("RGB", 60, 40).save(buffer := io.BytesIO(), "JPEG", comment=inner.getvalue())
    return buffer.getvalue()


PREVIEW = jpeg()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description dc:title="Beach"><xmp:Thumbnails><rdf:Alt><rdf:li '
    b"xmpGImg:width='60'><xmpGImg:image>%s</xmpGImg:image></rdf:li></rdf:Alt></xmp:Thumbnails>"
    b"<GImage:Data>%s</GImage:Data></rdf:Description></x:xmpmeta>"
) % (base64.b64encode(PREVIEW), base64.b64encode(PREVIEW))
REGIONS = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><mwg-rs:Regions><mwg-rs:RegionList><rdf:Bag>'
    b'<rdf:li><rdf:Description mwg-rs:Name="Stranger"><mwg-rs:Area stArea:x="0.25" stArea:y="0.5" stArea:w="0.1" '
    b'stArea:h="0.2"/><mwg-rs:Extensions><rdf:Bag><rdf:li>one</rdf:li></rdf:Bag></mwg-rs:Extensions>'
    b"</rdf:Description></rdf:li>"
    b"<rdf:li mwg-rs:Name='Friend'><mwg-rs:Area><stArea:x>0.75</stArea:x><stArea:y>0.5</stArea:y></mwg-rs:Area>"
    b"</rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions><MP:RegionInfo><MPRI:Regions><rdf:Bag>"
    b'<rdf:li MPReg:Rectangle="0.2, 0.4, 0.1, 0.2" MPReg:PersonDisplayName="Stranger"/>'
    b'<rdf:li MPReg:Rectangle="0.7, 0.4, 0.1, 0.2" MPReg:PersonDisplayName="Friend"/>'
    b"</rdf:Bag></MPRI:Regions></MP:RegionInfo></x:xmpmeta>"
)


def with_previews(path: Path) -> Path:
    note = b"Nikon\0" + bytes(20) + PREVIEW + b"after the preview"
    exif = metadata.edit_fields(camera_exif(), {metadata.EXIF_IFD: {0x927C: Field(metadata.UNDEFINED, note)}})
    options: dict[str, Any] = {"exif": b"Exif\0\0" + exif, "xmp": XMP}
    if path.suffix == ".tif":
        picture("RGB").save(buffer := io.BytesIO(), "TIFF", compression="tiff_lzw")
        fields = metadata.read_fields(exif) | {metadata.XMP_PACKET: Field(metadata.BYTE, XMP)}
        path.write_bytes(metadata.edit_fields(buffer.getvalue(), fields))
        return path
    if path.suffix == ".png":
        info = options["pnginfo"] = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode())
        info.add(b"zTXt", b"Raw profile type 8bim\0\0" + zlib.compress(b"8bim" + PREVIEW.hex().encode()))
        info.add_text("Author", "Me")
    if path.suffix == ".jpg":
        iptc = b"\x1c\x08\xca" + struct.pack(">H", len(PREVIEW)) + PREVIEW + b"\x1c\x02\x69\x00\x05Beach"
        segment = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc
        options["extra"] = b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment
    picture("RGB").save(path, **options)
    return path


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif", "avif"])
def test_no_picture_of_the_old_state_remains(tmp_path: Path, extension: str) -> None:
    source = with_previews(tmp_path / f"a.{extension}")
    assert PREVIEW in source.read_bytes()
    photo = read_photo(source)
    notes = write_photo(photo, default_output(source))
    assert len(notes) == 1
    assert "previews" in notes[0]
    written = default_output(source).read_bytes()
    assert b"\xff\xd8\xff" not in written[3:]
    assert b"/9j/" not in written
    assert b"Thumbnails" not in written
    assert b"Raw profile" not in written
    again = read_photo(default_output(source))
    fields: Any = metadata.read_fields(again.metadata.exif)
    assert text(fields, 0x010F) == b"Camera maker"
    note = fields[metadata.EXIF_IFD][0x927C].data
    assert note == b"Nikon\0" + bytes(20 + len(PREVIEW)) + b"after the preview"
    assert b'dc:title="Beach"' in again.metadata.xmp
    assert (b"Beach" in again.metadata.iptc) == (extension == "jpg")
    assert [kind for kind, _ in again.metadata.png_chunks] == ([b"tEXt"] if extension == "png" else [])
    assert write_photo(again, tmp_path / f"b.{extension}") == []


def test_streams_cut_short_and_chance_beginnings() -> None:
    assert without_streams(b"abc" + PREVIEW[:-40]) == b"abc" + bytes(len(PREVIEW) - 40)
    assert without_streams(b"abc\xff\xd8\xff\x10\x20 behind") == b"abc\0\0\0\x10\x20 behind"
    assert without_streams(b"abc" + PREVIEW + b"x" + PREVIEW) == b"abc" + bytes(len(PREVIEW)) + b"x" + bytes(
        len(PREVIEW)
    )
    rng = np.random.default_rng(0)
    for _ in range(300):
        block = bytearray(b"abc" + PREVIEW + b"def")
        for at in rng.integers(6, len(block), 4):
            block[at] = rng.integers(256)
        blank = without_streams(bytes(block))
        assert len(blank) == len(block)
        assert b"\xff\xd8\xff" not in blank


def test_regions_of_what_is_filled_go_with_their_names(tmp_path: Path) -> None:
    picture("RGB", 80, 60).save(tmp_path / "a.jpg", xmp=REGIONS)
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.metadata.xmp == REGIONS
    weight = np.zeros((30, 80), np.float32)
    weight[10:20, 10:30] = 1
    for top in (0, 30):  # as bands come
        photo = photo.composite(np.zeros((30, 80, 3), np.uint8), weight * (top == 30), (0, top, 80, top + 30))
    assert b"Stranger" in photo.metadata.xmp  # the band's rows 10 to 20 lie below the middle of the face
    weight[:5, 15:25] = 1
    photo = photo.composite(np.zeros((30, 80, 3), np.uint8), weight, (0, 30, 80, 60))
    write_photo(photo, tmp_path / "b.jpg")
    written = read_photo(tmp_path / "b.jpg").metadata.xmp
    assert b"Stranger" not in written
    assert written.count(b"Friend") == 2
    assert written.count(b"<rdf:li") == written.count(b"</rdf:li>") + 1 == 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_turn_with_the_pixels(tmp_path: Path, orientation: int) -> None:
    image = Image.new("L", (80, 40))
    image.paste(255, (50, 4, 58, 12))  # a face with its middle at 54, 8
    rectangle = (
        b'<MPRI:Regions><rdf:li MPReg:Rectangle="0.625, 0.1, 0.1, 0.2" MPReg:PersonDisplayName="F"/></MPRI:Regions>'
    )
    area = (
        b"<mwg-rs:RegionList><rdf:li><mwg-rs:Area stArea:x='0.675' stArea:y='0.2' stArea:w='0.1' stArea:h='0.2'/>"
        b"</rdf:li></mwg-rs:RegionList>"
    )
    image.save(tmp_path / "a.jpg", exif=b"Exif\0\0" + camera_exif(orientation), xmp=rectangle + area, quality=95)
    photo = read_photo(tmp_path / "a.jpg")
    y, x = np.argwhere(photo.pixels > 128).mean(0) + 0.5
    seen = []
    map_regions(photo.metadata.xmp, lambda region: seen.append(region))
    assert len(seen) == 2
    for region in seen:
        assert region[0] * photo.width == pytest.approx(x, abs=0.3)
        assert region[1] * photo.height == pytest.approx(y, abs=0.3)
        assert region[2] * photo.width == pytest.approx(8, abs=0.1)
    write_photo(photo, tmp_path / "b.jpg")
    again = read_photo(tmp_path / "b.jpg").metadata.xmp
    assert again == photo.metadata.xmp  # turned once


def test_a_region_that_cannot_be_read_goes() -> None:
    damaged = re.sub(rb"0\.7, 0\.4, 0\.1, 0\.2", b"0.7,,", REGIONS)
    assert map_regions(damaged, turned(6)).count(b"Friend") == 1
    assert map_regions(REGIONS, turned(1)) == REGIONS


def test_nothing_is_said_of_photos_without_previews(tmp_path: Path) -> None:
    picture("RGB").save(tmp_path / "a.jpg", exif=b"Exif\0\0" + camera_exif())
    photo = read_photo(tmp_path / "a.jpg")
    assert write_photo(replace(photo), tmp_path / "b.jpg") == []
