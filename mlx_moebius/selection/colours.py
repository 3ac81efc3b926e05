"""Colours as lightness and two opponents, in which differences are about as large as they look (CIE 1976 L*a*b*)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int32]
TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
WHITE = np.array([0.950456, 1.0, 1.088754])  # D65
SMALL = 0.008856  # share of white: below it the cube root is continued by a line
LIGHT, SHARE, ROOT = 8, 1 << 12, 1 << 15  # steps of a level, of a share and of a cube root, in whole numbers


def lab(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Lightness, a and b of sRGB [..., 3], each 0 to 255, float32: OpenCV's values for 8 bits, to a level.

    OpenCV spends 0.1 seconds on tables when it is first asked, a quarter of the time to an outline.
    """
    linear, roots = _tables()
    xyz = (linear[rgb] @ np.rint(TO_XYZ / WHITE[:, None] * SHARE).astype(np.int32).T + SHARE // 2) // SHARE
    x, y, z = np.moveaxis(roots[xyz], -1, 0)
    lightness = 296 * y - 1336934  # 116 and 16, times 255 / 100
    values = np.stack([lightness, 500 * (x - y) + 128 * ROOT, 200 * (y - z) + 128 * ROOT], axis=-1)
    return ((values + ROOT // 2) // ROOT).clip(0, 255).astype(np.float32)


@cache
def _tables() -> tuple[Whole, Whole]:
    """Light by level of sRGB, and the cube root of a share of white."""
    level = np.arange(256) / 255
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    share = np.arange(256 * LIGHT * 3 // 2) / (255 * LIGHT)
    root = np.where(share < SMALL, 7.787 * share + 16 / 116, np.cbrt(share))
    return np.rint(light * 255 * LIGHT).astype(np.int32), np.rint(root * ROOT).astype(np.int32)
