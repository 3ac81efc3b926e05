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
    neighbours = [place[(cells + step).clip(0, last)] for step in (1, -1, grid.width, -grid.width)]
    neighbours = [np.where(index < 0, len(cells), index) for index in neighbours]
    result[cells] = _solve(neighbours, links, np.ascontiguousarray(jumps.T)).T
    return result


def _solve(neighbours: list[Indices], links: Floats, wanted: Floats) -> Floats:
    """Conjugate gradients, preconditioned by the diagonal, for all colours at once: [C, N].

    `neighbours` are four indices [N] of cells, N where there is none.
    """
    padded = np.zeros((wanted.shape[0], wanted.shape[1] + 1), np.float32)

    def product(values: Floats) -> Floats:
        padded[:, :-1] = values
        result = links * values
        for index in neighbours:
            result -= padded.take(index, axis=1)
        return result

    solution = np.zeros_like(wanted)
    rest = wanted.copy()
    scaled = rest / links
    direction = scaled.copy()
    size = (rest * scaled).sum(axis=1, keepdims=True)
    for _ in range(STEPS):
        if np.abs(rest).max(initial=0) < LEVEL:
            break
        moved = product(direction)
        step = size / (direction * moved).sum(axis=1, keepdims=True).clip(1e-9)
        solution += step * direction
        rest -= step * moved
        scaled = rest / links
        before, size = size, (rest * scaled).sum(axis=1, keepdims=True)
        direction *= size / before.clip(1e-9)
        direction += scaled
    return solution
