"""What is painted, as vectors, and the mask that they make in the photo's pixels.

A stroke is a polyline swept by a disc: a pixel is set when its centre is within half the size of the line. A size of 1
sets exactly the pixels that the line passes. Coordinates are the photo's, and the first pixel's centre is at 0.5, 0.5.
`static/raster.js` does the same for the browser.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.alignment.sources import Source
from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.schema import Bounds, build

MAX_STROKES = 20_000
MAX_POINTS = 200_000  # in all strokes of a photo
MAX_SHOTS = 12  # that a fill is taken from
AT_ONCE = 2_000_000  # runs of pixels that are worked on at a time, which bounds the memory
MAX_RUNS = 50 * AT_ONCE  # of a stroke, which bounds the time
MAX_CROSSINGS = 4 * AT_ONCE  # of a lasso with rows of pixels
FAR = 1_000_000.0  # no point is farther from the photo's corner, in pixels

Points: TypeAlias = NDArray[np.float64]
Whole: TypeAlias = NDArray[np.int64]
Runs: TypeAlias = tuple[Whole, Whole, Whole]
"""Runs of pixels: rows [R], first columns [R], columns after the last [R]."""
Tool = Literal["brush", "erase", "rect", "erase_rect", "lasso", "erase_lasso", "mask", "clear", "from"]
POINTLESS = ("mask", "clear", "from")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a stroke does, the diameter of its disc in pixels, and the name of a mask that came from a file.

    "from" paints nothing: from then on, what the `shots` show is taken from them.
    """

    tool: Tool
    size: Annotated[float, Bounds(0, 100_000)] = 1.0
    mask: str = ""
    shots: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True)
class Stroke:
    """One stroke with its points [N, 2]; of a rectangle, two opposite corners; of "mask" and "clear", none.

    A "lasso" is a closed line, and sets what it goes round.
    """

    kind: Kind
    points: Points


def read_strokes(values: Any) -> list[Stroke]:
    """Strokes from JSON values. Raises ValueError with one line for whatever does not fit."""
    if not isinstance(values, list) or len(values) > MAX_STROKES:
        raise ValueError(f"strokes must be a list of at most {MAX_STROKES}")
    strokes = [_stroke(value) for value in values]
    if sum(len(stroke.points) for stroke in strokes) > MAX_POINTS:
        raise ValueError(f"strokes must have at most {MAX_POINTS} points")
    return strokes


def _stroke(value: Any) -> Stroke:
    if not isinstance(value, dict):
        raise ValueError("a stroke must be an object")
    kind = build(Kind, {name: part for name, part in value.items() if name != "points"})
    given = value.get("points", [])
    if len(kind.shots) > MAX_SHOTS:
        raise ValueError(f"a photo is filled from at most {MAX_SHOTS} other shots")
    if kind.tool in POINTLESS:
        return Stroke(kind, np.zeros((0, 2)))
    if not isinstance(given, list) or not 0 < len(given) <= MAX_POINTS:
        raise ValueError(f"the points of a stroke must be a list of 1 to {MAX_POINTS}")
    try:
        points = np.asarray(given)  # text, booleans and too large numbers give other kinds of arrays
    except ValueError:  # lists of several lengths
        points = np.empty(0)
    if points.dtype.kind not in "iuf" or points.ndim != 2 or points.shape[1] != 2:
        raise ValueError("the points of a stroke must be pairs of numbers")
    if not (np.abs(points) <= FAR).all():  # nor not-a-number
        raise ValueError(f"the points of a stroke must be within {FAR:.0f} pixels")
    if kind.tool in ("rect", "erase_rect") and len(points) != 2:
        raise ValueError("a rectangle has two corners")
    return Stroke(kind, points.astype(np.float64))


def chosen_shots(strokes: Sequence[Stroke]) -> tuple[Source, ...]:
    """The other shots to take from: those that were chosen last, since the mask was last cleared."""
    for stroke in reversed(strokes):
        if stroke.kind.tool in ("from", "clear"):
            return stroke.kind.shots
    return ()


def rasterise(
    strokes: Sequence[Stroke], width: int, height: int, masks: Mapping[str, Mask] = MappingProxyType({})
) -> Mask:
    """The mask, bool [height, width], of strokes drawn one after the other; `masks` came from files.

    Raises MoebiusError for a stroke that would take minutes, and for a mask that is missing or of another size.
    """
    mask = np.zeros((height, width), bool)
    for stroke in strokes:
        tool = stroke.kind.tool
        if tool == "from":
            continue
        if tool == "clear":
            mask[:] = False
        elif tool == "mask":
            loaded = masks.get(stroke.kind.mask)
            if loaded is None or loaded.shape != mask.shape:
                raise MoebiusError("the mask that was loaded does not belong to this photo: load it again")
            mask |= loaded
        elif tool in ("rect", "erase_rect"):
            low, high = np.floor(np.sort(stroke.points, axis=0) + 0.5).astype(np.int64)
            (left, top), (right, bottom) = low.clip(0), np.maximum(high, low + 1).clip(0)
            mask[top:bottom, left:right] = tool == "rect"
        elif tool in ("lasso", "erase_lasso"):
            _set(mask, *_enclosed(stroke.points, height), tool == "lasso")
        else:
            for runs in _runs(stroke, width, height):
                _set(mask, *runs, tool == "brush")
    return mask


