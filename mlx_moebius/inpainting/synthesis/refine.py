"""From a coarse grid's sources to a finer one's: the same pieces, cut more exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.inpainting.synthesis.assembly import KNOWN, rim
from mlx_moebius.inpainting.synthesis.grids import MARGIN, Floats, Grid, near, squared, unflatten
from mlx_moebius.inpainting.synthesis.labelling import NEVER, Labelling
from mlx_moebius.inpainting.synthesis.offsets import SHORT, Offsets, rings
from mlx_moebius.inpainting.synthesis.search import Indices

ROUNDS = 8
PATCH = 5
NEW = 8  # candidates of a cell that is too thin for the coarser grid


def refine(coarse: Grid, matches: Indices, grid: Grid) -> Indices:
    """Sources [R * C] on a finer grid, from those of a coarser one (both flat; -1: none)."""
    cells = np.flatnonzero(grid.hole)
    rows, columns = unflatten(cells, grid.width)
    inherited, offsets = _parents(coarse, matches, grid, rows, columns)
    orphans = np.flatnonzero(~inherited.any(axis=1))
    if len(orphans):
        extra = np.concatenate([rings(*SHORT), np.unique(offsets[inherited], axis=0)])
        offsets, inherited = _widened(offsets, inherited, NEW)
        offsets[orphans], inherited[orphans] = _best(grid, cells[orphans], extra, NEW)
    height, width = grid.hole.shape
    down, across = rows[:, None] + offsets[..., 0], columns[:, None] + offsets[..., 1]
    inside = (down >= 0) & (down < height) & (across >= 0) & (across < width) & inherited
    sources = down.clip(0, height - 1) * width + across.clip(0, width - 1)
    cost = rim(grid, cells, sources) + likeness(grid, cells, sources)
    cost[~inside | grid.excluded.ravel().take(sources)] = NEVER
    return Labelling(grid, cells, sources).choose(cost, ROUNDS)


def likeness(grid: Grid, cells: Indices, sources: Indices) -> Floats:
    """Mean squared differences between known cells round a cell and round its sources [N, K]; 0 if none is known."""
    half = PATCH // 2
    cost = np.zeros(sources.shape, np.float32)
    at_rim = np.flatnonzero(near(grid.known, half).ravel()[cells])
    count = np.zeros((len(at_rim), sources.shape[1]), np.float32)
    total = np.zeros_like(count)
    flat, known, excluded = grid.colours.reshape(-1, 3), grid.known.ravel(), grid.excluded.ravel()
    last = len(flat) - 1
    for down in range(-half, half + 1):
        for across in range(-half, half + 1):
            step = down * grid.width + across
            here, there = cells[at_rim] + step, (sources[at_rim] + step).clip(0, last)
            usable = known[here][:, None] & ~excluded.take(there)
            total += usable * squared(flat[here][:, None] - flat.take(there, axis=0))
            count += usable
    cost[at_rim] = KNOWN * total / count.clip(1)
    return cost


def _parents(
    coarse: Grid, matches: Indices, grid: Grid, rows: Indices, columns: Indices
) -> tuple[NDArray[np.bool_], Offsets]:
    """For the four coarse cells nearest to a cell: whether they have a source, [N, 4], and its offset, [N, 4, 2]."""
    scales, starts, sides = [], [], []
    for fine_cells, coarse_cells, at in zip(grid.hole.shape, coarse.hole.shape, (rows, columns), strict=True):
        scale = (coarse_cells - 2 * MARGIN) / (fine_cells - 2 * MARGIN)
        place = (at - MARGIN + 0.5) * scale
        scales.append(1 / scale)
        starts.append(np.floor(place).astype(np.int64) + MARGIN)
        sides.append(np.where(place % 1 < 0.5, -1, 1))
    parents = np.stack(
        [
            (starts[0] + down * sides[0]) * coarse.width + starts[1] + across * sides[1]
            for down in (0, 1)
            for across in (0, 1)
        ],
        axis=1,
    )
    sources = matches[parents]
    steps = [a - b for a, b in zip(unflatten(sources, coarse.width), unflatten(parents, coarse.width), strict=True)]
    return sources >= 0, np.rint(np.stack(steps, axis=-1) * np.array(scales)).astype(np.int64)


def _widened(offsets: Offsets, usable: NDArray[np.bool_], width: int) -> tuple[Offsets, NDArray[np.bool_]]:
    """Pad to `width` candidates per cell."""
    more = width - offsets.shape[1]
    return np.pad(offsets, ((0, 0), (0, more), (0, 0))), np.pad(usable, ((0, 0), (0, more)))


def _best(grid: Grid, cells: Indices, offsets: Offsets, count: int) -> tuple[Offsets, NDArray[np.bool_]]:
    """The `count` best of the offsets [K, 2] for every cell, [N, count, 2], and whether they lead to a source."""
    height, width = grid.hole.shape
    rows, columns = unflatten(cells, width)
    down, across = rows[:, None] + offsets[:, 0], columns[:, None] + offsets[:, 1]
    inside = (down >= 0) & (down < height) & (across >= 0) & (across < width)
    sources = down.clip(0, height - 1) * width + across.clip(0, width - 1)
    cost = likeness(grid, cells, sources)
    cost[~inside | grid.excluded.ravel().take(sources)] = NEVER
    best = np.argsort(cost, axis=1, kind="stable")[:, :count]
    return offsets[best], np.take_along_axis(cost, best, 1) < NEVER
