"""The infrared picture of a film scan: dust, hairs and scratches are dark in it, and the dyes of colour film are not.

Scanning programs write it as a fourth channel of a TIFF (RGBI), or as a grey page behind the photo (HDRi). Neither
is announced. It is told from opacity by the field ExtraSamples, and from saved selections and second pages of a
document by its values: nearly everywhere bright, never the same, and seldom at an end of the scale.
"""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.photos import metadata

EXTRA_SAMPLES, SAMPLES = 338, 277  # TIFF fields
UNSPECIFIED, UNASSOCIATED = 0, 2  # values of ExtraSamples: of no known meaning; opacity
RIM = 0.1  # of each side: what is left out of the judgement, as the holder of the film is dark
SOME = 1000  # rows and columns that are looked at, at most
LEAST_BRIGHT = 0.15  # of the largest value: raw scans are linear, and dark
DARK, MOSTLY = 0.6, 0.97  # of the median; share of the pixels that are brighter
ENDS = 0.5  # share of the pixels that may have the least or largest value
PAPER = 0.05  # of its median: by how much most of a sheet of paper differs
SHADES = 6  # different values, at least


def looks_infrared(values: NDArray[Any]) -> bool:
    """Whether values [H, W], uint8 or uint16, are those of an infrared picture."""
    height, width = values.shape
    y, x = int(RIM * height), int(RIM * width)
    middle = values[y : height - y : height // SOME + 1, x : width - x : width // SOME + 1]
    most = np.iinfo(values.dtype).max
    median = float(np.median(middle)) if middle.size else 0.0
    if median < LEAST_BRIGHT * most or len(np.unique(middle)) < SHADES:
        return False
    at_ends = ((middle == 0) | (middle == most)).mean()
    return bool((middle >= DARK * median).mean() >= MOSTLY and at_ends <= ENDS)


def fourth_channel(file: BinaryIO, image: Image.Image) -> NDArray[np.uint8] | None:
    """The infrared channel of an opened TIFF of 8 bits a channel, [H, W] as stored; None if there is none.

    Pillow reads no channels of unknown meaning. It gets the file with the field that makes the fourth one opacity.
    """
    tags = image.tag_v2  # type: ignore[attr-defined]
    extra = tuple(tags.get(EXTRA_SAMPLES, (UNSPECIFIED,)))
    if tags.get(SAMPLES) != 4 or extra != (UNSPECIFIED,) or image.mode not in ("RGB", "RGBX", "RGBA"):
        return None
    if image.mode == "RGBA":
        pixels = np.asarray(image)
    else:
        position = file.tell()
        file.seek(0)
        data = file.read()
        file.seek(position)
        meaning = metadata.Field(metadata.SHORT, struct.pack("<H", UNASSOCIATED))
        try:
            with Image.open(
                io.BytesIO(metadata.edit_fields(data, {EXTRA_SAMPLES: meaning})), formats=["TIFF"]
            ) as whole:
                pixels = np.asarray(whole)
        except (metadata.DamagedBlock, OSError, ValueError):  # of a layout that is edited by nobody: BigTIFF
            return None
    values = np.ascontiguousarray(pixels[..., -1])
    return values if pixels.shape[-1] == 4 and looks_infrared(values) else None


def behind(image: Image.Image, colours: int) -> tuple[NDArray[Any], bool] | None:
    """The infrared picture of the photo on page `colours` of a TIFF, a grey page of its size behind it; None without.

    The second value says whether it is upright, as Pillow turns pages that say how they lie.
    """
    found = page(image, colours) if getattr(image, "n_frames", 1) > 1 else None
    if found is None:
        return None
    image.seek(found)
    values, is_upright = np.asarray(image), metadata.ORIENTATION in image.tag_v2  # type: ignore[attr-defined]
    image.seek(colours)
    return values, is_upright


def page(image: Image.Image, colours: int) -> int | None:
    """The number of that page; None if there is none.

    A grey photo may have one, too. Where it is of paper's colour nearly everywhere, both are pages of a document.
    """
    image.seek(colours)
    size = sorted(image.size)  # only one of them may say that it lies on its side
    if image.mode not in ("RGB", "RGBX") and not _is_grey(image):
        return None
    for number in range(colours + 1, getattr(image, "n_frames", 1)):
        image.seek(number)
        if sorted(image.size) == size and _is_grey(image) and looks_infrared(np.asarray(image)):
            image.seek(colours)
            return None if _is_grey(image) and _is_paper(np.asarray(image)) else number
    return None


def _is_paper(values: NDArray[Any]) -> bool:
    median = float(np.median(values))
    return looks_infrared(values) and bool((np.abs(values - median) <= PAPER * median).mean() > 0.5)


def _is_grey(image: Image.Image) -> bool:
    return image.mode == "L" or image.mode.startswith("I;16")


def in_depth(values: NDArray[Any], depth: np.dtype[Any]) -> NDArray[Any]:
    """The values in uint8 or uint16."""
    if values.dtype == depth:
        return values
    deeper = values.astype(np.uint16) * 257
    return deeper if depth == np.uint16 else ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
