"""Chooses the source of every cell of the hole, so that neighbours fit together.

This is a labelling problem on the grid. A source costs less if its surroundings look like those of the cell. Two
neighbours cost less if their sources agree on both cells; the same offset is best, as it copies a coherent piece
(Kwatra et al., "Graphcut textures", 2003; Pritch et al., "Shift-map image editing", 2009; He and Sun, 2012).
`labelling` solves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlx_moebius.inpainting.synthesis.grids import Floats, Grid, box_sum, squared, unflatten
from mlx_moebius.inpainting.synthesis.kinds import stray
from mlx_moebius.inpainting.synthesis.labelling import NEVER, ROUNDS, SEAM, Labelling
from mlx_moebius.inpainting.synthesis.lattice import Lattice
from mlx_moebius.inpainting.synthesis.offsets import Offsets, variance
from mlx_moebius.inpainting.synthesis.search import Indices, nearest_patch
from mlx_moebius.side_by_side import side_by_side

PATCH = 7  # cells that a source is compared on
KEPT = 10  # candidates per cell that enter the labelling
KNOWN = 0.3  # weight of known cells against a seam's
TEXTURE = 0.3
FAR = 0.2 * 128**2  # cost of an offset as long as the grid, in squared levels; rows count three times
REGULAR = 0.2  # weight of how much a regular texture differs from itself, moved by an offset
VARIED = 100.0  # squared levels: repeated pieces that vary by less are seen less
SPLIT = 0.8  # cells are looked at in two halves where these take so much less
AT_ONCE = 1 << 16  # numbers on a core: more would leave its cache, fewer are too short to share


@dataclass(frozen=True, slots=True)
class Guide:
    """What the hole should look like: `fill` and, comparable with it, `photo`, [R, C, 3], and how much it counts.

    `stray` is the cost, in squared levels, of a kind of surface that is not expected in a place (see `kinds`).
    """

    fill: Floats
    photo: Floats
    weight: float
    reach: int = PATCH
    stray: float = 0.0


class TwinPenalty(NamedTuple):
    """The most that it costs, in squared levels, to copy what a larger piece holds already, for each of these pieces.

    At most `most` pieces count. It is applied in so many `passes`. What varies little costs less, since repeated grain
    is not seen.
    """

    cost: float = 100.0
    passes: int = 2
    most: int = 4


DEFAULT_TWINS = TwinPenalty()


def assemble(
    grid: Grid,
    offsets: Offsets,
    guide: Guide,
    twins: TwinPenalty = DEFAULT_TWINS,
    kept: int = KEPT,
    rounds: int = ROUNDS,
    regular: Lattice | None = None,
) -> Indices:
    """The source of every cell of the hole, flat [R * C]; -1 elsewhere, and where no source is found.

    `kept` candidates of every cell enter `rounds` of choosing. In a `regular` texture, its own offsets cost less.
    """
    cells = np.flatnonzero(grid.hole)
    if not len(cells) or not len(offsets):  # too thin for this grid
        return np.full(grid.hole.size, -1)
    rows, columns = unflatten(cells, grid.width)
    height, width = grid.hole.shape
    down, across = rows[:, None] + offsets[:, 0], columns[:, None] + offsets[:, 1]
    inside = (down >= 0) & (down < height) & (across >= 0) & (across < width)
    sources = down.clip(0, height - 1) * width + across.clip(0, width - 1)
    cost = _likeness(grid, cells, offsets, guide)
    longest = max(height, width)
    if regular is not None:
        cost += REGULAR * regular.excess(offsets)
    cost += FAR * (3 * offsets[:, 0] ** 2 + offsets[:, 1] ** 2) / longest**2
    usable = inside & ~grid.excluded.ravel().take(sources)
    cost[~usable] = NEVER
    if len(lost := np.flatnonzero(~usable.any(axis=1))):  # no offset leads out of the hole from here
        sources[lost, 0] = nearest_patch(grid, guide.fill, cells[lost])
        cost[lost, 0] = 0
    cost += rim(grid, cells, sources)
    if guide.stray:
        cost += np.float32(guide.stray) * stray(grid, cells, sources)
    if len(offsets) > kept:
        best = np.argpartition(cost, kept, axis=1)[:, :kept]
        sources, cost = np.take_along_axis(sources, best, 1), np.take_along_axis(cost, best, 1)
    labelling = Labelling(grid, cells, sources)
    chosen = labelling.choose(cost, rounds)
    if not twins.passes:
        return chosen
    seen = twins.cost * np.minimum(variance(grid.colours, PATCH // 2) / np.float32(VARIED), 1).take(sources)
    for _ in range(twins.passes):
        chosen = labelling.choose(cost + seen * _twins(grid, cells, sources, chosen, twins.most), rounds // 2)
    return chosen


def _twins(grid: Grid, cells: Indices, sources: Indices, chosen: Indices, most: int) -> Floats:
    """How many larger pieces, at most `most`, already copy from a candidate [N, K]. Repeated ones (twins) are seen."""
    copied = chosen[cells]
    taken = copied >= 0
    moves, piece, sizes = np.unique((copied - cells)[taken], return_inverse=True, return_counts=True)
    copied, size = copied[taken], sizes[piece]
    candidate = sources - cells[:, None]
    at = np.searchsorted(moves, candidate).clip(0, len(moves) - 1)
    own = np.where(moves[at] == candidate, sizes[at], 0)
    twins = np.zeros(sources.shape, np.float32)
    for _ in range(most):
        largest = np.zeros(grid.hole.size, np.int64)
        np.maximum.at(largest, copied, size)
        around = largest.reshape(grid.hole.shape)
        around = np.maximum.reduce(
            [np.roll(around, (down, across), (0, 1)) for down in (-1, 0, 1) for across in (-1, 0, 1)]
        )
        twins += around.ravel().take(sources) > own
        others = size < largest[copied]
        copied, size = copied[others], size[others]
    return twins


def rim(grid: Grid, cells: Indices, sources: Indices) -> Floats:
    """Cost of seams towards known neighbours, [N, K]. These have no source, so only their colours are compared."""
    flat, known = grid.colours.reshape(-1, 3), grid.known.ravel()
    cost = np.zeros(sources.shape, np.float32)
    last = len(flat) - 1
    for step in (1, -1, grid.width, -grid.width):
        rim = np.flatnonzero(known[(cells + step).clip(0, last)])
        there = flat.take((sources[rim] + step).clip(0, last), axis=0)
        cost[rim] += 2 * SEAM * squared(flat[cells[rim] + step][:, None] - there)
    return cost


def _likeness(grid: Grid, cells: Indices, offsets: Offsets, guide: Guide) -> Floats:
    """Mean squared differences between the patch of a cell and the patch at an offset, [N, K]."""
    rows, columns = unflatten(cells, grid.width)
    cost = np.empty((len(cells), len(offsets)), np.float32)
    photos = [grid.colours, grid.texture] + [guide.photo] * (guide.photo is not grid.colours)
    planes = [np.ascontiguousarray(np.moveaxis(values, -1, 0)) for values in photos]
    usable = (~grid.excluded).astype(np.float32)
    count = box_sum(usable, PATCH // 2).clip(1).ravel()
    for some in _regions(rows, columns):
        cost[some] = _likeness_in(grid, rows[some], columns[some], offsets, guide, planes, usable.ravel(), count)
    return cost


def _regions(rows: Indices, columns: Indices) -> list[Indices]:
    """Cells, as indices, in groups whose bounding boxes with the patches round them are small together."""
    todo, found = [np.arange(len(rows))], []
    while todo:
        some = todo.pop()
        down, across = (_extent(axis[some]) for axis in (rows, columns))
        axis = rows if down > across else columns
        middle = (axis[some].min() + axis[some].max() + 1) / 2
        halves = [half for half in (some[axis[some] < middle], some[axis[some] >= middle]) if len(half)]
        areas = [_extent(rows[half]) * _extent(columns[half]) for half in halves]
        if len(halves) == 2 and sum(areas) < SPLIT * down * across:
            todo += halves
        else:
            found.append(some)
    return found


def _extent(axis: Indices) -> int:
    return int(axis.max() - axis.min()) + PATCH


def _likeness_in(
    grid: Grid,
    rows: Indices,
    columns: Indices,
    offsets: Offsets,
    guide: Guide,
    planes: list[Floats],
    usable: Floats,
    count: Floats,
) -> Floats:
    """`_likeness` of some cells.

    `planes`, [3, R, C], are colours, texture and the guide's photo, if that has other colours; `count` [R * C] says how
    many usable cells a patch has.
    """
    half = PATCH // 2
    top, left = max(0, rows.min() - half), max(0, columns.min() - half)
    height, width = grid.hole.shape
    bottom, right = min(height, rows.max() + half + 1), min(width, columns.max() + half + 1)
    region = np.s_[top:bottom, left:right]
    at = rows - top, columns - left
    known = KNOWN * grid.known[region].astype(np.float32)
    wanted = guide.weight * grid.hole[region].astype(np.float32)
    down, across = np.mgrid[top:bottom, left:right]
    cost = np.empty((len(rows), len(offsets)), np.float32)
    here = [
        np.moveaxis(colour_plane[region], -1, 0)[:, None] for colour_plane in (grid.colours, grid.texture, guide.fill)
    ]
    reach = guide.reach // 2
    size = max(1, AT_ONCE // known.size)

    def compare(start: int) -> None:
        some = offsets[start : start + size]
        moved = (down + some[:, 0, None, None]).clip(0, height - 1) * width
        moved += (across + some[:, 1, None, None]).clip(0, width - 1)
        may = usable.take(moved)
        there = [plane.reshape(3, -1).take(moved, axis=1) for plane in planes]
        apart = []
        for values, moved_values in zip(here, (*there, there[0])[:3], strict=True):
            squares = values - moved_values
            squares *= squares
            apart.append(squares[0] + squares[1] + squares[2])
        cost_here = (known * apart[0] + TEXTURE * apart[1]) * may
        follows = wanted * apart[2] * may
        patch_count = count[moved[:, at[0], at[1]]]
        if reach == half:
            mean = box_sum(cost_here + follows, half)[:, at[0], at[1]] / patch_count
        else:
            mean = box_sum(cost_here, half)[:, at[0], at[1]] / patch_count
            mean += (box_sum(follows, reach) / box_sum(may, reach).clip(1))[:, at[0], at[1]]
        cost[:, start : start + size] = mean.T

    side_by_side(compare, range(0, len(offsets), size))
    return cost
