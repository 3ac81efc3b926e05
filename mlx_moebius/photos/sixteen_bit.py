"""16 bits a channel in colour, which Pillow reads and writes as 8: TIFF by tifffile, PNG by imagecodecs.

Metadata is read and written as for 8 bits; this module handles the pixels alone.
"""

from __future__ import annotations

import importlib
import io
import struct
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.infrared import looks_infrared

MODES = {2: "LA;16", 3: "RGB;16", 4: "RGBA;16"}
"""Names of modes by their number of channels; grey without opacity is Pillow's I;16."""
CODECS = {"tiff_adobe_deflate": "zlib", "tiff_lzw": "lzw", "packbits": "packbits", "lzma": "lzma", "zstd": "zstd"}
PREDICTABLE = ("zlib", "lzw", "zstd", "lzma")
RGB = 2  # TIFF's PhotometricInterpretation
UNSPECIFIED, UNASSOCIATED = 0, 2  # TIFF's ExtraSamples: no known meaning; opacity, colours not multiplied by it
CANNOT = "it has 16 bits a channel and {}: save it as 8-bit, or as 16-bit RGB without"


def read_pixels(file: BinaryIO, format: str, page: int = 0) -> tuple[NDArray[np.uint16], NDArray[np.uint16] | None]:
    """Pixels of a PNG or TIFF file of 16 bits a channel in colour or with opacity, [H, W, 2 to 4], as stored.

    `format` is PNG or TIFF, `page` the TIFF's. The second value is the fourth channel [H, W] where it
    is no opacity but an infrared picture, else None.

    Raises MoebiusError for what cannot be kept, and where the extra `deep` is missing.
    """
    file.seek(0)
    if format == "PNG":
        pixels = _library("imagecodecs").png_decode(file.read())
        return np.asarray(pixels, np.uint16), None
    with _library("tifffile").TiffFile(file) as tiff:
        stored = tiff.pages[page]
        extra = tuple(int(kind) for kind in stored.extrasamples)
        if int(stored.photometric) != RGB:
            raise MoebiusError(CANNOT.format("colours other than RGB"))
        if stored.dtype != np.uint16:
            raise MoebiusError(CANNOT.format("no whole numbers"))
        samples = int(stored.samplesperpixel)
        may_be_infrared = samples == 4 and extra in ((), (UNSPECIFIED,))
        if not may_be_infrared and extra not in ((), (UNASSOCIATED,)):
            raise MoebiusError(CANNOT.format("an extra channel, or colours multiplied by their opacity"))
        if not may_be_infrared and samples != 3 + len(extra):
            raise MoebiusError(CANNOT.format("channels of unknown meaning"))
        pixels = stored.asarray()
        if int(stored.planarconfig) == 2 and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)  # planes one behind the other
        if may_be_infrared and not looks_infrared(pixels[..., 3]):
            raise MoebiusError(CANNOT.format("an extra channel, which is no infrared picture"))
        own = pixels[..., :3] if may_be_infrared else pixels
        return np.ascontiguousarray(own, np.uint16), pixels[..., 3] if may_be_infrared else None


def tiff(pixels: NDArray[np.uint16], options: Mapping[str, Any], infrared: bool = False) -> bytes:
    """A TIFF file of the pixels [H, W, 3 or 4]; of Pillow's save options, compression, ICC profile and resolution.

    The fourth channel is opacity, or an infrared picture.
    """
    codec = CODECS.get(options.get("compression", ""))
    dpi = options.get("dpi")
    buffer = io.BytesIO()
    _library("tifffile").imwrite(
        buffer,
        pixels,
        photometric="rgb",
        planarconfig="contig",
        extrasamples=["unspecified" if infrared else "unassalpha"] if pixels.shape[-1] == 4 else None,
        compression=codec,
        predictor=codec in PREDICTABLE,
        iccprofile=options.get("icc_profile"),
        resolution=(float(dpi[0]), float(dpi[1])) if dpi else None,  # tifffile takes no Pillow fractions
        resolutionunit="inch" if dpi else None,
        metadata=None,
        software=False,
    )
    return buffer.getvalue()


def png(pixels: NDArray[np.uint16], like: bytes) -> bytes:
    """A PNG file of the pixels [H, W, 2 to 4] with all other chunks of the PNG file `like`."""
    encoded = list(_chunks(_library("imagecodecs").png_encode(pixels)))
    image = [chunk for kind, chunk in encoded if kind == b"IDAT"]
    out = [like[:8], *(chunk for kind, chunk in encoded if kind == b"IHDR")]
    for kind, chunk in _chunks(like):
        if kind == b"IDAT":
            out += image
            image = []
        elif kind != b"IHDR":
            out.append(chunk)
    return b"".join(out)


def require() -> None:
    """Raise MoebiusError where the libraries are missing."""
    _library("tifffile")
    _library("imagecodecs")


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MoebiusError(
            'a photo of 16 bits a channel in colour needs an optional package: pip install "mlx-moebius[deep]"'
        ) from None


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Chunks of a PNG file: type, and all of its bytes."""
    at = 8
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        yield kind, png[at : at + length + 12]
        at += length + 12
