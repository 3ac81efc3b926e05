"""Borders between flat colours that run into a hole on two sides go on across it, or meet in a corner inside it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.inpainting.synthesis.grids import near
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.masks import components

WIDE = 3  # pixels from either colour that a border is wide, with smooth edges
TOUCHES = 5  # pixels from the hole at which a border runs into it
AHEAD = 10  # pixels within which the hole begins, along a border
SEEN, FEWEST = 12.0, 10  # pixels along a border that give its direction, and the fewest pixels of it
MANY = 30  # pixels of a border that say enough without what lies beyond another stroke
SLENDER = 1.5  # times as long as wide, as far as it is seen
BEND = 0.6  # radians by which a border may turn at either end
LENGTH = 0.01  # radians that count as much as a pixel of length
INSIDE = 0.8  # share of a continued border that must lie in the hole
ONWARD = 4  # pixels beyond the hole in which a border is seen to go on
STEP = 0.25  # pixels in which borders are found
SIDES = (0.7, 1.7)  # pixels beside a border at which its two colours are certain

Vector = NDArray[np.float64]
Labels = NDArray[np.int64]


class _End(NamedTuple):
    """Where a border meets the hole, its direction into it (rows, columns), its two colours and which lies where."""

    at: Vector
    direction: Vector
    colours: tuple[int, int]
    side: float


def continue_borders(labels: Labels, hole: Mask, count: int) -> Labels:
    """Labels [H, W] of `count` colours (-1: none) with those on both sides of continued borders, in a hole [H, W]."""
    ends = list(_ends(labels, hole, count))
    result = labels.copy()
    free = hole & (labels < 0)
    room = near(hole, TOUCHES)
    pairs = [
        (first, second) for first, second in combinations(range(len(ends)), 2) if _alike(ends[first], ends[second])
    ]
    used: set[int] = set()
    for joined, alone in ((_straight, _goes_on), (_corner, _up_to)):
        found = [(joined(ends[first], ends[second]), first, second) for first, second in pairs]
        for (cost, curves), first, second in sorted(found, key=lambda entry: entry[0][0]):
            if {first, second} & used or not np.isfinite(cost) or _share(np.concatenate(curves), room) < INSIDE:
                continue
            used |= {first, second}
            for curve, end in zip(curves, (ends[first], ends[second]), strict=False):
                _mark(result, free, curve, end)
        for number, end in enumerate(ends):
            if number not in used and (line := alone(end, result, hole)) is not None:
                used.add(number)
                _mark(result, free, line, end)
    return result


def _onward(end: _End, hole: Mask) -> tuple[Vector, Mask]:
    """The straight line [N, 2] from an end to the picture's edge, and which of its points lie in the hole [N]."""
    line = end.at + np.arange(0, sum(hole.shape), STEP)[:, None] * end.direction
    rows, columns = np.rint(line).astype(np.int64).T
    within = (rows >= 0) & (rows < hole.shape[0]) & (columns >= 0) & (columns < hole.shape[1])
    return line[within], hole[rows[within], columns[within]]


def _goes_on(end: _End, labels: Labels, hole: Mask) -> Vector | None:
    """The straight line [N, 2] from an end through the hole to where its colours go on; None if they do not there.

    There may be too little of the border, beside a corner, for another end.
    """
    line, inside = _onward(end, hole)
    if not inside.any():
        return None
    last = len(inside) - int(inside[::-1].argmax())
    beyond = line[last : last + round(ONWARD / STEP)]
    if inside[inside.argmax() : last].mean() < INSIDE or len(beyond) < round(ONWARD / STEP):
        return None
    normal = np.array([-end.direction[1], end.direction[0]])
    for number, sign in zip(end.colours, (end.side, -end.side), strict=True):
        there = labels[_inside(beyond + sign * WIDE * normal, labels)]
        if (there == number).mean() < INSIDE or ((there != number) & (there >= 0)).any():
            return None
    return line[:last]


def _up_to(end: _End, labels: Labels, hole: Mask) -> Vector | None:
    """The straight line [N, 2] from an end to another border that was continued, or to the picture's edge.

    None if it leaves the hole before.
    """
    line, inside = _onward(end, hole)
    if not inside.any():
        return None
    first = int(inside.argmax())
    stop = ~inside | (labels[_inside(line, labels)] >= 0)
    stop[:first] = False
    if not stop.any():
        return line
    last = int(stop.argmax())
    return line[:last] if inside[last] and last > 1 else None


def _ends(labels: Labels, hole: Mask, count: int) -> Iterator[_End]:
    close = near(hole, TOUCHES)
    for colours in combinations(range(count), 2):
        first, second = (labels == number for number in colours)
        band = near(first, WIDE) & near(second, WIDE) & ~hole
        pieces = _numbered(band)
        for part in components(band & close):
            touching = np.argwhere(part.mask()) + np.array([part.box[1], part.box[0]])
            middle = touching.mean(axis=0)
            points = np.argwhere(band)
            points = points[np.hypot(*(points - middle).T) < SEEN]
            own_piece = pieces[points[:, 0], points[:, 1]] == pieces[touching[0, 0], touching[0, 1]]
            if np.count_nonzero(own_piece) >= MANY:
                points = points[own_piece]
            if len(points) < FEWEST:
                continue
            centre = points.mean(axis=0)
            sizes, axes = np.linalg.eigh(np.cov(points.T))
            if sizes[1] < SLENDER**2 * sizes[0]:
                continue
            along = axes[:, 1]
            normal = np.array([-along[1], along[0]])
            side = float(np.sign(_across(first, centre, normal) - _across(second, centre, normal)))
            there, back = -side * normal, side * normal
            exact = np.concatenate(
                [_between(labels, hole, points, colours, there), _between(labels, hole, points, colours[::-1], back)]
            )
            if len(exact) >= FEWEST // 2:
                centre = exact.mean(axis=0)
                _, axes = np.linalg.eigh(np.cov(exact.T))
                along = axes[:, 1] * (1 if axes[:, 1] @ along > 0 else -1)
            for sign in (1, -1):  # between two strokes it has two ends
                direction = sign * along
                at = centre + ((touching - centre) @ direction).max() * direction
                if hole[_inside(at + np.arange(AHEAD)[:, None] * direction, hole)].any():
                    yield _End(at, direction, colours, sign * side)


