"""What touches a hole on a short stretch only does not spread far into it.

The known cells are of a few kinds of surface, by hue and texture more than by brightness. Along the hole's rim most
kinds lie on long stretches, or on both sides. A kind that lies on one short stretch, such as a trunk's bark beside a
meadow, has an end there: its cells cost more the farther they are copied from that stretch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.inpainting.synthesis.grids import Floats, Grid, box_sum, near, unflatten
from mlx_moebius.inpainting.synthesis.search import Indices

KINDS = 8
ROUNDS = 8  # of k-means
SPREAD = 2  # cells over which colours and texture are averaged
TEXTURE = 2.0  # weight of texture against colours
LUMA, HUE, DARK = 0.3, 300.0, 20.0  # light and shadow fall on one surface
RIM = 2  # cells
FEW = 4  # cells of the rim that say nothing
MOSTLY = 75  # per cent of a kind's cells along the rim: its stretch
SHORT = 0.4  # of the hole's length
APART = 2.0  # times as far as its cells lie from their mean is a kind from those on long stretches, to be another thing


def stray(grid: Grid, cells: Indices, sources: Indices) -> Floats:
    """How far candidate `sources` [N, K] of some cells [N] stray: from 0 to 1, as far as this and farther.

    Only kinds count that lie along a short stretch of the rim, and look unlike those on long ones. What has two ends
    there, or many, may run through.
    """
    kinds, centres, widths = _kinds(grid)
    rim = np.flatnonzero(near(grid.hole, RIM) & grid.known)
    result = np.zeros(sources.shape, np.float32)
    if not len(rim):
        return result
    there, here = (np.stack(unflatten(flat, grid.width), axis=1).astype(np.float32) for flat in (rim, cells))
    longest = np.ptp(there, axis=0).max()
    chosen = kinds.take(sources)
    short, long = dict[int, tuple[Floats, float]](), list[int]()
    for kind in range(KINDS):
        touching = there[kinds[rim] == kind]
        if len(touching) < FEW:
            continue
        away = np.hypot(*(touching - np.median(touching, axis=0)).T)
        reach = max(1.0, float(np.percentile(away, MOSTLY)))
        if 2 * reach < SHORT * longest:
            short[kind] = touching[away <= reach], reach
        else:
            long.append(kind)
    for kind, (stretch, reach) in short.items():
        unlike = np.linalg.norm(centres[long] - centres[kind], axis=1).min(initial=np.inf)
        if unlike > APART * widths[kind]:
            apart = np.hypot(*(here[:, None] - stretch).T).min(axis=0)
            result += (apart / reach).clip(0, 1)[:, None] * (chosen == kind)
    return result


def _kinds(grid: Grid) -> tuple[NDArray[np.int64], Floats, Floats]:
    """The kind of every cell, flat [R * C], by k-means over what may be copied, from centres far apart.

    With them the kinds' means [K, P], and how far their cells lie from these, [K].
    """
    luma = grid.colours.mean(axis=-1, keepdims=True)
    hue = HUE * (grid.colours - luma) / (luma + DARK)
    planes = np.moveaxis(np.concatenate([LUMA * luma, hue, TEXTURE * grid.texture], axis=-1), -1, 0)
    usable = ~grid.excluded
    weight = box_sum(usable, SPREAD)
    means = (box_sum(planes * usable, SPREAD) / weight.clip(1)).reshape(len(planes), -1).T
    samples = means[np.flatnonzero(usable)]
    centres = samples[:1]
    least = np.full(len(samples), np.inf, np.float32)
    for _ in range(KINDS - 1):
        least = np.minimum(least, ((samples - centres[-1]) ** 2).sum(axis=1))
        centres = np.concatenate([centres, samples[least.argmax()][None]])
    for _ in range(ROUNDS):
        number = _nearest(samples, centres)
        counts = np.bincount(number, minlength=KINDS)
        sums = np.stack([np.bincount(number, plane, KINDS) for plane in samples.T], axis=1)
        centres = np.where(counts[:, None] > 0, sums / counts.clip(1)[:, None], centres).astype(np.float32)
    number = _nearest(samples, centres)
    squares = ((samples - centres[number]) ** 2).sum(axis=1)
    widths = np.sqrt(np.bincount(number, squares, KINDS) / np.bincount(number, minlength=KINDS).clip(1))
    return _nearest(means, centres), centres, widths.astype(np.float32)


def _nearest(samples: Floats, centres: Floats) -> NDArray[np.int64]:
    return ((centres**2).sum(axis=1) / 2 - samples @ centres.T).argmin(axis=1)
