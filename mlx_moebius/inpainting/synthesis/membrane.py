"""Corrections that let copied pieces meet each other and the photo without a step.

A colour is added to every copied cell. Within a piece it changes as little as possible. Between two pieces it jumps by
their difference at the seam. This is Poisson image editing (Perez et al., 2003; Darabi et al., "Image
melding", 2012) on a grid, solved by conjugate gradients.
"""

from __future__ import annotations

import numpy as np

from mlx_moebius.inpainting.synthesis.grids import Floats, Grid
from mlx_moebius.inpainting.synthesis.search import Indices

PULL = 0.002  # towards no correction at all
LEVEL = 0.05  # 8-bit levels that the solution may be off by
STEPS = 300


def corrections(grid: Grid, sources: Indices) -> Floats:
    """Colours to add, [R * C, 3]; `sources` as from `assembly`."""
    cells = np.flatnonzero(sources >= 0)
    flat, known = grid.colours.reshape(-1, 3), grid.known.ravel()
    place = np.full(len(sources), -1)
    place[cells] = np.arange(len(cells))
    origins, last = sources[cells], len(sources) - 1
    jumps = np.zeros((len(cells), 3), np.float32)
    links = np.full(len(cells), PULL, np.float32)
    for step in (1, grid.width):
        other = place[(cells + step).clip(0, last)]
        first = np.flatnonzero(other >= 0)
        second = other[first]
        here = flat[(origins[second] - step).clip(0, last)] - flat[origins[first]]
        there = flat[origins[second]] - flat[(origins[first] + step).clip(0, last)]
        jump = np.where((origins[second] - origins[first] == step)[:, None], 0, (here + there) / 2)
        jumps[first] += jump
        jumps[second] -= jump
        links[first] += 1
        links[second] += 1
    for step in (1, -1, grid.width, -grid.width):
        rim = np.flatnonzero(known[(cells + step).clip(0, last)])
        jumps[rim] += flat[cells[rim] + step] - flat[(origins[rim] + step).clip(0, last)]
        links[rim] += 1
    result = np.zeros((len(sources), 3), np.float32)
    result[cells] = _solve(grid, cells, links[:, None], jumps)
    return result


def _solve(grid: Grid, cells: Indices, links: Floats, wanted: Floats) -> Floats:
    """Conjugate gradients, preconditioned by the diagonal, for all three colours at once."""
    plane = np.zeros((*grid.hole.shape, 3), np.float32)
    flat = plane.reshape(-1, 3)

    def product(values: Floats) -> Floats:
        flat[cells] = values
        around = np.zeros_like(plane)
        around[1:] += plane[:-1]
        around[:-1] += plane[1:]
        around[:, 1:] += plane[:, :-1]
        around[:, :-1] += plane[:, 1:]
        return links * values - around.reshape(-1, 3)[cells]

    solution = np.zeros_like(wanted)
    rest = wanted.copy()
    scaled = rest / links
    direction = scaled.copy()
    size = (rest * scaled).sum(axis=0)
    for _ in range(STEPS):
        if np.abs(rest).max(initial=0) < LEVEL:
            break
        moved = product(direction)
        step = size / (direction * moved).sum(axis=0).clip(1e-9)
        solution += step * direction
        rest -= step * moved
        scaled = rest / links
        before, size = size, (rest * scaled).sum(axis=0)
        direction = scaled + size / before.clip(1e-9) * direction
    return solution
