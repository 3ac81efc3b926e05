"""File formats: which pixels a format can hold, and what its files say that Pillow does not pass on."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, JpegImagePlugin

from mlx_moebius.photos import metadata, nclx

EXTENSIONS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIF"),
    **dict.fromkeys((".bmp", ".dib"), "BMP"),
    ".png": "PNG",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".jxl": "JXL",
}
MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("L", "LA", "RGB", "RGBA", "I;16", "LA;16", "RGB;16", "RGBA;16"),
    "WEBP": ("L", "LA", "RGB", "RGBA"),
    "TIFF": ("L", "LA", "RGB", "RGBA", "CMYK", "I;16", "RGB;16", "RGBA;16"),
    "AVIF": ("L", "LA", "RGB", "RGBA"),
    "HEIF": ("L", "LA", "RGB", "RGBA"),
    "BMP": ("L", "RGB"),
    "JXL": ("L", "LA", "RGB", "RGBA"),
}
TIFF_COMPRESSIONS = ("raw", "tiff_lzw", "packbits", "lzma", "zstd")
FAX_COMPRESSIONS = ("group3", "group4", "tiff_ccitt")  # for one bit a pixel
READ_AS_8_BITS = ("AVIF", "HEIF", "JXL")  # whatever depth they hold

MOST_DPI = 10_000_000  # more than a microscope needs; TIFF, PNG and BMP can hold it

PNG_COLOUR = (b"cHRM", b"gAMA", b"sRGB", b"cICP")
PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt")
PNG_HANDLED = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"Raw profile type APP1\0")


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8, still to be applied to the image's pixels."""
    value = _exif(image).get(metadata.ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def _exif(image: Image.Image) -> Image.Exif:
    """The EXIF data as Pillow reads them, empty where their header is damaged."""
    try:
        return image.getexif()
    except Exception:  # SyntaxError, struct.error: whatever the parser stumbles over
        return Image.Exif()


def is_grey16(image: Image.Image) -> bool:
    """Whether the picture is 16-bit grey with white as its largest value, of which Pillow keeps all bits."""
    tags = getattr(image, "tag_v2", {})
    return image.mode.startswith("I;16") and tags.get(258, (16,)) == (16,) and tags.get(262, 1) == 1


def bits_per_channel(file: BinaryIO, image: Image.Image) -> int:
    """Bits per channel in the file. Pillow may reduce them to 8 without a word."""
    if image.format == "PNG":
        return bytes_at(file, 24, 1)[0]
    if image.format == "TIFF":
        return max(image.tag_v2.get(258, (1,)))  # type: ignore[attr-defined]
    if image.format == "JXL":
        return int(image.info["bits"])
    if image.format in ("AVIF", "HEIF"):
        head = bytes_at(file, 0, 65536)
        at = head.find(b"pixi")  # ISO/IEC 23008-12, 6.5.6: version and flags, number of channels, their bits
        return max(head[at + 9 : at + 9 + head[at + 8]], default=8) if at >= 0 else 8
    return 8


def exif_block(file: BinaryIO, image: Image.Image) -> bytes:
    """The EXIF data as a TIFF block; for a TIFF file, its fields that describe the photo. Empty if damaged."""
    if image.format == "TIFF":
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            try:
                fields = metadata.describing(metadata.read_fields(view))
            except metadata.DamagedBlock:
                return b""
        if image.info.get("dpi") and not resolution(image):
            fields = {tag: field for tag, field in fields.items() if tag not in metadata.RESOLUTION}
        return metadata.edit_fields(metadata.EMPTY_BLOCK, fields) if fields else b""
    _exif(image)  # makes Pillow look for it behind a PNG's pixels too
    exif = image.info.get("exif") or b""
    if not exif and "Raw profile type exif" in image.info:  # ImageMagick's PNG
        exif = _exif(image).tobytes()
    return metadata.checked_block(exif)


def block(image: Image.Image, name: str) -> bytes:
    """Metadata that Pillow passes on ("icc_profile", "xmp"), as bytes; empty if missing or of an unknown type."""
    value = image.info.get(name)
    if name == "xmp" and isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else b""


def resolution(image: Image.Image) -> tuple[float, float] | None:
    """Dots per inch across and down; None if the file has no values, or impossible ones."""
    dpi = image.info.get("dpi")
    try:
        return dpi if dpi and len(dpi) == 2 and all(0 < value <= MOST_DPI for value in dpi) else None
    except TypeError:  # a TIFF's fields may be of any type
        return None


def unusable(image: Image.Image) -> list[str]:
    """Names of the metadata whose type or value is impossible."""
    read = {
        "ICC profile": ("icc_profile", block(image, "icc_profile")),
        "XMP": ("xmp", block(image, "xmp")),
        "resolution": ("dpi", resolution(image)),
    }
    return [what for what, (name, value) in read.items() if image.info.get(name) and not value]


def extra_channels(image: Image.Image) -> str:
    """Words for the channels of a TIFF beside colours and opacity, which Pillow does not read; "" if there are none."""
    tags = getattr(image, "tag_v2", {})
    known = {"CMYK": 4, "RGBX": 3, "YCbCr": 3, "LAB": 3}.get(image.mode, len(image.getbands()))
    count = tags.get(277, 1) - known
    if count < 1:
        return ""
    kind = "spot colour" if image.mode == "CMYK" else "saved selection"
    return f"its extra channel (a {kind}) was" if count == 1 else f"its {count} extra channels ({kind}s) were"


def source_encoding(file: BinaryIO, image: Image.Image) -> dict[str, Any]:
    """Pillow's save options that repeat the file's encoding."""
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        # A quarter turn exchanges rows and columns, also of the quantization tables; 4:2:2 would become 4:4:0, which
        # Pillow does not write: that and other rare schemes are stored at full resolution.
        turned = orientation(image) >= 5
        tables = [np.reshape(table, (8, 8)) for _, table in sorted(image.quantization.items())]
        subsampling = JpegImagePlugin.get_sampling(image)
        if image.layers == 3 and (subsampling == -1 or (subsampling == 1 and turned)):
            subsampling = 0
        return {
            "qtables": [(table.T if turned else table).ravel().tolist() for table in tables],
            "subsampling": subsampling,
            "progressive": "progressive" in image.info,
            "keep_rgb": image.layers == 3 and image.info.get("adobe_transform") == 0,
        }
    if image.format == "WEBP":
        return {"lossless": _webp_is_lossless(file)}
    if image.format == "JXL":
        return {"lossless": image.info["lossless"]}
    if image.format == "TIFF":
        name = image.info.get("compression")
        kept = TIFF_COMPRESSIONS + (FAX_COMPRESSIONS if image.mode == "1" else ())
        encoding: dict[str, Any] = {"compression": name if name in kept else "tiff_adobe_deflate"}
        if image.mode == "1" and image.tag_v2.get(262) == 0:  # type: ignore[attr-defined]
            encoding["white_is_zero"] = True
        return encoding
    if image.format == "HEIF" and image.info.get("chroma") in (420, 422, 444):
        return {"chroma": image.info["chroma"]}
    return {}


def colour_numbers(file: BinaryIO, image: Image.Image) -> tuple[int, int] | None:
    """Primaries and transfer curve that a HEIC or AVIF file gives by number (ITU-T H.273)."""
    if image.format == "AVIF":
        return nclx.numbers_in(bytes_at(file, 0, 65536))
    given = image.info.get("nclx_profile") if image.format == "HEIF" else None
    return (int(given["color_primaries"]), int(given["transfer_characteristics"])) if given else None


def jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """The segments before a JPEG's pixels: marker, where the segment ends, its payload."""
    at = 2
    while len(head := bytes_at(file, at, 4)) == 4 and head[0] == 0xFF and head[1] != 0xDA:
        end = at + 2 + int.from_bytes(head[2:], "big")
        yield head[1], end, bytes_at(file, at + 4, end - at - 4)
        at = end


def jpeg_segment(marker: int, payload: bytes) -> bytes:
    """A segment of a JPEG file; it holds at most 65,533 bytes."""
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def png_chunks(file: BinaryIO) -> tuple[tuple[bytes, bytes], ...]:
    """Colour and text chunks of a PNG file, (type, data), unchanged."""
    chunks = []
    at = 8
    while len(head := bytes_at(file, at, 8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in PNG_COLOUR + PNG_TEXT:
            data = bytes_at(file, at + 8, length)
            if not data.startswith(PNG_HANDLED):
                chunks.append((kind, data))
        at += length + 12
    return tuple(chunks)


def _webp_is_lossless(file: BinaryIO) -> bool:
    at = 12
    while len(head := bytes_at(file, at, 8)) == 8:
        kind, length = struct.unpack("<4sI", head)
        if kind in (b"VP8 ", b"VP8L"):
            return bool(kind == b"VP8L")
        at += 8 + length + length % 2
    return False


def bytes_at(file: BinaryIO, offset: int, length: int) -> bytes:
    """`length` bytes of the file from `offset`. The file's position, which Pillow relies on, does not change."""
    position = file.tell()
    file.seek(offset)
    data = file.read(length)
    file.seek(position)
    return data
