"""JPEG XL (ISO/IEC 18181) by pillow-jxl-plugin, and what the plug-in lacks.

It decodes when it opens a file, so the size has to be read before. It passes on no depth, no XMP and no packed EXIF. It
writes no ICC profile, and 16-bit grey as if it were linear. A JPEG that was packed without loss is read as a JPEG, and
written as one.
"""

from __future__ import annotations

import importlib
import io
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos import limits, metadata, nclx

STARTS = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
ICC_LIMIT = 1  # of 255: a profile that differs no more from sRGB's is one
BOX_LIMIT = 64 << 20  # bytes of a box, unpacked
HEADER = 4096  # bytes in which the headers end
RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height; (0, 1): given
ALPHA = 0  # type of an extra channel


@dataclass(frozen=True)
class Header:
    """The codestream's header. `width` and `height` as stored, before `orientation` (EXIF's 1 to 8)."""

    width: int
    height: int
    orientation: int = 1
    bits: int = 8
    lossy: bool = True


def require() -> Any:
    """The plug-in, which teaches Pillow JPEG XL. Raises MoebiusError when the optional packages are missing."""
    try:
        importlib.import_module("brotli")
        return importlib.import_module("pillow_jxl")
    except ImportError:
        raise MoebiusError('JPEG XL needs optional packages: pip install "mlx-moebius[jxl]"') from None


def opened(file: BinaryIO) -> tuple[BinaryIO, Image.Image]:
    """The picture, or the JPEG file that is packed in it and its picture.

    `info` gets what the plug-in does not tell: `xmp`, `exif` (upright, as the decoder leaves the pixels),
    `original_orientation`, `bits`, `lossless`, `gain_map`. Raises MoebiusError for what cannot be kept.
    """
    plugin = require()
    data = file.read()
    boxes = list(_boxes(data)) if data.startswith(STARTS[1]) else [(b"jxlc", data)]
    parts = (content[4 * (kind == b"jxlp") :] for kind, content in boxes if kind in (b"jxlc", b"jxlp"))
    header = read_header(b"".join(parts))
    limits.check_size(header.width, header.height)
    try:
        if any(kind == b"jbrd" for kind, _ in boxes):
            is_jpeg, _, jpeg, *_ = plugin.Decoder()(data)
            if is_jpeg:
                file = io.BytesIO(jpeg)
                return file, Image.open(file, formats=["JPEG", "MPO"])
        image = Image.open(io.BytesIO(data), formats=["JXL"])
    except RuntimeError:  # its text advises to build the decoder anew
        raise MoebiusError("it cannot be read: it is damaged or cut short") from None
    at = image.info.get("icc_profile", b"").find(b"cicp\0\0\0\0")
    if at >= 0:
        nclx.profile(*image.info["icc_profile"][at + 8 : at + 10])  # HDR is refused
    carried = dict(_unpacked(boxes))
    exif = carried.get(b"Exif", b"")
    if len(exif) > 8:
        exif = exif[4 + int.from_bytes(exif[:4], "big") :]
        upright = {metadata.ORIENTATION: metadata.Field(metadata.SHORT, b"\1\0")}
        with suppress(metadata.DamagedBlock):
            exif = metadata.edit_fields(exif, upright) if metadata.checked_block(exif) else exif
        image.info["exif"] = exif
    image.info |= {
        "xmp": carried.get(b"xml ", b""),
        "original_orientation": header.orientation,
        "bits": header.bits,
        "lossless": not header.lossy,
        "gain_map": b"jhgm" in carried,
    }
    return file, image


def read_header(codestream: bytes) -> Header:
    """The size and the metadata of the picture (18181-1, annex D).

    Raises MoebiusError when it is cut short, for animations, floating point, and channels beside colours and opacity.
    """
    bits = _Bits(codestream[2:HEADER])
    width, height = _size(bits)
    if bits.flag():  # all as usual
        return Header(width, height)
    orientation = 1
    if bits.flag():
        orientation = 1 + bits.take(3)
        if bits.flag():
            _size(bits)  # for which screen it is meant
        if bits.flag():
            raise MoebiusError("JPEG XL with a preview is not supported: save it without")
        if bits.flag():
            raise MoebiusError("it is animated: only single pictures can be filled")
    depth = _depth(bits)
    bits.flag()  # whether 16 bits suffice to decode
    extra = bits.choose((0, 0), (1, 0), (2, 4), (1, 12))
    if extra > 1 or (extra and not _is_plain_alpha(bits)):
        raise MoebiusError("it has channels beside colours and plain opacity: save it without, or as TIFF")
    return Header(width, height, orientation, depth, bits.flag())


