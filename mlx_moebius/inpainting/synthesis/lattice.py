"""Surroundings that repeat regularly, as bricks, tiles or windows do: the offsets at which they are like themselves.

For every offset, the known cells round the hole are compared with those at the offset, all at once by correlation
(Lewis, "Fast normalized cross-correlation", 1995). In a regular texture the differences have sharp minima in two
directions, the lattice. What is copied from there has its joints in the right places, which single patches do not see
where the pieces' tones vary.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlx_moebius.inpainting.synthesis.grids import MARGIN, Floats, Grid, near
from mlx_moebius.inpainting.synthesis.offsets import Offsets
from mlx_moebius.photos.geometry import Mask

AROUND = 28  # cells round the hole that are compared
LONGEST, SHORTEST = 40, MARGIN  # cells
OVERLAP = 0.25  # share of the cells that must have a known one at the offset
BESIDE = 2, 3, 4  # cells from a minimum, on both sides along either axis,
SHARP = 0.5  # where differences must be so much larger: 1 / SHARP times
SLANT = 0.3  # sine of the angle between the lattice's directions, at least
COUNT = 24  # offsets


class Lattice(NamedTuple):
    """Offsets [K, 2] at which surroundings repeat, and by how much they differ at all offsets up to `LONGEST`.

    `differences` are mean squares in squared levels, beyond those of the best offsets.
    """

    offsets: Offsets
    differences: Floats

    def excess(self, offsets: Offsets) -> Floats:
        """The differences at some offsets [N, 2], [N]; longer ones have the median."""
        inside = (np.abs(offsets) <= LONGEST).all(axis=1)
        down, across = (offsets.clip(-LONGEST, LONGEST) + LONGEST).T
        return np.where(inside, self.differences[down, across], np.median(self.differences)).astype(np.float32)


def find(grid: Grid) -> Lattice | None:
    """The lattice of a hole's surroundings; None where they are not regular."""
    known = ~near(grid.excluded, 1) & near(grid.hole, AROUND)
    if not known.any():
        return None
    differences = _differences(grid.colours, known)
    found = _minima(differences)
    if len(found) < 2:
        return None
    rows, columns = (found / np.linalg.norm(found, axis=1, keepdims=True)).T
    if np.abs(np.outer(rows, columns) - np.outer(columns, rows)).max() < SLANT:
        return None
    finite = np.isfinite(differences)
    least = differences[tuple((found[:2] + LONGEST).T)].mean()
    everywhere = np.where(finite, differences, np.median(differences[finite]))
    return Lattice(found[:COUNT], (everywhere - least).clip(0).astype(np.float32))


def _differences(colours: Floats, known: Mask) -> Floats:
    """Mean square differences between known cells and those at an offset, for all offsets up to `LONGEST`.

    [2 LONGEST + 1, 2 LONGEST + 1]; infinity where too few of both are known.
    """
    shape = [1 << (length + LONGEST).bit_length() for length in known.shape]
    weight = np.fft.rfft2(known, shape)
    total = np.zeros(shape)
    for plane in np.moveaxis(colours - colours[known].mean(axis=0), -1, 0):
        values = np.where(known, plane, 0).astype(np.float64)
        once, squares = np.fft.rfft2(values, shape), np.fft.rfft2(values**2, shape)
        total += np.fft.irfft2(weight.conj() * squares + squares.conj() * weight - 2 * np.abs(once) ** 2, shape)
    count = np.fft.irfft2(np.abs(weight) ** 2, shape)
    at = np.ix_(*2 * [np.arange(-LONGEST, LONGEST + 1)])
    enough = count[at] >= OVERLAP * np.count_nonzero(known)
    return np.where(enough, total[at] / count[at].clip(1), np.inf).astype(np.float32)


def _minima(differences: Floats) -> Offsets:
    """Offsets at which the differences have a sharp minimum, best ones first, [K, 2]."""
    beside = [
        np.mean([np.roll(differences, sign * step, axis) for step in BESIDE for sign in (1, -1)], axis=0)
        for axis in (0, 1)
    ]
    least = differences
    for axis in (0, 1):
        least = np.minimum.reduce([np.roll(least, step, axis) for step in (-1, 0, 1)])
    contrast = np.minimum(*beside)
    sharp = np.isfinite(contrast) & (differences < SHARP * contrast) & (differences <= least)
    down, across = np.mgrid[-LONGEST : LONGEST + 1, -LONGEST : LONGEST + 1]
    sharp &= np.hypot(down, across) >= SHORTEST
    sharp &= np.maximum(np.abs(down), np.abs(across)) <= LONGEST - max(BESIDE)
    order = np.argsort(differences[sharp], kind="stable")
    return np.argwhere(sharp)[order] - LONGEST
