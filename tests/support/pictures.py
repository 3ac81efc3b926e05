"""Photo-like pictures of every mode, with metadata as cameras write it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from mlx_moebius.photos import metadata
from mlx_moebius.photos.metadata import Field
from mlx_moebius.photos.photo import read_photo

MODES = ("L", "LA", "RGB", "RGBA", "CMYK", "I;16")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:title="Beach"/></x:xmpmeta>'
PROVENANCE = {"version": "0.1.0", "model": "nano", "seed": 3, "num_steps": 20, "prompt": "naïve"}


def picture(mode: str, width: int = 83, height: int = 61, seed: int = 0) -> Image.Image:
    """A photo-like picture of any mode: soft shapes with a little grain; varying opacity."""
    rng = np.random.default_rng(seed)
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "I;16": 1}[mode]
    coarse = Image.fromarray(rng.integers(40, 216, (6, 8, 4), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    pixels = np.asarray(coarse).astype(np.float32)[..., :channels] + rng.normal(0, 2, (height, width, channels))
    pixels = pixels.clip(0, 255).astype(np.uint8)
    if mode == "I;16":
        fine = pixels[..., 0].astype(np.uint16) * 256 + rng.integers(0, 256, (height, width), np.uint16)
        return Image.fromarray(fine)
    return Image.frombytes(mode, (width, height), pixels.tobytes())


def camera_exif(orientation: int = 1) -> bytes:
    """EXIF as a camera writes it: sub-directories, a maker note, a thumbnail behind the last directory."""
    exif: metadata.Fields = {
        0x010F: Field(metadata.ASCII, b"Camera maker\0"),
        metadata.ORIENTATION: Field(metadata.SHORT, struct.pack("<H", orientation)),
        0x010E: Field(metadata.ASCII, b"On the beach\0"),
        metadata.EXIF_IFD: {
            0x829A: Field(5, struct.pack("<II", 1, 125)),
            0x927C: Field(metadata.UNDEFINED, b"maker note with offsets of its own"),
            metadata.PIXEL_X: Field(metadata.SHORT, struct.pack("<H", 83)),
            metadata.PIXEL_Y: Field(metadata.SHORT, struct.pack("<H", 61)),
            metadata.INTEROP_IFD: {1: Field(metadata.ASCII, b"R98\0")},
        },
        metadata.GPS_IFD: {1: Field(metadata.ASCII, b"N\0"), 2: Field(5, struct.pack("<6I", 52, 1, 31, 1, 7, 1))},
    }
    return metadata.edit_fields(metadata.EMPTY_BLOCK, exif)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def fields_of(path: Path) -> metadata.Fields:
    return metadata.read_fields(read_photo(path).metadata.exif)


def text(fields: Any, tag: int) -> bytes:
    return bytes(fields[tag].data.rstrip(b"\0"))
