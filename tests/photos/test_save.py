"""Photos in and out of files: lossless pixels, own encoding, everything that a file carries; nothing half-written."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter, PngImagePlugin
from PIL.JpegImagePlugin import JpegImageFile

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos import metadata
from mlx_moebius.photos.metadata import Field
from mlx_moebius.photos.photo import Photo, photo_from_image, read_photo, read_provenance
from mlx_moebius.photos.save import check_output, default_output, write_photo
from tests.support.pictures import MODES, PROVENANCE, SRGB, XMP, camera_exif, fields_of, picture, saved, text

LOSSLESS = [
    *(("png", mode, {}) for mode in ("L", "LA", "RGB", "RGBA", "I;16")),
    *(("tif", mode, {"compression": name}) for mode in MODES for name in ("raw", "tiff_lzw", "tiff_adobe_deflate")),
    ("tif", "RGB", {"compression": "packbits"}),
    ("webp", "RGB", {"lossless": True}),
    ("webp", "RGBA", {"lossless": True, "exact": True}),
    ("bmp", "L", {}),
    ("bmp", "RGB", {}),
]


@pytest.mark.parametrize(("extension", "mode", "options"), LOSSLESS)
def test_lossless_formats_come_back_bit_for_bit(
    tmp_path: Path, extension: str, mode: str, options: dict[str, Any]
) -> None:
    source = saved(tmp_path / f"a.{extension}", picture(mode), **options)
    photo = read_photo(source)
    assert photo.mode == mode
    np.testing.assert_array_equal(photo.pixels, np.asarray(picture(mode)))
    weight = np.zeros((61, 83), np.float32)
    weight[20:30, 20:30] = 1
    filled = photo.composite(np.zeros((61, 83, 3), np.uint8), weight)
    output = default_output(source)
    assert write_photo(filled, output, provenance=PROVENANCE) == [] or extension == "bmp"
    again = read_photo(output)
    assert (again.mode, again.format) == (photo.mode, photo.format)
    np.testing.assert_array_equal(again.pixels, filled.pixels)
    with Image.open(source) as before, Image.open(output) as after:
        if extension == "tif":
            assert after.info["compression"] == before.info["compression"]


@pytest.mark.parametrize(
    "options", [{"quality": 92}, {"quality": 80, "subsampling": 0, "progressive": True}, {"quality": 60}]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_keeps_its_tables_and_most_pixels(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    source = saved(tmp_path / "a.jpg", picture(mode, 320, 240), **options)
    photo = read_photo(source)
    weight = np.zeros((240, 320), np.float32)
    weight[64:128, 64:128] = 1
    output = default_output(source)
    write_photo(photo.composite(np.full((240, 320, 3), 99, np.uint8), weight), output)
    with Image.open(source) as before, Image.open(output) as after:
        assert isinstance(before, JpegImageFile)
        assert isinstance(after, JpegImageFile)
        assert after.quantization == before.quantization
        assert after.layer == before.layer
        assert ("progressive" in after.info) == ("progressive" in before.info)
    again = read_photo(output).pixels
    outside = np.ones((240, 320), bool)
    outside[48:144, 48:144] = False
    same = (again[outside] == photo.pixels[outside]).mean()
    assert same > 0.85
    assert np.abs(again[outside].astype(int) - photo.pixels[outside]).max() <= 6


def test_quality_overrides_the_tables(tmp_path: Path) -> None:
    photo = read_photo(saved(tmp_path / "a.jpg", picture("RGB", 320, 240), quality=92))
    write_photo(photo, tmp_path / "low.jpg", quality=20)
    write_photo(photo, tmp_path / "same.jpg")
    assert (tmp_path / "low.jpg").stat().st_size < 0.5 * (tmp_path / "same.jpg").stat().st_size
    with pytest.raises(MoebiusError, match="1 to 100"):
        write_photo(photo, tmp_path / "low.jpg", quality=101)


@pytest.mark.parametrize("extension", ["webp", "avif"])
def test_lossy_formats_come_back_close(tmp_path: Path, extension: str) -> None:
    image = picture("RGBA", 160, 120)
    source = saved(tmp_path / f"a.{extension}", image, quality=85)
    photo = read_photo(source)
    write_photo(photo, default_output(source))
    again = read_photo(default_output(source))
    assert again.mode == "RGBA"
    opaque = photo.pixels[..., 3] > 200
    assert np.abs(again.pixels[opaque].astype(int) - photo.pixels[opaque]).mean() < 2.5


def test_other_formats_by_extension(tmp_path: Path) -> None:
    opaque = photo_from_image(picture("RGB").convert("RGBA"))
    write_photo(opaque, tmp_path / "a.jpg")  # nothing is transparent, so nothing is lost
    assert read_photo(tmp_path / "a.jpg").mode == "RGB"
    write_photo(photo_from_image(picture("L")), tmp_path / "a.PNG")
    assert read_photo(tmp_path / "a.PNG").mode == "L"
    for mode, extension, hint in [
        ("RGBA", "jpg", "transparency: choose PNG or TIFF"),
        ("LA", "bmp", "transparency"),
        ("I;16", "jpg", "16-bit grey: choose PNG or TIFF"),
        ("I;16", "webp", "16-bit grey"),
        ("CMYK", "png", "CMYK colours: choose TIFF"),
        ("RGB", "gif", "extension must be one of"),
    ]:
        with pytest.raises(MoebiusError, match=hint):
            check_output(photo_from_image(picture(mode)), tmp_path / f"b.{extension}")


CARRIERS = [
    ("jpg", {}),
    ("png", {}),
    ("webp", {"lossless": True}),
    ("tif", {"compression": "tiff_lzw"}),
    ("tif", {}),
    ("avif", {}),
]


def carrying(path: Path, orientation: int, **options: Any) -> Path:
    """A picture file with everything its format has a place for."""
    xmp = XMP.replace(b"6", b"%d" % orientation)
    image, extension = picture("RGB"), path.suffix[1:]
    if extension == "tif":
        fields = metadata.read_fields(camera_exif(orientation))
        image.save(buffer := io.BytesIO(), "TIFF", icc_profile=SRGB, dpi=(240, 240), **options)
        fields[metadata.XMP_PACKET] = Field(metadata.BYTE, xmp)
        path.write_bytes(metadata.edit_fields(buffer.getvalue(), fields))
        return path
    options["exif"] = b"Exif\0\0" + camera_exif(orientation)
    if extension == "png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
        options["pnginfo"].add_text("Author", "Me")
        options["pnginfo"].add(b"gAMA", struct.pack(">I", 45455))
    elif extension == "jpg":
        options["comment"] = b"a comment"
        iptc = b"\x1c\x02\x69\x00\x05Beach"
        segment = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc
        options["extra"] = b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment
    if extension != "png":
        options["xmp"] = xmp
    image.save(path, icc_profile=SRGB, dpi=(240, 240), **options)
    return path


@pytest.mark.parametrize(("extension", "options"), CARRIERS)
def test_metadata_goes_along(tmp_path: Path, extension: str, options: dict[str, Any]) -> None:
    source = carrying(tmp_path / f"a.{extension}", 6, **options)
    photo = read_photo(source)
    assert photo.orientation == 6
    assert (photo.width, photo.height) == (61, 83)
    output = default_output(source)
    assert write_photo(photo, output, provenance=PROVENANCE) == []
    again = read_photo(output)
    assert again.orientation == 1
    assert (again.width, again.height) == (61, 83)
    assert again.metadata.icc == SRGB
    assert again.metadata.xmp == XMP.replace(b'Orientation="6"', b'Orientation="1"')
    if extension not in ("webp", "avif"):
        assert again.metadata.dpi == pytest.approx((240, 240), abs=0.01)
    assert again.metadata.comment == photo.metadata.comment == (b"a comment" if extension == "jpg" else b"")
    assert again.metadata.iptc == photo.metadata.iptc
    assert (b"Beach" in again.metadata.iptc) == (extension == "jpg")
    assert again.metadata.png_chunks == photo.metadata.png_chunks
    assert sorted(kind for kind, _ in again.metadata.png_chunks) == ([b"gAMA", b"tEXt"] if extension == "png" else [])

    fields: Any = metadata.read_fields(again.metadata.exif)
    assert text(fields, 0x010F) == b"Camera maker"
    assert text(fields, 0x010E) == b"On the beach"
    assert text(fields, metadata.SOFTWARE) == b"mlx-moebius 0.1.0"
    inner = fields[metadata.EXIF_IFD]
    assert struct.unpack("<II", inner[0x829A].data) == (1, 125)
    assert inner[0x927C].data == b"maker note with offsets of its own"
    assert [int.from_bytes(inner[tag].data, "little") for tag in (metadata.PIXEL_X, metadata.PIXEL_Y)] == [61, 83]
    assert text(inner[metadata.INTEROP_IFD], 1) == b"R98"
    assert struct.unpack("<6I", fields[metadata.GPS_IFD][2].data) == (52, 1, 31, 1, 7, 1)
    assert read_provenance(output) == PROVENANCE
    assert read_provenance(source) is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["jpg", "png", "tif", "webp", "avif"])
def test_every_orientation_comes_out_upright(tmp_path: Path, extension: str, orientation: int) -> None:
    options: dict[str, dict[str, Any]] = {
        "jpg": {"quality": 95, "subsampling": 0},
        "webp": {"lossless": True},
        "avif": {"quality": 95},
    }
    source = carrying(tmp_path / f"a.{extension}", orientation, **options.get(extension, {}))
    turns: list[Any] = [
        None,
        Image.Transpose.FLIP_LEFT_RIGHT,
        Image.Transpose.ROTATE_180,
        Image.Transpose.FLIP_TOP_BOTTOM,
    ]
    turns += [
        Image.Transpose.TRANSPOSE,
        Image.Transpose.ROTATE_270,
        Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_90,
    ]
    turn = turns[orientation - 1]
    expected = np.asarray(picture("RGB") if turn is None else picture("RGB").transpose(turn)).astype(int)
    photo = read_photo(source)
    assert photo.orientation == orientation
    assert np.abs(photo.pixels - expected).mean() < 3
    write_photo(photo, default_output(source))
    again = read_photo(default_output(source))
    assert again.orientation == 1
    assert np.abs(again.pixels - expected).mean() < 4


def test_quarter_turns_take_the_tables_along(tmp_path: Path) -> None:
    table = list(range(1, 65))
    exif = b"Exif\0\0" + camera_exif(6)
    source = saved(tmp_path / "a.jpg", picture("RGB", 320, 240), qtables=[table, table], subsampling=0, exif=exif)
    photo = read_photo(source)
    write_photo(photo, default_output(source))
    with Image.open(default_output(source)) as image:
        assert isinstance(image, JpegImageFile)
        assert image.quantization[0] == np.reshape(table, (8, 8)).T.ravel().tolist()
    assert (read_photo(default_output(source)).pixels == photo.pixels).mean() > 0.85


def test_thumbnail_of_what_was_removed_is_gone(tmp_path: Path) -> None:
    thumbnail = b"\xff\xd8 the stranger \xff\xd9"
    exif = bytearray(camera_exif())
    first = struct.unpack_from("<I", exif, 4)[0]
    second = len(exif)
    entries = struct.pack("<HHII", 0x0201, 4, 1, second + 30) + struct.pack("<HHII", 0x0202, 4, 1, len(thumbnail))
    exif += struct.pack("<H", 2) + entries + bytes(4) + thumbnail
    struct.pack_into("<I", exif, first + 2 + 12 * struct.unpack_from("<H", exif, first)[0], second)
    source = saved(tmp_path / "a.jpg", picture("RGB"), exif=b"Exif\0\0" + bytes(exif))
    assert thumbnail in source.read_bytes()
    with Image.open(source) as image:
        assert image.getexif().get_ifd(0x8769)
    write_photo(read_photo(source), default_output(source))
    assert b"the stranger" not in default_output(source).read_bytes()
    assert text(fields_of(default_output(source)), 0x010F) == b"Camera maker"


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_existing_comment_stays_and_settings_are_replaced(tmp_path: Path, order: str) -> None:
    exif = Image.Exif()
    exif.endian = order
    code = "utf-16-le" if order == "<" else "utf-16-be"
    exif.get_ifd(metadata.EXIF_IFD)[metadata.USER_COMMENT] = b"UNICODE\0" + "Süße Katze".encode(code)
    path = saved(tmp_path / "0.jpg", picture("RGB"), exif=exif)
    for seed in range(3):
        photo, path = read_photo(path), tmp_path / f"{seed + 1}.jpg"
        write_photo(photo, path, provenance={**PROVENANCE, "seed": seed})
        assert read_provenance(path) == {**PROVENANCE, "seed": seed}
    inner: Any = fields_of(path)[metadata.EXIF_IFD]
    comment = inner[metadata.USER_COMMENT].data[8:].decode(code)
    assert comment == "Süße Katze\nmlx-moebius: " + json.dumps({**PROVENANCE, "seed": 2})
    with Image.open(path) as image:
        assert image.getexif()[metadata.SOFTWARE] == "mlx-moebius 0.1.0"  # as other programs see it


def test_no_metadata_is_added_without_provenance(tmp_path: Path) -> None:
    write_photo(photo_from_image(picture("RGB")), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.info == {}


def test_too_much_exif_for_jpeg_is_said(tmp_path: Path) -> None:
    large = metadata.edit_fields(camera_exif(), {0x010D: Field(metadata.ASCII, b"x" * 65000)})
    photo = read_photo(saved(tmp_path / "a.jpg", picture("RGB"), exif=b"Exif\0\0" + large))
    notes = write_photo(photo, tmp_path / "b.jpg", provenance={**PROVENANCE, "more": "y" * 600})
    assert len(notes) == 1
    assert "settings" in notes[0]
    assert len(text(fields_of(tmp_path / "b.jpg"), 0x010D)) == 65000


def test_damaged_exif_is_said_and_left_out(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.jpg", picture("RGB"), exif=b"Exif\0\0II*\0\xff\xff\0\0")
    photo = read_photo(source)
    assert "EXIF is damaged" in photo.notes[0]
    write_photo(photo, default_output(source), provenance=PROVENANCE)
    assert read_provenance(default_output(source)) == PROVENANCE


def test_hostile_exif_never_breaks_saving() -> None:
    rng = np.random.default_rng(3)
    for _ in range(3000):
        exif = bytearray(camera_exif(6))
        for at in rng.integers(4, len(exif), rng.integers(1, 6)):
            exif[at] = rng.integers(256)
        block = metadata.checked_block(bytes(exif))
        updated = metadata.updated_exif(block, (61, 83), PROVENANCE)
        assert metadata.provenance_in(updated) == PROVENANCE
        assert len(updated) < len(exif) + 1000


def test_phone_pictures_with_previews_are_photos(tmp_path: Path) -> None:
    """Phones append previews and gain maps to a JPEG (MPO)."""
    image = picture("RGB", 320, 240)
    image.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[picture("RGB", 32, 24)], quality=90)
    photo = read_photo(tmp_path / "a.jpg")
    assert "holds 2 pictures" in photo.notes[0]
    assert photo.format == "JPEG"
    write_photo(photo, tmp_path / "b.jpg")
    again = read_photo(tmp_path / "b.jpg")
    assert again.notes == ()
    assert (again.pixels == photo.pixels).mean() > 0.85


def test_heic_goes_in_and_out(tmp_path: Path) -> None:
    photo = photo_from_image(picture("RGB", 160, 120))
    photo = replace(photo, metadata=replace(photo.metadata, exif=camera_exif(), icc=SRGB, xmp=XMP))
    write_photo(photo, tmp_path / "a.heic", provenance=PROVENANCE)
    again = read_photo(tmp_path / "a.heic")
    assert (again.format, again.mode, again.notes, again.orientation) == ("HEIF", "RGB", (), 1)
    assert np.abs(again.pixels.astype(int) - photo.pixels).mean() < 2.5  # 4:2:0 halves the grain in colours
    assert again.metadata.icc == SRGB
    assert b"Beach" in again.metadata.xmp
    assert text(fields_of(tmp_path / "a.heic"), 0x010F) == b"Camera maker"
    assert read_provenance(tmp_path / "a.heic") == PROVENANCE


def test_output_name_and_missing_folders(tmp_path: Path) -> None:
    assert default_output("x/IMG_1.jpeg") == Path("x/IMG_1_filled.jpeg")
    photo = photo_from_image(picture("RGB"))
    with pytest.raises(MoebiusError, match="does not exist"):
        write_photo(photo, tmp_path / "none" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(MoebiusError, match="is a folder"):
        write_photo(photo, tmp_path / "folder.png")


def test_failed_encoding_leaves_nothing(tmp_path: Path) -> None:
    unfit = Photo(np.zeros((4, 4, 3), np.uint8), "RGB", "JPEG", encoding={"qtables": [[1, 2, 3]]})
    with pytest.raises(MoebiusError, match="JPEG cannot hold this picture"):
        write_photo(unfit, tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []


def run_in_trouble(folder: Path, trouble: str) -> str:
    """Write a photo over `folder`/a.png in a process of its own; its one line of complaint."""
    program = f"""
