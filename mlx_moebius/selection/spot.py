"""A spot in a photo, and what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Mask

Floats = NDArray[np.float32]
PART = 0.4  # of a spot's difference: what differs more belongs to it


@dataclass(frozen=True, slots=True)
class Spot:
    """A spot: where it is, its size in pixels, its difference from its surroundings in levels (below 0: darker), and
    how many times that is more than what differs there anyway.
    """

    x: int
    y: int
    size: int
    difference: float
    clarity: float

    def window(self, grey: Floats, reach: int) -> tuple[tuple[slice, slice], int, int]:
        """The surroundings within `reach` in a picture [H, W], and the spot's row and column in them."""
        top, left = max(0, self.y - reach), max(0, self.x - reach)
        return np.s_[top : self.y + reach + 1, left : self.x + reach + 1], self.y - top, self.x - left

    def part(self, grey: Floats, reach: int) -> tuple[tuple[slice, slice], Mask, Floats]:
        """The surroundings, what belongs to the spot there, and how each pixel differs from the surroundings' frame."""
        here, row, column = self.window(grey, reach)
        near = grey[here]
        differences = near - np.float32(np.median(frame(near)))
        part = differences * np.sign(self.difference) > PART * abs(self.difference)
        middle = self.size // 4
        part[max(0, row - middle) : row + middle + 1, max(0, column - middle) : column + middle + 1] = True
        _, numbers = opencv().connectedComponents(part.astype(np.uint8), connectivity=8)
        return here, numbers == numbers[row, column], differences


def frame(picture: Floats) -> Floats:
    """The values [N] along the border of a picture [H, W]."""
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
