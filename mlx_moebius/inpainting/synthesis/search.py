"""Nearest patches: finds the place of the photo that looks most like a given one.

Exact search is a matrix product: |a - b|^2 = |a|^2 + |b|^2 - 2 ab, and |a|^2 does not matter. On a GPU MLX does it,
on a CPU numpy's BLAS. Patches are compared by their principal components (as in Hertzmann et al., "Image analogies",
2001) together with what else describes the place.
"""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_moebius.inpainting.synthesis.grids import Floats, Grid, box_sum, near, unflatten
from mlx_moebius.networks.kernels import on_cpu
from mlx_moebius.side_by_side import side_by_side

Indices = NDArray[np.int64]

COMPONENTS = 32
SAMPLES = 4000  # patches that the components are taken from
BLOCK, CPU_BLOCK = 1 << 22, 1 << 19  # distances held at a time; on a CPU they stay in its cache
TEXTURE = 1.0  # weight of texture against colours
POSITION = 0.02  # of the place, on a grid of 128 cells; rows count more than columns, as perspective wants
GROUPS = 12  # in which targets are served when sources have a price
PRICE = 1.5


def patches(values: Floats, cells: Indices, side: int) -> Floats:
    """Square patches round flat cell indices: [R, C, K] -> [N, side * side * K]."""
    width, half = values.shape[1], side // 2
    steps = (np.arange(-half, half + 1)[:, None] * width + np.arange(-half, half + 1)).ravel()
    flat = values.reshape(-1, values.shape[-1])
    return flat.take(cells[:, None] + steps, axis=0).reshape(len(cells), len(steps) * flat.shape[1])


def describe(grid: Grid, colours: Floats, cells: Indices, side: int) -> Floats:
    """Patches of colours, texture and position of some cells, weighted to be compared, [N, D]."""
    rows, columns = unflatten(cells, grid.width)
    scale = side * (3 * POSITION) ** 0.5 * 128 / max(grid.hole.shape)
    position = np.stack([scale * rows, scale * 0.3**0.5 * columns], axis=1).astype(np.float32)
    texture = side * TEXTURE**0.5 * grid.texture.reshape(-1, 3).take(cells, axis=0)
    return np.concatenate([patches(colours, cells, side), texture, position], axis=1)


def nearest_patch(grid: Grid, colours: Floats, cells: Indices, side: int = 5) -> Indices:
    """The place that looks most like a cell does in `colours` [R, C, 3], for all `cells`; -1 if there is no place."""
    places = np.flatnonzero(~near(grid.excluded, side // 2))
    if not len(places):
        return np.full(len(cells), -1)
    sources = describe(grid, colours, places, side)
    return places[nearest(describe(grid, colours, cells, side), sources)]


class Basis:
    """Principal components of patches [N, D]; `project` gives [N, at most COMPONENTS]."""

    def __init__(self, samples: Floats) -> None:
        self.mean = samples.mean(axis=0)
        centred = samples[:: max(1, len(samples) // SAMPLES)] - self.mean
        _, vectors = np.linalg.eigh(centred.T @ centred)
        self.vectors = np.ascontiguousarray(vectors[:, ::-1][:, :COMPONENTS], np.float32)

    def project(self, samples: Floats) -> Floats:
        """[N, D] -> [N, K]."""
        projected: Floats = (samples - self.mean) @ self.vectors
        return projected


def nearest(
    targets: Floats, sources: Floats, price: Floats | None = None, skip: NDArray[np.bool_] | None = None
) -> Indices:
    """Index [N] of the source [M, D] nearest to every target [N, D], by squared distance plus twice its price [M].

    `skip` [N, M] excludes pairs.
    """
    half = (sources**2).sum(axis=1) / 2 + (0 if price is None else price)
    found = np.empty(len(targets), np.int64)
    if not on_cpu() and skip is None:
        block = max(1, BLOCK // len(sources))
        columns, halves = mx.array(sources.T), mx.array(half)
        for start in range(0, len(targets), block):
            rows = slice(start, start + block)
            found[rows] = np.array(mx.argmin(halves - mx.array(targets[rows]) @ columns, axis=1))
        return found

    def look_up(start: int) -> None:
        rows = slice(start, start + block)
        distances = targets[rows] @ sources.T
        np.subtract(half, distances, out=distances)
        if skip is not None:
            np.copyto(distances, np.inf, where=skip[rows])
        found[rows] = distances.argmin(axis=1)

    block = max(1, CPU_BLOCK // len(sources))
    side_by_side(look_up, range(0, len(targets), block))
    return found


def fair_nearest(
    targets: Floats,
    sources: Floats,
    places: Indices,
    shape: tuple[int, int],
    side: int,
    price: float,
    rng: np.random.Generator,
) -> Indices:
    """`nearest`, but a source pays for how often its surroundings were used (Kaspar et al., "Self tuning texture
    optimization", 2015): targets are served in random order, in groups.

    `places` are the sources' flat cells in a grid of `shape`, `side` is the patches', `price` is in squared levels a
    cell of the patch. Returns indices into `sources`.
    """
    found = np.empty(len(targets), np.int64)
    order = rng.permutation(len(targets))
    used = np.zeros(shape, np.float32)
    fair = max(1.0, len(targets) * side * side / len(sources))
    size = max(64, -(-len(targets) // GROUPS))
    for start in range(0, len(order), size):
        group = order[start : start + size]
        cost = None
        if start and price:
            share = box_sum(used, side // 2).ravel()[places] * (len(targets) / start / fair)
            cost = (PRICE * price * side * side) * share**2
        found[group] = nearest(targets[group], sources, cost)
        np.add.at(used.reshape(-1), places[found[group]], 1)
    return found