import os, resource, sys
import numpy as np
from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.photo import Photo
from mlx_moebius.photos.save import write_photo
photo = Photo(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8), "RGB")
{trouble}
try:
    write_photo(photo, {str(folder / "a.png")!r})
except MoebiusError as error:
    print(error)
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"old")
    complaint = run_in_trouble(tmp_path, "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))")
    assert "a.png could not be written: File too large" in complaint
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"


def test_read_only_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "fixed"
    folder.mkdir()
    folder.chmod(0o555)
    for parent in folder.parents[:4]:  # reachable for the user that root becomes: root may write anywhere
        parent.chmod(parent.stat().st_mode | 0o011)
    # Written once before, so that all is imported: that user may not read root's own folder.
    warm = f"write_photo(photo, {str(tmp_path / 'b.png')!r})"
    complaint = run_in_trouble(folder, f"{warm}\nif os.getuid() == 0: os.setuid(65534)")
    assert "is read-only" in complaint
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_sixty_megapixels(tmp_path: Path) -> None:
    pixels = np.asarray(picture("RGB", 1000, 600)).repeat(10, axis=0).repeat(10, axis=1)
    source = saved(tmp_path / "a.jpg", Image.fromarray(pixels), quality=90, progressive=True)
    photo = read_photo(source)
    patch = photo.rgb((4000, 3000, 5000, 4000))
    blurred = np.asarray(Image.fromarray(patch).filter(ImageFilter.BoxBlur(20)))
    filled = photo.composite(blurred, np.ones((1000, 1000), np.float32), (4000, 3000, 5000, 4000))
    write_photo(filled, default_output(source))
    again = read_photo(default_output(source)).pixels
    assert (again[:2000] == photo.pixels[:2000]).mean() > 0.85
