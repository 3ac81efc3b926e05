"""Chooses the source of every cell of the hole, so that neighbours fit together.

This is a labelling problem on the grid. A source costs less if its surroundings look like those of the cell. Two
neighbours cost less if their sources agree on both cells; the same offset is best, as it copies a coherent piece
(Kwatra et al., "Graphcut textures", 2003; Pritch et al., "Shift-map image editing", 2009; He and Sun, 2012).
It is solved by min-sum belief propagation (Felzenszwalb and Huttenlocher, "Efficient belief propagation for early
vision", 2006).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlx_moebius.inpainting.synthesis.grids import Floats, Grid, box_sum, unflatten
from mlx_moebius.inpainting.synthesis.offsets import Offsets
from mlx_moebius.inpainting.synthesis.search import Indices, nearest_patch
from mlx_moebius.photos.geometry import Mask

PATCH = 7  # cells that a source is compared on
KEPT = 16  # candidates per cell that enter the labelling
KNOWN = 0.3  # weight of known cells against a seam's
TEXTURE = 0.3
FAR = 0.2 * 128**2  # cost of an offset as long as the grid, in squared levels; rows count three times
SEAM = 1.0
ROUNDS = 20
DAMPING = 0.5
NEVER = 1e6
AT_ONCE = 1 << 14  # numbers: so many stay in the processor's cache
PAUSE, SETTLED = 4, 0.01  # rounds after which a smaller share of the cells changes its source: it is done


@dataclass(frozen=True, slots=True)
class Guide:
    """What the hole should look like: `fill` and, comparable with it, `photo`, [R, C, 3], and how much it counts."""

    fill: Floats
    photo: Floats
    weight: float
    reach: int = PATCH


class TwinPenalty(NamedTuple):
    """The cost, in squared levels, of copying what a larger piece holds already, and how often it is applied."""

    cost: float = 100.0
    passes: int = 2


DEFAULT_TWINS = TwinPenalty()


def assemble(grid: Grid, offsets: Offsets, guide: Guide, twins: TwinPenalty = DEFAULT_TWINS) -> Indices:
    """The source of every cell of the hole, flat [R * C]; -1 elsewhere, and where no source is found."""
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
    cost += FAR * (3 * offsets[:, 0] ** 2 + offsets[:, 1] ** 2) / longest**2
    usable = inside & ~grid.excluded.ravel()[sources]
    cost[~usable] = NEVER
    if len(lost := np.flatnonzero(~usable.any(axis=1))):  # no offset leads out of the hole from here
        sources[lost, 0] = nearest_patch(grid, guide.fill, cells[lost])
        cost[lost, 0] = 0
    cost += rim(grid, cells, sources)
    if len(offsets) > KEPT:
        best = np.argpartition(cost, KEPT, axis=1)[:, :KEPT]
        sources, cost = np.take_along_axis(sources, best, 1), np.take_along_axis(cost, best, 1)
    chosen = label(grid, cells, sources, cost)
    for _ in range(twins.passes):
        penalty = np.float32(twins.cost) * _twins(grid, cells, sources, chosen)
        chosen = label(grid, cells, sources, cost + penalty, ROUNDS // 2)
    return chosen


def _twins(grid: Grid, cells: Indices, sources: Indices, chosen: Indices) -> Mask:
    """Whether a larger piece already copies from a candidate [N, K]. Repeated pieces (twins) are visible."""
    chosen_cells = chosen[cells]
    moves, piece, sizes = np.unique((chosen_cells - cells)[chosen_cells >= 0], return_inverse=True, return_counts=True)
    largest = np.zeros(grid.hole.size, np.int64)
    np.maximum.at(largest, chosen_cells[chosen_cells >= 0], sizes[piece])
    around = largest.reshape(grid.hole.shape)
    around = np.maximum.reduce(
        [np.roll(around, (down, across), (0, 1)) for down in (-1, 0, 1) for across in (-1, 0, 1)]
    )
    candidate = sources - cells[:, None]
    at = np.searchsorted(moves, candidate).clip(0, len(moves) - 1)
    size = np.where(moves[at] == candidate, sizes[at], 0)
    return np.asarray(around.ravel()[sources] > size)


def label(grid: Grid, cells: Indices, sources: Indices, cost: Floats, rounds: int = ROUNDS) -> Indices:
    """Choose one of the candidate `sources` [N, K] for every cell [N], by their `cost` [N, K] and the seams between."""
    place = np.full(grid.hole.size, -1)
    place[cells] = np.arange(len(cells))
    flat = grid.colours.reshape(-1, 3)
    pairs, seams = [], []
    for step in (1, grid.width):
        other = place[(cells + step).clip(0, len(place) - 1)]
        first = np.flatnonzero(other >= 0)
        pairs.append((first, other[first]))
        seams.append(_seams(flat, sources[first], sources[other[first]], step))
    messages = [[np.zeros((len(first), sources.shape[1]), np.float32) for _ in range(2)] for first, _ in pairs]
    before = cost.argmin(axis=1)
    for number in range(rounds):
        belief = _belief(cost, pairs, messages)
        if number and number % PAUSE == 0:
            best = belief.argmin(axis=1)
            if np.count_nonzero(best != before) <= SETTLED * len(cells):
                break
            before = best
        for (first, second), costs_here, (onward, backward) in zip(pairs, seams, messages, strict=True):
            sent = _cheapest(belief[first] - backward, costs_here[0]), _cheapest(belief[second] - onward, costs_here[1])
            for old, new in zip((onward, backward), sent, strict=True):
                new -= new.min(axis=1, keepdims=True)
                old *= DAMPING
                old += (1 - DAMPING) * new
    best = _belief(cost, pairs, messages).argmin(axis=1)
    everyone = np.arange(len(cells))
    chosen = np.full(grid.hole.size, -1)
    usable = cost[everyone, best] < NEVER
    chosen[cells[usable]] = sources[everyone, best][usable]
    return chosen


def _belief(cost: Floats, pairs: list[tuple[Indices, Indices]], messages: list[list[Floats]]) -> Floats:
    belief = cost.copy()
    for (first, second), (onward, backward) in zip(pairs, messages, strict=True):
        belief[second] += onward
        belief[first] += backward
    return belief


def _cheapest(costs: Floats, seams: Floats) -> Floats:
    """Minima over the sender's candidates of `costs` [N, K] plus `seams` [K, N, K], the sender's first: [N, K]."""
    result = np.empty_like(costs)
    size = AT_ONCE // costs.shape[1]
    total = np.empty((size, costs.shape[1]), np.float32)
    for start in range(0, len(costs), size):
        rows = slice(start, start + size)
        least, unary = result[rows], costs[rows]
        np.add(seams[0, rows], unary[:, :1], out=least)
        for index in range(1, len(seams)):
            part = np.add(seams[index, rows], unary[:, index, None], out=total[: len(unary)])
            np.minimum(least, part, out=least)
    return result


def _seams(flat: Floats, first: Indices, second: Indices, step: int) -> tuple[Floats, Floats]:
    """Squared differences, on both cells, between two neighbours' candidates [N, K].

    Returned twice, [K, N, K], with the candidates of the first neighbour first, and with those of the second.
    """
    last = len(flat) - 1
    a = np.concatenate([flat[first], flat[(first + step).clip(0, last)]], axis=-1)
    b = np.concatenate([flat[(second - step).clip(0, last)], flat[second]], axis=-1)
    seam = a @ b.swapaxes(1, 2)
    seam *= -2
    seam += (a**2).sum(-1)[:, :, None]
    seam += (b**2).sum(-1)[:, None]
    np.maximum(seam, 0, out=seam)
    seam *= SEAM
    return np.ascontiguousarray(seam.transpose(1, 0, 2)), np.ascontiguousarray(seam.transpose(2, 0, 1))


def rim(grid: Grid, cells: Indices, sources: Indices) -> Floats:
    """Cost of seams towards known neighbours, [N, K]. These have no source, so only their colours are compared."""
    flat, known = grid.colours.reshape(-1, 3), grid.known.ravel()
    cost = np.zeros(sources.shape, np.float32)
    last = len(flat) - 1
    for step in (1, -1, grid.width, -grid.width):
        rim = np.flatnonzero(known[(cells + step).clip(0, last)])
        difference = flat[cells[rim] + step][:, None] - flat[(sources[rim] + step).clip(0, last)]
        cost[rim] += 2 * SEAM * (difference**2).sum(axis=-1)
    return cost


def _likeness(grid: Grid, cells: Indices, offsets: Offsets, guide: Guide) -> Floats:
    """Mean squared differences between the patch of a cell and the patch at an offset, [N, K]."""
    half = PATCH // 2
    rows, columns = unflatten(cells, grid.width)
    top, left = max(0, rows.min() - half), max(0, columns.min() - half)
    bottom, right = rows.max() + half + 1, columns.max() + half + 1
    region = np.s_[top:bottom, left:right]
    at = rows - top, columns - left
    height, width = grid.hole.shape
    known = KNOWN * grid.known[region].astype(np.float32)
    wanted = guide.weight * grid.hole[region].astype(np.float32)
    down, across = np.mgrid[top : min(bottom, height), left : min(right, width)]
    cost = np.empty((len(cells), len(offsets)), np.float32)
    here = [
        np.moveaxis(colour_plane[region], -1, 0)[:, None] for colour_plane in (grid.colours, grid.texture, guide.fill)
    ]
    planes = [np.ascontiguousarray(np.moveaxis(values, -1, 0)) for values in (grid.colours, grid.texture, guide.photo)]
    size = max(1, AT_ONCE // known.size)
    for start in range(0, len(offsets), size):
        some = offsets[start : start + size]
        moved = (down + some[:, 0, None, None]).clip(0, height - 1) * width
        moved += (across + some[:, 1, None, None]).clip(0, width - 1)
        usable = (~grid.excluded).ravel()[moved].astype(np.float32)
        apart = [((a - plane.reshape(3, -1)[:, moved]) ** 2).sum(axis=0) for a, plane in zip(here, planes, strict=True)]
        count = box_sum(usable, half)
        mean = box_sum((known * apart[0] + TEXTURE * apart[1]) * usable, half) / count.clip(1)
        reach = guide.reach // 2
        mean += box_sum(wanted * apart[2] * usable, reach) / (count if reach == half else box_sum(usable, reach)).clip(
            1
        )
        cost[:, start : start + size] = mean[:, at[0], at[1]].T
    return cost
