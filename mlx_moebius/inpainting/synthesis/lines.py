"""Straight lines that enter a hole in a plain surface on two sides go on across it.

A line is what differs from the surface, is long and thin, and ends at the hole. Two that lie on one straight line and
look alike belong together; what they have across is drawn between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.inpainting.synthesis.grids import Floats
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.masks import components

CLEAR = 12.0  # levels by which a line differs from the surface
NOISY = 6.0  # deviations of the grain by which it does
SLENDER = 2.5  # times as long as wide, as far as it is seen
BEND = 0.12  # radians by which two ends may be off one straight line
LIKE = 0.3  # share of a line's contrast by which its ends may differ
WIDER = 1.8  # times as wide as the other end
ELONGATED = 3.0  # a hole so many times as long along a line as across it was made for the line itself
BIN = 0.5  # pixels across a line
SHARP = 0.9  # of a line's contrast that all its pixels have, if its edges are not smooth
ROOM = 2.0  # pixels of the hole beside a line, and twice its width

Vector = NDArray[np.float64]


class _End(NamedTuple):
    """Where a line meets the hole, its direction (rows, columns), width and contrast [C], and what it has across."""

    at: Vector
    direction: Vector
    width: float
    contrast: Vector
    across: Vector
    profile: Vector


def lines_across(rest: Floats, hole: Mask, distance: NDArray[np.uint8], outline: int, noise: Floats) -> Floats | None:
    """What lines add to the surface in a hole, for its pixels in reading order, [N, C]; None where none crosses it.

    `rest` [H, W, C] is the photo minus the surface, valid where `distance` [H, W] from the hole is not 0; it is
    `outline` along the hole.
    """
    seen = (distance > 0) & (np.abs(rest).max(axis=-1) > max(CLEAR, NOISY * float(noise.max())))
    ends = list(_ends(rest, seen, distance == outline))
    points = np.argwhere(hole).astype(np.float64)
    total: Floats | None = None
    used: set[int] = set()
    for first, second in combinations(range(len(ends)), 2):
        if {first, second} & used or not _joined(ends[first], ends[second], points):
            continue
        used |= {first, second}
        if total is None:
            total = np.zeros((len(points), rest.shape[-1]), np.float32)
        total += _drawn(ends[first], ends[second], points)
    return total


def _ends(rest: Floats, seen: Mask, close: Mask) -> Iterator[_End]:
    for part in components(seen):
        left, top, _, _ = part.box
        at = np.argwhere(part.mask()) + np.array([top, left])
        touching = at[close[at[:, 0], at[:, 1]]]
        if not len(touching) or len(touching) == len(at):
            continue
        values = rest[at[:, 0], at[:, 1]].astype(np.float64)
        weight = np.abs(values).max(axis=1)
        middle = weight @ at / weight.sum()
        _, axes = np.linalg.eigh(np.cov(at.T, aweights=weight))
        direction = axes[:, 1]
        along = (at - middle) @ direction
        width = len(at) / (np.ptp(along) + 1)
        if np.ptp(along) + 1 < SLENDER * width:
            continue
        place = middle + ((touching - middle) @ direction).mean() * direction
        if (place - middle) @ direction < 0:
            direction = -direction  # into the hole
        normal = np.array([-direction[1], direction[0]])
        contrast = values.mean(axis=0)
        if weight.min() > SHARP * weight.max():  # drawn without smooth edges
            edges = width / 2 * np.array([-1.001, -1, 1, 1.001])
            profile = edges, np.array([0, 1, 1, 0])[:, None] * contrast
        else:
            profile = _profile(values, (at - middle) @ normal)
        yield _End(place, direction, width, contrast, *profile)


def _profile(values: Vector, across: Vector) -> tuple[Vector, Vector]:
    """Offsets across a line [K] and the mean values there [K, C]; 0 beside it."""
    number = np.floor(across / BIN).astype(np.int64)
    number -= number.min()
    counts = np.bincount(number)
    columns = np.column_stack([across, values])
    sums = np.stack([np.bincount(number, column) for column in columns.T], axis=1)
    good = counts > counts.max() / 4
    means = sums[good] / counts[good][:, None]
    beside = np.zeros((1, means.shape[1]))
    first, last = beside.copy(), beside.copy()
    first[0, 0], last[0, 0] = means[0, 0] - 1, means[-1, 0] + 1
    means = np.concatenate([first, means, last])
    return means[:, 0], means[:, 1:]


def _joined(first: _End, second: _End, points: Vector) -> bool:
    """Whether two ends are those of one line through a hole that was not made for the line."""
    gap = second.at - first.at
    length = float(np.hypot(*gap))
    if length < 2:
        return False
    way = gap / length
    straight = min(way @ first.direction, -way @ second.direction) > np.cos(BEND)
    off = np.abs(first.contrast - second.contrast).max()
    alike = off < LIKE * max(np.abs(first.contrast).max(), np.abs(second.contrast).max())
    widths = sorted((first.width, second.width))
    if not straight or not alike or widths[1] > WIDER * widths[0]:
        return False
    normal = np.array([-way[1], way[0]])
    across = (points - first.at) @ normal
    inside = np.ptp((points - first.at) @ way) <= ELONGATED * np.ptp(across)
    room = 2 * widths[1] + ROOM
    return bool(inside and across.min() < -room and across.max() > room)


def _drawn(first: _End, second: _End, points: Vector) -> Floats:
    gap = second.at - first.at
    length = float(np.hypot(*gap))
    way = gap / length
    share = (((points - first.at) @ way) / length).clip(0, 1)[:, None]
    across = (points - first.at) @ np.array([-way[1], way[0]])
    start, end = (
        np.stack([np.interp(offset, part.across, values, 0, 0) for values in part.profile.T], axis=1)
        for part, offset in ((first, across), (second, -across))  # its direction is the other way round
    )
    drawn: Floats = ((1 - share) * start + share * end).astype(np.float32)
    return drawn
