"""A first estimate of what belongs into the hole: patch voting on coarse grids, from coarse to fine.

Wexler, Shechtman and Irani, "Space-time completion of video", 2007; texture features beside colours as in Newson et
al., "Video inpainting of complex scenes", 2014, but continued smoothly into the hole, so that a smooth estimate does
not ask for smooth sources.
"""

from __future__ import annotations

import numpy as np

from mlx_moebius.inpainting.synthesis.grids import MARGIN, Floats, Grid, near
from mlx_moebius.inpainting.synthesis.search import Basis, Indices, fair_nearest, patches
from mlx_moebius.photos.geometry import Mask

PATCH = 7  # cells; less on the coarsest grids
TEXTURE = 1.0  # weight of texture against colours
POSITION = 0.02  # weight of the place; rows count three times as much as columns, as perspective wants
REPEATS = 3.0  # price of a source that is used often
FALL = 1.3  # a vote counts this much less with every cell away from the rim
FEW = 50  # with fewer sources there is no estimate


def estimate(grid: Grid, start: Floats, rounds: int, rng: np.random.Generator) -> tuple[Floats, Indices]:
    """Colours [R, C, 3] for the hole, from a first guess, and the source of every cell, flat [R * C], -1: none."""
    height, width = grid.hole.shape
    side = min(PATCH, max(3, (max(height, width) - 2 * MARGIN) // 5 | 1))
    half = side // 2
    inner = np.zeros_like(grid.hole)
    inner[half : height - half, half : width - half] = True
    targets = np.flatnonzero(inner & near(grid.hole, half))
    places = np.flatnonzero(inner & ~near(grid.excluded, half))
    colours = np.where(grid.hole[..., None], start, grid.colours)
    chosen = np.full(grid.hole.size, -1)
    if len(places) < FEW or not len(targets):
        return colours, chosen
    basis = Basis(patches(grid.colours, places, side))
    rows, columns = np.mgrid[:height, :width]
    position = (3 * POSITION) ** 0.5 * np.stack([rows, 0.3**0.5 * columns], axis=-1)
    other = side * np.concatenate([TEXTURE**0.5 * grid.texture, position], axis=-1).reshape(-1, 5).astype(np.float32)
    sources = np.hstack([basis.project(patches(grid.colours, places, side)), other.take(places, axis=0)])
    confidence = (FALL ** -depth(grid.hole)).ravel()[targets]
    for _ in range(rounds):
        wanted = np.hstack([basis.project(patches(colours, targets, side)), other.take(targets, axis=0)])
        found = fair_nearest(wanted, sources, places, grid.hole.shape, side, REPEATS, rng)
        distance = ((wanted - sources.take(found, axis=0)) ** 2).mean(axis=1)
        spread = np.percentile(distance, 75) + 1e-3
        weight = np.exp(-np.minimum(distance / (2 * spread), 20)) * confidence + 1e-9
        voted = _vote(grid.colours, targets, places[found], weight, half)
        colours = np.where(grid.hole[..., None], voted, grid.colours)
    chosen[targets] = places[found]
    return colours, chosen


def depth(hole: Mask, most: int = 60) -> Floats:
    """Depth of cells inside the hole, in cells (1: at its rim), at most `most`."""
    result = np.zeros(hole.shape, np.float32)
    rest = hole
    for _ in range(most):
        if not rest.any():
            break
        result += rest
        rest = ~near(~rest, 1)
    return result


def _vote(colours: Floats, targets: Indices, sources: Indices, weight: Floats, half: int) -> Floats:
    """Weighted means of the patches over every cell. Targets are unique, so plain indexing adds up."""
    width, flat = colours.shape[1], colours.reshape(-1, 3)
    total, weights = np.zeros((len(flat), 3)), np.zeros(len(flat))
    for down in range(-half, half + 1):
        for across in range(-half, half + 1):
            step = down * width + across
            total[targets + step] += weight[:, None] * flat.take(sources + step, axis=0)
            weights[targets + step] += weight
    voted: Floats = (total / weights.clip(1e-12)[:, None]).astype(np.float32).reshape(colours.shape)
    return voted
