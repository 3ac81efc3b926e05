"""Strips of a photo along a line, in which something thin lies nearly level, and the best path through a strip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.opencv import opencv

Floats = NDArray[np.float32]
WIDTHS = (1, 2, 3, 4, 6, 8)  # pixels of a thing that is looked for
CLEAR = 20.0  # levels: a ridge of this contrast counts half of a perfect one, where lines are compared
ALONG = 7  # pixels along the strip over which contrast is averaged


@dataclass(frozen=True, eq=False)
class Strip:
    """Pixels along a line: `pixels` is [2 half + 1, length, C], float32; its middle row lies on the line.

    `start` is where the line begins in the photo, `along` its direction (of length 1).
    """

    pixels: Floats
    start: NDArray[np.float64]
    along: NDArray[np.float64]

    @property
    def half(self) -> int:
        """Rows above the middle one."""
        return len(self.pixels) // 2

    @property
    def length(self) -> int:
        """Pixels along the line."""
        return self.pixels.shape[1]

    def points(self, rows: NDArray[np.float64], columns: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Where rows of the strip lie in the photo, [N, 2] as x, y; one row for each column."""
        columns = np.arange(len(rows), dtype=np.float64) if columns is None else columns
        across = np.array([-self.along[1], self.along[0]])
        return self.start + columns[:, None] * self.along + (rows - self.half)[:, None] * across

    def rows(self, points: NDArray[np.float64]) -> NDArray[np.int64]:
        """The nearest rows to points of the photo [N, 2]."""
        across = np.array([-self.along[1], self.along[0]])
        rows: NDArray[np.int64] = np.rint((points - self.start) @ across).astype(np.int64) + self.half
        return rows.clip(0, len(self.pixels) - 1)


def strip(image: NDArray[np.uint8], start: NDArray[np.float64], end: NDArray[np.float64], half: int) -> Strip:
    """The strip of an image [H, W, C] from `start` to `end` (x, y), `half` pixels to either side. Edges repeat."""
    cv2 = opencv()
    length = max(2, int(np.ceil(np.linalg.norm(end - start))) + 1)
    along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
    across = np.array([-along[1], along[0]])
    placed = np.column_stack([along, across, start - half * across])
    pixels = cv2.warpAffine(
        image,
        placed,
        (length, 2 * half + 1),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return Strip(pixels.astype(np.float32), start, along)


def ridges(pixels: Floats) -> tuple[Floats, Floats]:
    """How much darker, and how much lighter, each pixel is than both sides: two arrays [h, w] in levels, at least 0.

    Both sides count by the one that differs less, so that the edge of a surface is no ridge.
    """
    cv2 = opencv()
    smooth = cv2.blur(pixels, (ALONG, 1), borderType=cv2.BORDER_REPLICATE)
    dark, light = (np.zeros(pixels.shape[:2], np.float32) for _ in range(2))
    for width in WIDTHS:
        middle = cv2.blur(smooth, (1, width), borderType=cv2.BORDER_REPLICATE)
        gap = width + 1
        padded = np.pad(middle, ((gap, gap), (0, 0), (0, 0)), "edge")
        below, above = padded[: -2 * gap] - middle, padded[2 * gap :] - middle
        np.maximum(dark, np.minimum(below, above).max(axis=-1), out=dark)
        np.maximum(light, -np.maximum(below, above).min(axis=-1), out=light)
    return dark, light


def best_path(gain: Floats, bend: float) -> NDArray[np.int64]:
    """The row in each column of the path of most gain [h, w] from left to right, one row up or down a column.

    Each step up or down costs `bend`. Dynamic programming: exact.
    """
    rows, columns = gain.shape
    total = gain[:, 0].copy()
    came = np.zeros((columns, rows), np.int8)
    choices = np.full((3, rows), -np.inf, np.float32)
    for column in range(1, columns):
        choices[0, 1:] = total[:-1] - bend
        choices[1] = total
        choices[2, :-1] = total[1:] - bend
        best = choices.argmax(axis=0)
        came[column] = best - 1
        total = choices[best, np.arange(rows)] + gain[:, column]
    path = np.empty(columns, np.int64)
    path[-1] = total.argmax()
    for column in range(columns - 1, 0, -1):
        path[column - 1] = path[column] + came[column, path[column]]
    return path