def is_srgb(icc: bytes, mode: str) -> bool:
    """Whether a profile means the same as none in JPEG XL: sRGB, or for grey (`mode` L or LA) sRGB's curve."""
    if not icc:
        return True
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    if mode.startswith("RGB"):
        colours = Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(len(steps), -1, 3))
    else:
        colours = Image.fromarray(steps[None])
    try:
        shown = ImageCms.profileToProfile(colours, io.BytesIO(icc), ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False
    return int(np.abs(np.asarray(shown, np.int16) - np.asarray(colours.convert("RGB"), np.int16)).max()) <= ICC_LIMIT


def packed(jpeg: bytes, mode: str, size: tuple[int, int]) -> bytes:
    """A JPEG file packed without loss: every decoder of JPEG XL shows it, and gives it back byte for byte."""
    plugin = require()
    options = {"decoding_speed": 0, "effort": 7, "use_container": True, "use_original_profile": True, "num_threads": -1}
    encoder = plugin.Encoder(mode=mode, lossless=True, quality=100, **options)
    return bytes(encoder(jpeg, *size, jpeg_encode=True))


class _Bits:
    """Bits from the lowest up, as the format packs them."""

    def __init__(self, data: bytes) -> None:
        self.rest = int.from_bytes(data, "little")
        self.count = 8 * len(data)

    def take(self, count: int) -> int:
        """A number of so many bits."""
        self.count -= count
        if self.count < 0:
            raise MoebiusError("it cannot be read: it is damaged or cut short")
        value = self.rest & ((1 << count) - 1)
        self.rest >>= count
        return value

    def flag(self) -> bool:
        """One bit."""
        return bool(self.take(1))

    def choose(self, *ranges: tuple[int, int]) -> int:
        """A number from one of four ranges, which are given by their starts and their bits."""
        start, count = ranges[self.take(2)]
        return start + self.take(count)


def _size(bits: _Bits) -> tuple[int, int]:
    """Width and height."""
    in_eights = bits.flag()

    def side() -> int:
        return 8 * (1 + bits.take(5)) if in_eights else bits.choose((1, 9), (1, 13), (1, 18), (1, 30))

    height = side()
    across, down = RATIOS[bits.take(3)]
    return (height * across // down if across else side()), height


def _depth(bits: _Bits) -> int:
    """Bits of a channel."""
    if bits.flag():
        raise MoebiusError("it has floating-point numbers, of which only 8 bits could be kept: save it as 8-bit")
    return bits.choose((8, 0), (10, 0), (12, 0), (1, 6))


def _is_plain_alpha(bits: _Bits) -> bool:
    """Whether an extra channel is opacity, of full size, and colours are not multiplied by it."""
    if bits.flag():  # all as usual
        return True
    if bits.choose((0, 0), (1, 0), (2, 4), (18, 6)) != ALPHA:
        return False
    _depth(bits)
    reduced = bits.choose((0, 0), (3, 0), (4, 0), (1, 3))
    bits.take(8 * bits.choose((0, 0), (0, 4), (16, 5), (48, 10)))  # its name
    return not reduced and not bits.flag()


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Types and contents of the boxes (ISO/IEC 14496-12), as far as the file goes."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if length == 1:
            length, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        end = at + length if length else len(data)
        if end < start:
            return
        yield kind, data[start:end]
        at = end


def _unpacked(boxes: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """The boxes, those that are packed with Brotli unpacked."""
    brotli = importlib.import_module("brotli")
    for kind, content in reversed(boxes):  # the first of a kind is taken
        if kind == b"brob":
            yield content[:4], brotli.Decompressor().process(content[4:], output_buffer_limit=BOX_LIMIT)
        else:
            yield kind, content