def _across(mask: Mask, centre: Vector, normal: Vector) -> float:
    """How far along a normal the pixels of a mask lie from a centre, in the mean of those that are near it."""
    pixels = np.argwhere(mask)
    across = (pixels[np.hypot(*(pixels - centre).T) < SEEN] - centre) @ normal
    across = across[np.abs(across) <= 2 * WIDE]  # beyond it may lie another border
    return float(across.mean()) if len(across) else 0.0


def _between(labels: Labels, hole: Mask, points: Labels, colours: tuple[int, int], onward: Vector) -> Vector:
    """Points [N, 2] halfway from the last pixels of one colour to the first ones of the other, in a direction.

    Unlike all pixels along a border, they are not on one side only where the hole cuts the border off.
    """
    last = points[labels[points[:, 0], points[:, 1]] == colours[0]]
    steps = np.arange(STEP, 2 * WIDE + STEP, STEP)
    ways = last[:, None] + steps[:, None] * onward
    rows, columns = _inside(ways.reshape(-1, 2), hole)
    seen = labels[rows, columns].reshape(ways.shape[:2])
    covered = hole[rows, columns].reshape(ways.shape[:2]).any(axis=1)
    other = seen == colours[1]
    same = np.count_nonzero(seen == colours[0], axis=1)
    good = (same <= round(1 / STEP)) & other.any(axis=1) & ~covered
    ends, begins = STEP * (same[good] + 0.5), STEP * (other[good].argmax(axis=1) + 0.5)
    between: Vector = last[good] + (ends + begins)[:, None] / 2 * onward
    return between


def _numbered(mask: Mask) -> Labels:
    """The number of the connected part that a pixel belongs to, [H, W]; -1 for none."""
    numbers = np.full(mask.shape, -1)
    for number, part in enumerate(components(mask)):
        left, top, right, bottom = part.box
        numbers[top:bottom, left:right][part.mask()] = number
    return numbers


def _alike(first: _End, second: _End) -> bool:
    """Whether two ends have the same colours; from one to the other, each colour is on one side."""
    return first.colours == second.colours and first.side == -second.side


def _straight(first: _End, second: _End) -> tuple[float, list[Vector]]:
    """How much a border turns from one end to the other (infinity: too much), and the curve [N, 2]."""
    gap = second.at - first.at
    length = float(np.hypot(*gap))
    if length < 1:
        return np.inf, [gap[None]]
    cosines = np.array([gap @ first.direction, -gap @ second.direction]) / length
    turns = np.arccos(cosines.clip(-1, 1))
    if turns.max() > BEND:
        return np.inf, [gap[None]]
    share = np.linspace(0, 1, int(4 * length) + 2)[:, None]
    start, end = first.direction * length, -second.direction * length
    curve = (
        (2 * share**3 - 3 * share**2 + 1) * first.at
        + (share**3 - 2 * share**2 + share) * start
        + (3 * share**2 - 2 * share**3) * second.at
        + (share**3 - share**2) * end
    )
    return float(turns.sum() + LENGTH * length), [curve]


def _corner(first: _End, second: _End) -> tuple[float, list[Vector]]:
    """How long two borders are that go straight on to where they meet (infinity: nowhere), and the lines [N, 2]."""
    matrix = np.stack([first.direction, -second.direction], axis=1)
    if abs(np.linalg.det(matrix)) < np.sin(BEND / 2):
        return np.inf, [first.at[None]]
    lengths = np.linalg.solve(matrix, second.at - first.at)
    if lengths.min() < 0:
        return np.inf, [first.at[None]]
    lines = [
        end.at + np.linspace(0, length, int(4 * length) + 2)[:, None] * end.direction
        for end, length in zip((first, second), lengths, strict=True)
    ]
    return float(lengths.sum()), lines


def _share(points: Vector, where: Mask) -> float:
    return float(where[_inside(points, where)].mean())


def _inside(points: Vector, where: Mask | Labels) -> tuple[Labels, Labels]:
    rows, columns = np.rint(points).astype(np.int64).T
    return rows.clip(0, where.shape[0] - 1), columns.clip(0, where.shape[1] - 1)


def _mark(labels: Labels, free: Mask, curve: Vector, end: _End) -> None:
    """Write the two colours of a border on both sides of a curve [N, 2] that begins at its end."""
    way = np.gradient(curve, axis=0)
    way /= np.hypot(*way.T)[:, None].clip(1e-9)
    normal = np.stack([-way[:, 1], way[:, 0]], axis=1)
    for number, sign in zip(end.colours, (end.side, -end.side), strict=True):
        for away in SIDES:
            rows, columns = _inside(curve + sign * away * normal, labels)
            marked = free[rows, columns] & (labels[rows, columns] < 0)
            labels[rows[marked], columns[marked]] = number
