"""Between a photo and the network's squares: cut a window out, level its colours, blend it back, measure the seam.

Colours are RGB in 8-bit levels (0..255); float32 wherever they are not a photo's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.crops import REACH, Window
from mlx_moebius.masks import Mask, dilate
from mlx_moebius.photo import Box

Colours = NDArray[np.float32]

FEATHER = 64  # the feather is 1/64 of the window's side wide: 8 pixels at 512
GRID = 64  # cells along a window's side in which colours are levelled
RING = 2  # cells round the mask that are compared


def extract(rgb: NDArray[np.uint8], mask: Mask, window: Window) -> tuple[NDArray[np.uint8], Mask]:
    """What the network gets to see of a photo [H, W, 3] and its mask [H, W]: squares of the window's `size`.

    Where `side` equals `size`, these are the photo's own pixels. Otherwise the image is reduced with a Lanczos filter
    and a mask pixel is set if any masked pixel falls on it (thin lines survive) or on one of its neighbours, which
    the filter blends. Outside the photo both are mirrored.
    """
    left, top, right, bottom = window.frame
    height, width = mask.shape
    pad = (max(0, -top), max(0, bottom - height)), (max(0, -left), max(0, right - width))
    inside = np.s_[max(0, top) : bottom, max(0, left) : right]
    image = np.pad(rgb[inside], (*pad, (0, 0)), "symmetric")
    hole = np.pad(mask[inside], pad, "symmetric")
    if window.side == window.size:
        return image, hole
    size = window.size
    image = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS))
    starts = -(-np.arange(size) * window.side // size)  # pixel i is i * size // side of the reduced mask
    hole = np.logical_or.reduceat(np.logical_or.reduceat(hole, starts, 0), starts, 1)
    return image, dilate(hole, 3)


def enlarge(fill: Colours, window: Window, box: Box) -> Colours:
    """The part of a fill [size, size, 3] that covers a box of the photo, [h, w, 3], with a Lanczos filter."""
    left, top, right, bottom = (edge - origin for edge, origin in zip(box, (window.left, window.top) * 2, strict=True))
    if window.side == window.size:
        return fill[top:bottom, left:right]
    scale = window.size / window.side
    source = (left * scale, top * scale, right * scale, bottom * scale)
    channels = [
        Image.fromarray(fill[..., channel]).resize((right - left, bottom - top), Image.Resampling.LANCZOS, source)
        for channel in range(fill.shape[2])
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def feather(mask: Mask, width: int) -> NDArray[np.float32]:
    """Weights [H, W]: 1 on the mask, falling smoothly to 0 at more than `width` pixels from it along either axis.

    Both are exact. The mask is grown by half the width, then averaged twice over squares of a quarter, in integers.
    """
    quarter = width // 4
    grown = dilate(mask, 2 * (width - 2 * quarter) + 1) if width else mask
    for _ in range(2):
        pass
    raise NotImplementedError
