"""Masks as arrays, bool [H, W], True = fill: connected parts, dilation, the latent mask.

`mask_files.py` reads them. Morphology follows OpenCV for a square kernel, anchor at kernel // 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.photos.geometry import Box, Mask

Runs: TypeAlias = NDArray[np.int64]
"""Horizontal runs of True, one a row of the array: y, first x, x after the last. [R, 3]"""


def dilate(mask: Mask, kernel: int) -> Mask:
    """Grow by a square of `kernel` pixels: `cv2.dilate` with `np.ones((kernel, kernel))`, even sizes included."""
    before, (height, width) = kernel // 2, mask.shape
    grown = np.zeros((height + kernel - 1, width + kernel - 1), bool)
    grown[before : before + height, before : before + width] = mask
    covered = 1
    while covered < kernel:  # each pass doubles the window that a pixel stands for
        step = min(covered, kernel - covered)
        grown = grown[:-step] | grown[step:]
        grown = grown[:, :-step] | grown[:, step:]
        covered += step
    return grown


def close(mask: Mask, kernel: int) -> Mask:
    """Close gaps narrower than `kernel` pixels: `cv2.morphologyEx(MORPH_CLOSE)`, even sizes included."""
    return ~dilate(~dilate(mask, kernel), kernel)


def latent_mask(mask: Mask, cell: int = 8, reference: bool = False) -> NDArray[np.float32]:
    """Mask [H, W] for the latents, 0 or 1 as float32 [H / cell, W / cell]; sides must be multiples of `cell`.

    A cell is filled if any of its pixels is, so that thin lines survive; with `reference`, if its top left pixel is.
    """
    cells = mask.reshape(mask.shape[0] // cell, cell, mask.shape[1] // cell, cell)
    filled = cells[:, 0, :, 0] if reference else cells.max(axis=(1, 3))
    return np.asarray(filled, np.float32)


@dataclass(frozen=True, eq=False)
class Part:
    """A connected part of a mask: its bounding box, its area in pixels, and its runs."""

    box: Box
    area: int
    runs: Runs

    def mask(self, box: Box | None = None) -> Mask:
        """The part alone, bool [h, w] of a box; of its own by default."""
        left, top, right, bottom = box or self.box
        first, last = np.searchsorted(self.runs[:, 0], (top, bottom))
        runs, width = self.runs[first:last] - np.array([top, left, left]), right - left
        inside = runs[(runs[:, 1] < width) & (runs[:, 2] > 0)]
        inside[:, 1:] = inside[:, 1:].clip(0, width)
        return _paint(inside, width, bottom - top)


def components(mask: Mask) -> list[Part]:
    """Connected parts (8 neighbours), in reading order of their first pixels.

    Works on runs of pixels rather than pixels (He, Chao, Suzuki, "A run-based two-scan labeling algorithm", 2008),
    with the union of labels in whole arrays: a 24-megapixel mask takes a fraction of a second.
    """
    runs = _runs(mask)
    if not len(runs):
        return []
    label = _connected(len(runs), *_touching(runs, mask.shape[1]))
    order = np.argsort(label, kind="stable")
    firsts = np.flatnonzero(np.diff(label[order], prepend=-1))
    ordered = runs[order]
    areas = np.add.reduceat(ordered[:, 2] - ordered[:, 1], firsts)
    low = np.minimum.reduceat(ordered, firsts)
    high = np.maximum.reduceat(ordered, firsts)
    boxes = np.stack([low[:, 1], low[:, 0], high[:, 2], high[:, 0] + 1], axis=1).tolist()
    return [
        Part((box[0], box[1], box[2], box[3]), area, part_runs)
        for box, area, part_runs in zip(boxes, areas.tolist(), np.split(ordered, firsts[1:]), strict=True)
    ]


def _runs(mask: Mask) -> Runs:
    """Horizontal runs of True in reading order."""
    width = mask.shape[1] + 2  # a False pixel on either side keeps rows apart
    edges = np.flatnonzero(np.diff(np.pad(mask, ((0, 0), (1, 1))).ravel()))
    starts, ends = edges[::2], edges[1::2]
    return np.stack([starts // width, starts % width, ends - starts // width * width], axis=1)


def _touching(runs: Runs, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of runs (indices) that touch from one row to the next, diagonals included."""
    stride = width + 2  # rows as one line, with a gap between them
    starts, ends = runs[:, 0] * stride + runs[:, 1], runs[:, 0] * stride + runs[:, 2]
    first = np.searchsorted(ends, starts - stride, side="left")  # in the row above: not ending before the start
    last = np.searchsorted(starts, ends - stride, side="right")  # nor starting after the end
    counts = last - first
    below = np.repeat(np.arange(len(runs)), counts)
    above = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    return above, below


def _connected(count: int, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Smallest index in each element's connected set, given pairs of `a` and `b` (Shiloach, Vishkin, 1982)."""
    parent = np.arange(count)
    while True:
        low, high = np.minimum(parent[a], parent[b]), np.maximum(parent[a], parent[b])
        if (low == high).all():
            return parent
        np.minimum.at(parent, high, low)
        while ((shorter := parent[parent]) != parent).any():
            parent = shorter


def _paint(runs: Runs, width: int, height: int) -> Mask:
    steps = np.zeros((height, width + 1), np.int8)
    steps[runs[:, 0], runs[:, 1]] = 1
    steps[runs[:, 0], runs[:, 2]] = -1
    return np.cumsum(steps, axis=1, dtype=np.int8)[:, :width] > 0
