"""Candidate offsets: how far from a cell of the hole its source may lie.

The offsets between similar patches of a photo have a few sharp peaks: its structures repeat at these distances (He and
Sun, "Statistics of patch offsets for image completion", ECCV 2012). The offsets of the first estimate are added, and
short ones in all directions, which serve thin holes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.inpainting.synthesis.grids import MARGIN, Floats, Grid, box_sum, near, unflatten
from mlx_moebius.inpainting.synthesis.search import Basis, Indices, nearest, patches

Offsets = NDArray[np.int64]
"""Cells down and across, [K, 2]."""

PATCH = 7
COMPONENTS = 24
STATISTICS, FEWEST = 2000, 1000  # patches that are looked up: twice as many as the hole has cells, within these
CLOSE = 16  # similar patches nearer than 1/16 of the grid say nothing
BLOCK = 500
SHORT = (2, 4, 8)  # radii of short offsets, in cells
DIRECTIONS = 12


def repeats(grid: Grid, count: int, rng: np.random.Generator) -> Offsets:
    """The most frequent offsets between what is known and what looks most like it."""
    half = PATCH // 2
    height, width = grid.hole.shape
    inner = np.zeros_like(grid.hole)
    inner[half : height - half, half : width - half] = True
    places = np.flatnonzero(inner & ~near(grid.excluded, half))
    if len(places) < 2:
        return np.zeros((0, 2), np.int64)
    samples = patches(grid.colours, places, PATCH)
    features = Basis(samples).project(samples)[:, :COMPONENTS]
    life = variance(grid.colours, half)[places]
    chosen = np.flatnonzero(life >= np.median(life))  # what is flat looks like everything that is
    enough = min(STATISTICS, max(FEWEST, 2 * int(np.count_nonzero(grid.hole))))
    if len(chosen) > enough:
        chosen = np.sort(rng.permutation(chosen)[:enough])
    rows, columns = unflatten(places, width)
    least = max(MARGIN, (max(height, width) - 2 * MARGIN) // CLOSE)
    close_rows, close_columns = (
        (np.abs(np.arange(length)[:, None] - np.arange(length)) < least).take(at, axis=1)
        for length, at in ((height, rows), (width, columns))
    )
    found = np.empty(len(chosen), np.int64)
    for start in range(0, len(chosen), BLOCK):
        chunk = chosen[start : start + BLOCK]
        close = close_rows.take(rows[chunk], axis=0) & close_columns.take(columns[chunk], axis=0)
        found[start : start + BLOCK] = nearest(features[chunk], features, skip=close)
    return peaks(np.stack([rows[found] - rows[chosen], columns[found] - columns[chosen]], axis=1), count)


def variance(colours: Floats, radius: int) -> Floats:
    """The largest variance of a channel in the patches round all cells, flat [R * C]."""
    planes = np.moveaxis(colours - colours.mean(axis=(0, 1)), -1, 0)
    count = (2 * radius + 1) ** 2
    variance = box_sum(planes**2, radius) / count - (box_sum(planes, radius) / count) ** 2
    return variance.max(axis=0).ravel()


def of_matches(matches: Indices, width: int, scale: float, count: int) -> Offsets:
    """The most frequent offsets from cells to their flat sources (-1: none), `scale` times as long."""
    cells = np.flatnonzero(matches >= 0)
    down, across = (a - b for a, b in zip(unflatten(matches[cells], width), unflatten(cells, width), strict=True))
    return peaks(np.rint(np.stack([down, across], axis=1) * scale).astype(np.int64), count)


def rings(*radii: float, directions: int = DIRECTIONS) -> Offsets:
    """Offsets of some lengths in all directions."""
    angles = np.arange(directions) * 2 * np.pi / directions
    steps = [np.stack([radius * np.sin(angles), radius * np.cos(angles)], axis=1) for radius in radii]
    return np.rint(np.concatenate(steps)).astype(np.int64)


def peaks(offsets: Offsets, count: int) -> Offsets:
    """At most `count` offsets at the peaks of the histogram of those given, [N, 2] -> [K, 2]."""
    if not len(offsets):
        return offsets
    reach = int(np.abs(offsets).max()) + 3
    side = 2 * reach + 1
    votes = np.bincount((offsets + reach) @ np.array([side, 1]), minlength=side * side).reshape(side, side)
    around = box_sum(votes, 1)
    found = []
    for _ in range(count):
        row, column = np.unravel_index(around.argmax(), around.shape)
        if around[row, column] <= 0:
            break
        corner = np.array([row - 1, column - 1])
        cell = votes[row - 1 : row + 2, column - 1 : column + 2]
        peak = corner + np.unravel_index(cell.argmax(), cell.shape)
        found.append(peak - reach)
        votes[peak[0] - 1 : peak[0] + 2, peak[1] - 1 : peak[1] + 2] = 0
        changed = votes[peak[0] - 3 : peak[0] + 4, peak[1] - 3 : peak[1] + 4]
        around[peak[0] - 2 : peak[0] + 3, peak[1] - 2 : peak[1] + 3] = box_sum(changed, 1)[1:-1, 1:-1]
    return np.array(found, np.int64).reshape(-1, 2)
