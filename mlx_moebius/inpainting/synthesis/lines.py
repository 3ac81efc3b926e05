"""Straight lines that enter a hole in a plain surface on two sides go on across it.

A line is what differs from the surface, is long and thin, and ends at the hole. Two that lie on one straight line and
look alike belong together; what they have across is drawn between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mlx_moebius.inpainting.synthesis.grids import Floats
from mlx_moebius.photos.geometry import Mask, slices
from mlx_moebius.photos.masks import components, dilate

CLEAR = 12.0  # levels by which a line differs from the surface
NOISY = 6.0  # deviations of the grain by which it does
SLENDER = 2.5  # times as long as wide, as far as it is seen
LONG, THICK = 8, 4  # pixels of a line along a row or column; pixels that such a line has not across
ALONGSIDE = 0.5  # share of a line's length that may touch the hole: what does so all along runs beside it
BEND = 0.3  # radians by which two ends may be off one straight line
LIKE = 0.3  # share of a line's contrast by which its ends may differ
WIDER = 1.8  # times as wide as the other end
ELONGATED = 3.0  # a hole so many times as long along a line as across it was made for the line itself
BIN = 0.5  # pixels across a line
SHARP = 0.9  # of a line's contrast that all its pixels have, if its edges are not smooth
ROOM, AMPLE = 2.0, 3.0  # pixels of the hole on both sides of a line, and twice its width; or so many times on one side

Vector = NDArray[np.float64]
Points = NDArray[np.int64]
"""Rows and columns, [N, 2]."""


class _End(NamedTuple):
    """Where a line meets the hole, its direction (rows, columns), width, slenderness, contrast [C] and what it has
    across.
    """

    at: Vector
    direction: Vector
    width: float
    slender: float
    contrast: Vector
    across: Vector
    profile: Vector


def distances(hole: Mask, known: Mask, depths: Iterable[int]) -> NDArray[np.uint8]:
    """Distance of known pixels from a hole [H, W], in steps of `depths`, largest first; 0 for all other pixels."""
    distance = np.zeros(hole.shape, np.uint8)
    for depth in depths:
        distance[dilate(hole, 2 * depth + 1) & known] = depth
    return distance


def lines_across(
    rest: Floats,
    hole: Mask,
    distance: NDArray[np.uint8],
    outline: int,
    noise: Floats,
    paint: Floats | None = None,
    slim: float = np.inf,
) -> Floats | None:
    """What lines add to the surface in a hole, for its pixels in reading order, [N, C]; None where none crosses it.

    Args:
        rest: the photo minus the surface, [H, W, C], valid where `distance` [H, W] from the hole is not 0.
        outline: the distance along the hole.
        paint: what lines have instead of `rest`, [H, W, P]; then the result is [N, P].
        slim: a hole that is wider than so many times a line was not made for it, however long it is.
    """
    seen = (distance > 0) & (np.abs(rest).max(axis=-1) > max(CLEAR, NOISY * float(noise.max())))
    ends = _ends(rest, rest if paint is None else paint, seen, distance, outline)
    points = np.argwhere(hole).astype(np.float64)
    pairs = [(_turn(ends[first], ends[second]), first, second) for first, second in combinations(range(len(ends)), 2)]
    total: Floats | None = None
    used: set[int] = set()
    for turn, first, second in sorted(pairs):
        if turn > BEND or {first, second} & used or not _joined(ends[first], ends[second], points, slim):
            continue
        used |= {first, second}
        drawn = _drawn(ends[first], ends[second], points)
        total = drawn if total is None else stronger(drawn, total)
    return total


def stronger(drawn: Floats, other: Floats) -> Floats:
    """Of two lines [N, C] the one with more contrast in each place: where lines cross, one of them is on top."""
    more = np.abs(drawn).max(axis=1) > np.abs(other).max(axis=1)
    return np.where(more[:, None], drawn, other)


def _ends(rest: Floats, paint: Floats, seen: Mask, distance: NDArray[np.uint8], outline: int) -> list[_End]:
    """The ends of lines at the hole, seen as far out as they are slender; what crosses a line is left out."""
    close = distance == outline
    if not (seen & close).any():
        return []
    across, down = _in_runs(seen, LONG), _in_runs(seen.T, LONG).T
    thin_across, thin_down = ~_in_runs(seen.T, THICK).T, ~_in_runs(seen, THICK)
    found: list[tuple[float, Points, _End]] = []
    for view in (seen & ~(across & thin_across), seen & ~(down & thin_down)):
        for depth in np.unique(distance[distance > outline]):
            for part in components(view & (distance <= depth)):
                pixels = part.mask()
                places = components(pixels & close[slices(part.box)])
                if len(places) > 2:  # several lines, joined by one that crosses them
                    continue
                corner = np.array([part.box[1], part.box[0]])
                for place in places:
                    touching = np.argwhere(place.mask((0, 0, *pixels.shape[::-1]))) + corner
                    if (end := _end(rest, paint, np.argwhere(pixels) + corner, touching)) is not None:
                        found.append((end.slender, touching, end))
    left = seen & close
    ends = []
    for _, touching, end in sorted(found, key=lambda entry: -entry[0]):
        here = touching[:, 0], touching[:, 1]
        if left[here].all():
            left[here] = False
            ends.append(end)
    return ends


def _in_runs(seen: Mask, length: int) -> Mask:
    """Which pixels lie in a row of at least so many, [H, W]."""
    beside = ((0, 0), (length - 1, length - 1))
    whole = sliding_window_view(np.pad(seen, beside), length, axis=1).all(axis=-1)
    inside: Mask = np.asarray(sliding_window_view(whole, length, axis=1).any(axis=-1))
    return inside


def _end(rest: Floats, paint: Floats, at: Points, touching: Points) -> _End | None:
    """The end of a line of the pixels `at` [N, 2] where some of them touch the hole; None if they are no line."""
    if len(at) < 2:
        return None
    values = rest[at[:, 0], at[:, 1]].astype(np.float64)
    painted = paint[at[:, 0], at[:, 1]].astype(np.float64)
    weight = np.abs(values).max(axis=1)
    hard = np.ptp(painted, axis=0).max() < (1 - SHARP) * weight.max()  # drawn without smooth edges
    if hard:
        weight = np.ones_like(weight)
    middle = weight @ at / weight.sum()
    _, axes = np.linalg.eigh(np.cov(at.T, aweights=weight))
    direction = axes[:, 1]
    along = (at - middle) @ direction
    width = len(at) / (np.ptp(along) + 1)
    slender = (np.ptp(along) + 1) / width
    arrives = (touching - middle) @ direction
    if slender < SLENDER or np.ptp(arrives) > ALONGSIDE * np.ptp(along):
        return None
    place = middle + arrives.mean() * direction
    if (place - middle) @ direction < 0:
        direction = -direction  # into the hole
    normal = np.array([-direction[1], direction[0]])
    contrast = values.mean(axis=0)
    if hard:
        edges = width / 2 * np.array([-1.001, -1, 1, 1.001])
        profile = edges, np.array([0, 1, 1, 0])[:, None] * painted.mean(axis=0)
    else:
        profile = _profile(painted, (at - middle) @ normal)
    return _End(place, direction, width, slender, contrast, *profile)


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


def _turn(first: _End, second: _End) -> float:
    """By how many radians two ends are off one straight line; infinity where they meet."""
    gap = second.at - first.at
    length = float(np.hypot(*gap))
    if length < 2:
        return np.inf
    straight = min(gap @ first.direction, -gap @ second.direction) / length
    return float(np.arccos(np.clip(straight, -1, 1)))


def _joined(first: _End, second: _End, points: Vector, slim: float) -> bool:
    """Whether two ends on a straight line are those of one line through a hole that was not made for the line."""
    gap = second.at - first.at
    way = gap / np.hypot(*gap)
    off = np.abs(first.contrast - second.contrast).max()
    alike = off < LIKE * max(np.abs(first.contrast).max(), np.abs(second.contrast).max())
    widths = sorted((first.width, second.width))
    if not alike or widths[1] > WIDER * widths[0]:
        return False
    normal = np.array([-way[1], way[0]])
    across = (points - first.at) @ normal
    room = 2 * widths[1] + ROOM
    inside = np.ptp(across) > slim * room or np.ptp((points - first.at) @ way) <= ELONGATED * np.ptp(across)
    less, more = sorted((-across.min(), across.max()))
    return bool(inside and (less > room or more > AMPLE * room))


def _drawn(first: _End, second: _End, points: Vector) -> Floats:
    gap = second.at - first.at
    length = float(np.hypot(*gap))
    way = gap / length
    normal = np.array([-way[1], way[0]])
    share = (((points - first.at) @ way) / length).clip(0, 1)
    leaves, arrives = (slope @ normal / (slope @ way) for slope in (first.direction, -second.direction))
    # A cubic that has both ends' directions.
    bent = length * share * (1 - share) * ((1 - share) * leaves - share * arrives)
    across = (points - first.at) @ normal - bent
    share = share[:, None]
    start, end = (
        np.stack([np.interp(offset, part.across, values, 0, 0) for values in part.profile.T], axis=1)
        for part, offset in ((first, across), (second, -across))  # its direction is the other way round
    )
    drawn: Floats = ((1 - share) * start + share * end).astype(np.float32)
    return drawn
