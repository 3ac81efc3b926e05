"""The official pipeline's photo handling to the letter (hustvl/Moebius; `golden/imaging.npz`, `golden/pipeline.npz`).

What `Settings.reference` asks for. Everything is 8-bit RGB at the network's resolution, white (255) in a mask means
fill, and the arithmetic is the original's: float64 on 0..1, truncated to bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

GRID = 64  # sides of resized images are multiples of this
NEIGHBOURHOOD = 10  # pixels that the mask's bounding box grows by, both sides together
COMPENSATION = 1.1


def binarise(mask: Image.Image) -> Image.Image:
    """Mask of any mode to 0 (luma < 127.5) and 255; done before resizing."""
    return Image.fromarray(np.where(np.asarray(mask.convert("L")) < 127.5, 0, 255).astype(np.uint8))


def resize_to_multiple(image: Image.Image, size: int) -> Image.Image:
    """Image or mask resized (Lanczos) to `size` pixels on the short side, then both floored to multiples of 64."""
    width, height = (side * size // min(image.size) // GRID * GRID for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def network_mask(mask: Image.Image) -> NDArray[np.bool_]:
    """What the network is told to fill, bool [H, W]: where the resized mask, grey along edges, is half white."""
    return np.asarray(mask) / 255 >= 0.5


def to_uint8(decoded: NDArray[Any]) -> NDArray[np.uint8]:
    """Decoded image (y + 1) / 2, float, clamped to 0..1 and truncated to bytes."""
    return (decoded.clip(0, 1) * 255).astype(np.uint8)


def neighbourhood(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Unmasked pixels [H, W] of the mask's bounding box grown by 10 pixels in all; the mask must not be empty."""
    inside = np.zeros(mask.shape, bool)
    spans = []
    for axis in (1, 0):
        covered = np.flatnonzero(mask.any(axis=axis))
        centre = (covered[0] + covered[-1]) // 2
        half = (covered[-1] - covered[0] + 1 + NEIGHBOURHOOD) // 2
        spans.append(slice(max(0, centre - half), centre + half + 1))
    inside[spans[0], spans[1]] = True
    return inside & (mask == 0)


def paste(
    image: NDArray[np.uint8], result: NDArray[np.uint8], mask: Image.Image, compensate: bool = False
) -> NDArray[np.uint8]:
    """The result laid over the image through the blurred mask; all [H, W, 3] and the mask 0/255 of the same size.

    `compensate` first moves the result, per channel, by 1.1 times the difference of means (image - result) over the
    mask's neighbourhood; not at all where the mask leaves none.
    """
    below, above = image / 255, result / 255
    if compensate and (around := neighbourhood(np.asarray(mask))).any():
        above = above + COMPENSATION * (below[around].mean(axis=0) - above[around].mean(axis=0))
    alpha = np.asarray(mask.filter(ImageFilter.GaussianBlur(3)))[..., None] / 255
    blended = above * alpha + below * (1 - alpha)
    return (blended * 255).clip(0, 255).astype(np.uint8)
