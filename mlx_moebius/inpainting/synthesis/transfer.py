"""For every tile of a trusted fill, finds the place of the photo that looks most like it.

On grids of up to `EXACT` cells the search is exhaustive; on finer ones it goes on from what the coarser grid found, as
in Barnes et al., "PatchMatch", 2009: neighbours' offsets, then small steps.
"""

from __future__ import annotations

import numpy as np

from mlx_moebius.inpainting.synthesis.grids import MARGIN, Grid, Scene, near, unflatten
from mlx_moebius.inpainting.synthesis.search import Indices, describe, nearest

STRIDE = 2  # cells per tile
PATCH = 3
EXACT = 144
STEPS = (2, 1)  # cells


def match_tiles(scene: Scene, finest: Grid, cells: int) -> Indices:
    """Sources of the tiles that touch the hole, flat [R * C] on the finest grid, of `cells`; -1 elsewhere."""
    size = cells
    while size > EXACT:
        size = -(-size // 2)
    grid = finest if size == cells else scene.grid(size)
    places = _places(grid)
    found = np.full(grid.hole.size, -1)
    targets = _tiles(grid)
    if not len(places) or not len(targets):  # a sliver of a hole may fall between coarse cells
        return np.full(finest.hole.size, -1)
    sources = describe(grid, grid.colours, places, PATCH)
    found[targets] = places[nearest(describe(grid, grid.colours, targets, PATCH), sources)]
    while size < cells:
        coarse, size = grid, min(cells, 2 * size)
        grid = finest if size == cells else scene.grid(size)
        found = _finer(coarse, found, grid)
    return found


def _tiles(grid: Grid) -> Indices:
    """Cells at every STRIDE-th row and column, if the tile there may touch the hole."""
    stands = np.zeros_like(grid.hole)
    stands[MARGIN:-MARGIN:STRIDE, MARGIN:-MARGIN:STRIDE] = True
    return np.flatnonzero(near(grid.hole, STRIDE) & stands)


def _places(grid: Grid) -> Indices:
    """Cells that may be copied with what is round them."""
    return np.flatnonzero(~near(grid.excluded, max(1, PATCH // 2)))


def _finer(coarse: Grid, matches: Indices, grid: Grid) -> Indices:
    """The search on a finer grid, round what a coarser one found."""
    targets = _tiles(grid)
    rows, columns = unflatten(targets, grid.width)
    usable = np.zeros(grid.hole.size, bool)
    usable[_places(grid)] = True
    wanted = describe(grid, grid.colours, targets, PATCH)
    places = np.flatnonzero(usable)
    height, width = grid.hole.shape
    scale = [(a - 2 * MARGIN) / (b - 2 * MARGIN) for a, b in zip(grid.hole.shape, coarse.hole.shape, strict=True)]
    table = np.full(grid.hole.size, -1)
    table[places] = np.arange(len(places))
    sources = describe(grid, grid.colours, places, PATCH)
    best, least = np.full(len(targets), -1), np.full(len(targets), np.inf, np.float32)

    def offer(down: Indices, across: Indices) -> None:
        """Take the candidates at these rows and columns where they are better."""
        inside = (down >= 0) & (down < height) & (across >= 0) & (across < width)
        cell = down.clip(0, height - 1) * width + across.clip(0, width - 1)
        candidates = np.flatnonzero(inside & usable[cell])
        offered = sources.take(table.take(cell.take(candidates)), axis=0)
        distance = ((wanted.take(candidates, axis=0) - offered) ** 2).sum(axis=1)
        better = candidates[distance < least[candidates]]
        least[better] = distance[distance < least[candidates]]
        best[better] = cell[better]

    at = [
        np.floor((axis - MARGIN + 0.5) / by).astype(np.int64) for axis, by in zip((rows, columns), scale, strict=True)
    ]
    limits = [length - 2 * MARGIN for length in coarse.hole.shape]
    for down in (-STRIDE, 0, STRIDE):
        for across in (-STRIDE, 0, STRIDE):
            parent = [
                ((axis // STRIDE) * STRIDE + step).clip(0, (limit - 1) // STRIDE * STRIDE) + MARGIN
                for axis, step, limit in zip(at, (down, across), limits, strict=True)
            ]
            source = matches[parent[0] * coarse.width + parent[1]]
            moves = [a - b for a, b in zip(unflatten(source, coarse.width), parent, strict=True)]
            moved = [np.rint(move * by).astype(np.int64) for move, by in zip(moves, scale, strict=True)]
            gone = np.where(source < 0, height, 0)
            offer(rows + moved[0] + gone, columns + moved[1])
    for step in STEPS:
        centre = unflatten(best, width)
        missing = np.where(best < 0, height, 0)
        for down in (-step, 0, step):
            for across in (-step, 0, step):
                offer(centre[0] + down + missing, centre[1] + across)
    lost = np.flatnonzero(best < 0)
    best[lost] = places[nearest(wanted[lost], sources)]
    result = np.full(grid.hole.size, -1)
    result[targets] = best
    return result