def _runs(stroke: Stroke, width: int, height: int) -> Iterator[Runs]:
    """The runs of pixels of a stroke's polyline, some segments at a time."""
    points = stroke.points if len(stroke.points) > 1 else np.repeat(stroke.points, 2, axis=0)
    start, end = points[:-1], points[1:]
    radius = stroke.kind.size / 2 if stroke.kind.size > 1 else 0.0
    top = np.floor(np.minimum(start[:, 1], end[:, 1]) - radius).clip(0, height).astype(np.int64)
    bottom = (np.floor(np.maximum(start[:, 1], end[:, 1]) + radius) + 1).clip(0, height).astype(np.int64)
    total = np.cumsum(bottom - top)
    if total[-1] > MAX_RUNS:
        raise MoebiusError("a stroke is too long: paint it in several strokes")
    cuts = np.searchsorted(total, np.arange(AT_ONCE, total[-1], AT_ONCE), side="right")
    for part in np.split(np.arange(len(start)), cuts):
        count = bottom[part] - top[part]
        owner = np.repeat(part, count)
        rows = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(top[part], count)
        yield _swept(start[owner], end[owner], radius, rows) if radius else _passed(start[owner], end[owner], rows)


def _enclosed(points: Points, height: int) -> Runs:
    """Runs of pixels whose centres a closed line goes round, in whatever direction and however often."""
    start, end = points, np.roll(points, -1, axis=0)
    first = np.ceil(np.minimum(start[:, 1], end[:, 1]) - 0.5).clip(0, height).astype(np.int64)
    after = np.ceil(np.maximum(start[:, 1], end[:, 1]) - 0.5).clip(0, height).astype(np.int64)
    count = after - first
    if count.sum() > MAX_CROSSINGS:
        raise MoebiusError("a lasso is too long: paint it in several pieces")
    edge = np.repeat(np.arange(len(points)), count)
    rows = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    (x1, y1), (x2, y2) = start[edge].T, end[edge].T
    x = x1 + (x2 - x1) * ((rows + 0.5 - y1) / (y2 - y1))
    order = np.lexsort((x, rows))
    rows, x, turns = rows[order], x[order], np.cumsum(np.sign(y2 - y1)[order])  # every row's turns add up to none
    inside = np.flatnonzero(turns)
    columns = np.ceil(x - 0.5).astype(np.int64)
    return rows[inside], columns[inside], columns[np.minimum(inside + 1, len(x) - 1)]


def _set(mask: Mask, rows: Whole, first: Whole, after: Whole, value: bool) -> None:
    """Set runs of pixels."""
    height, width = mask.shape
    first, after = first.clip(0, width), after.clip(0, width)
    seen = (rows >= 0) & (rows < height) & (first < after)
    if not seen.any():
        return
    rows, first, after = rows[seen], first[seen], after[seen]
    top, bottom, left, right = rows.min(), rows.max() + 1, first.min(), after.max()
    steps = np.zeros((bottom - top, right - left + 1), np.int32)  # runs begin and end: the running sum covers them
    np.add.at(steps, (rows - top, first - left), 1)
    np.add.at(steps, (rows - top, after - left), -1)
    mask[top:bottom, left:right][np.cumsum(steps, axis=1)[:, :-1] > 0] = value


def _swept(start: Points, end: Points, radius: float, rows: Whole) -> Runs:
    """Runs of pixels whose centres are within `radius` of a segment, one for each row [R] of a segment [R, 2].

    A disc that moves along a segment covers a convex shape, so every row has one run. The shape is two discs at the
    ends and a rectangle between them; the run spans what they reach in the row.
    """
    y = rows + 0.5
    along = end - start
    length = np.hypot(along[:, 0], along[:, 1])
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * (radius / np.where(length > 0, length, 1))[:, None]
    low, high = np.full(len(rows), np.inf), np.full(len(rows), -np.inf)
    for middle in (start, end):
        square = radius**2 - (y - middle[:, 1]) ** 2
        reach = np.sqrt(np.maximum(square, 0))
        low = np.where(square >= 0, np.minimum(low, middle[:, 0] - reach), low)
        high = np.where(square >= 0, np.maximum(high, middle[:, 0] + reach), high)
    corners = [start + across, end + across, end - across, start - across]
    for one, other in zip(corners, [*corners[1:], corners[0]], strict=True):
        (x1, y1), (x2, y2) = one.T, other.T
        met = (np.minimum(y1, y2) <= y) & (y <= np.maximum(y1, y2)) & (y1 != y2)
        x = x1 + (x2 - x1) * ((y - y1) / np.where(y1 != y2, y2 - y1, 1))
        low = np.where(met, np.minimum(low, x), low)
        high = np.where(met, np.maximum(high, x), high)
    found = low <= high
    first, after = np.ceil(low[found] - 0.5), np.floor(high[found] - 0.5) + 1
    return rows[found], first.astype(np.int64), after.astype(np.int64)


def _passed(start: Points, end: Points, rows: Whole) -> Runs:
    """Runs of pixels that a segment passes, one for each row [R] of a segment [R, 2]."""
    (x1, y1), (x2, y2) = start.T, end.T
    level = y1 == y2
    down = np.where(level, 1, y2 - y1)
    ends = [np.where(level, x, x1 + ((rows + i - y1) / down).clip(0, 1) * (x2 - x1)) for i, x in enumerate((x1, x2))]
    first, last = np.floor(np.minimum(*ends)), np.floor(np.maximum(*ends))
    return rows, first.astype(np.int64), last.astype(np.int64) + 1
