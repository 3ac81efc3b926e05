"""Types of pixels, masks and boxes, and the operations on boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[Any]
"""uint8 or uint16, [H, W] or [H, W, C]."""
Colours: TypeAlias = NDArray[np.float32]
"""float32 [H, W, C], in 8-bit levels (0..255), not rounded."""
Mask: TypeAlias = NDArray[np.bool_]
"""bool [H, W], True = fill."""
Box: TypeAlias = tuple[int, int, int, int]
"""left, top, right, bottom in pixels; right and bottom are outside (Pillow's convention)."""


def slices(box: Box, origin: tuple[int, int] = (0, 0)) -> tuple[slice, slice]:
    """Rows and columns of a box, in an array whose first pixel lies at `origin` (left, top)."""
    left, top = origin
    return slice(box[1] - top, box[3] - top), slice(box[0] - left, box[2] - left)


def shifted(box: Box, left: int, top: int) -> Box:
    """A box moved to the right and down."""
    return box[0] + left, box[1] + top, box[2] + left, box[3] + top


def intersection(a: Box, b: Box) -> Box | None:
    """The overlap of two boxes; None if there is none."""
    left, top, right, bottom = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return (left, top, right, bottom) if left < right and top < bottom else None


def around(box: Box, by: int, width: int, height: int) -> Box:
    """A box and `by` pixels round it, inside a picture of width x height."""
    return max(0, box[0] - by), max(0, box[1] - by), min(width, box[2] + by), min(height, box[3] + by)


def union(boxes: Sequence[Box]) -> Box:
    """The smallest box that contains all `boxes`. At least one is needed."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def bounding_box(mask: Mask) -> Box | None:
    """The smallest box that contains every True pixel; None if there is none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
