"""Grain for smooth fills, copied from plain places of the same photo.

Small tiles, from which a linear slope is subtracted, are blended so that contrast is kept: weights are scaled to a sum
of squares of 1 (Heitz and Neyret, "High-performance by-example noise", 2018).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.inpainting.synthesis.grids import Floats, box_sum
from mlx_moebius.photos.geometry import Mask

TILE = 16  # pixels
STRIDE = TILE // 2
NEAREST = 24  # nearby tiles, from which one is drawn at random
FEWEST = 8
MOST = 4000  # tiles that are looked at
ALIKE = 1.4  # a tile's grain is at most so many times as strong or weak
TALLEST = 5.0  # deviations: what sticks out more is no grain


def grain(
    values: NDArray[np.generic], usable: Mask, hole: Mask, noise: Floats, rng: np.random.Generator
) -> Floats | None:
    """Grain for the pixels of a hole in reading order, [N, C], of deviation `noise` [C]; None where there is none.

    Args:
        values: [H, W, C], in 8-bit levels.
        usable: bool [H, W], what may be copied.
        hole: bool [H, W].
    """
    clear = box_sum(usable, TILE // 2)[STRIDE:-STRIDE:STRIDE, STRIDE:-STRIDE:STRIDE] > (TILE + 1) ** 2 - 0.5
    sources = np.argwhere(clear) * STRIDE
    if len(sources) < FEWEST:
        return None
    if len(sources) > MOST:
        sources = sources[np.sort(rng.permutation(len(sources))[:MOST])]
    steps = np.arange(TILE)
    tiles = (
        values[sources[:, 0, None, None] + steps[:, None], sources[:, 1, None, None] + steps]
        .astype(np.float32)
        .reshape(len(sources), TILE * TILE, -1)
    )
    slope = np.stack([np.ones(TILE * TILE), *np.indices((TILE, TILE)).reshape(2, -1) - TILE / 2], axis=1)
    tiles = tiles - (slope @ (np.linalg.pinv(slope) @ tiles)).astype(np.float32)
    deviation = np.sqrt((tiles**2).mean(axis=1))
    lively = noise > noise.max() / 4
    alike = (deviation <= ALIKE * noise + 0.3) & (deviation >= noise / ALIKE - 0.3)
    plain = alike[:, lively].all(axis=1) & (np.abs(tiles).max(axis=1) <= TALLEST * deviation + 1).all(axis=1)
    if plain.sum() < FEWEST:
        return None
    sources, tiles = sources[plain], tiles[plain]
    rows, columns = np.nonzero(hole)
    number = np.full((hole.shape[0] + 2 * TILE, hole.shape[1] + 2 * TILE), -1)
    number[rows + TILE, columns + TILE] = np.arange(len(rows))
    count = [length // STRIDE + 3 for length in hole.shape]
    touched = np.zeros(count, bool)
    for down in (0, 1):
        for across in (0, 1):
            touched[rows // STRIDE + 1 + down, columns // STRIDE + 1 + across] = True
    targets = np.argwhere(touched) * STRIDE  # corners in `number`
    shape = np.minimum(np.arange(TILE) + 0.5, TILE - np.arange(TILE) - 0.5) / STRIDE
    weight = (shape[:, None] * shape).astype(np.float32).ravel()
    total = np.zeros((len(rows) + 1, values.shape[-1]), np.float32)
    squares = np.zeros(len(rows) + 1, np.float32)
    for start in range(0, len(targets), MOST):
        chunk = targets[start : start + MOST]
        apart = ((chunk[:, None] - TILE - sources) ** 2).sum(axis=-1)
        close = np.argpartition(apart, min(NEAREST, len(sources) - 1), axis=1)[:, :NEAREST]
        chosen = close[np.arange(len(chunk)), rng.integers(0, close.shape[1], len(chunk))]
        at = number[chunk[:, 0, None, None] + steps[:, None], chunk[:, 1, None, None] + steps].reshape(len(chunk), -1)
        for index, tile in zip(at, tiles[chosen], strict=True):  # no pixel twice in one tile, so plain indexing adds
            total[index] += weight[:, None] * tile
            squares[index] += weight**2
    result: Floats = (total / np.sqrt(squares.clip(1e-6))[:, None])[:-1]
    return result
