"""The outline of a mask as closed lines along its pixels' edges, and back: what a stroke of the tool "lasso" draws.

A stroke is in the photo's pixels, so an outline lives wherever strokes do: in undo, in the browser, beside a folder's
results. What it goes round is exactly the mask, unless the mask is so ragged that its outline has to be simplified.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.errors import MoebiusError
from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Mask, bounding_box, slices

MOST = 40_000  # points of an outline, of the 200 000 that a photo's strokes may have
FINEST, COARSEST = 0.75, 6.0  # pixels by which a simplified outline may be off

Loop: TypeAlias = NDArray[np.int64]
"""Corners [N, 2] of a closed line, x and y in photo pixels; round an area, or the other way round a hole in it."""


def outline_of(mask: Mask, most: int = MOST) -> list[Loop]:
    """The outline of a mask [H, W], of `most` points. Raises MoebiusError if none so short is near enough."""
    loops = _along_edges(mask)
    off = FINEST
    while sum(map(len, loops)) > most:
        if off > COARSEST:
            raise MoebiusError("the outline of this is too ragged to be drawn: choose a smaller part of it")
        loops = [short for loop in loops if len(short := _simplified(loop, off)) > 2]
        off *= 2
    return loops


def _along_edges(mask: Mask) -> list[Loop]:
    """Loops that have the mask's pixels at their right, in the direction in which they go.

    They are made of runs of pixels' upper and lower edges and of runs of left and right ones. Each run begins where
    one of the other kind ends. Where four runs meet, it does not matter which goes on with which.
    """
    box = bounding_box(mask)
    if box is None:
        return []
    inside = np.pad(mask[slices(box)], 1).astype(np.int8)
    width = inside.shape[1]
    across_from, across_to = _runs(np.diff(inside, axis=0)[:, 1:-1], width, 1)
    down_from, down_to = _runs(-np.diff(np.ascontiguousarray(inside.T), axis=0)[:, 1:-1], 1, width)
    after_across = np.empty(len(across_to), np.int64)
    after_across[np.argsort(across_to, kind="stable")] = np.argsort(down_from, kind="stable")
    after_down = np.empty(len(down_to), np.int64)
    after_down[np.argsort(down_to, kind="stable")] = np.argsort(across_from, kind="stable")
    following = after_down[after_across].tolist()
    corners = np.stack([across_from, across_to], axis=1)
    loops, seen = [], bytearray(len(following))
    for first in range(len(following)):
        runs, run = [], first
        while not seen[run]:
            seen[run] = 1
            runs.append(run)
            run = following[run]
        if runs:
            places = corners[runs].ravel()
            loops.append(np.stack([places % width + box[0], places // width + box[1]], axis=1))
    return loops


def _runs(edges: NDArray[np.int8], line: int, along: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where runs of edges of one sign [L, N] begin and end, numbered as `line` and `along` say; -1 goes backwards."""
    bounded = np.pad(edges, ((0, 0), (1, 1)))
    changes = bounded[:, 1:] != bounded[:, :-1]
    lines, places = np.divmod(
        np.flatnonzero(changes), changes.shape[1]
    )  # in order: a run ends where the next one begins, or where there is none
    values = bounded[lines, places + 1]
    starts = np.flatnonzero(values)
    low = lines[starts] * line + places[starts] * along
    high = lines[starts] * line + places[starts + 1] * along
    forward = values[starts] > 0
    return np.where(forward, low, high), np.where(forward, high, low)


def _simplified(loop: Loop, off: float) -> Loop:
    cv2 = opencv()
    return np.asarray(cv2.approxPolyDP(loop.astype(np.int32)[:, None], off, True)[:, 0], np.int64)


def encloses(loop: Loop) -> bool:
    """Whether a loop goes round an area, not round a hole."""
    x, y = loop.T
    return bool((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() > 0)


def inside(loops: Sequence[Loop]) -> tuple[int, int]:
    """The pixel x, y in the middle of the widest part of what loops go round, at half their height."""
    corners = np.concatenate(loops)
    row = int(corners[:, 1].min() + corners[:, 1].max()) // 2 + 0.5
    crossings = []
    for loop in loops:
        (x1, y1), (x2, y2) = loop.T, np.roll(loop, -1, axis=0).T
        crossed = (y1 < row) != (y2 < row)
        crossings += (x1 + (row - y1) * (x2 - x1) / np.where(y1 == y2, 1, y2 - y1))[crossed].tolist()
    ends = sorted(crossings)
    if not ends:  # parts lie above and below
        return int(corners[0, 0]), int(corners[0, 1])
    left, right = max(zip(ends[::2], ends[1::2], strict=True), key=lambda run: run[1] - run[0])
    return int((left + right) / 2), int(row)


def stroke_of(loops: Sequence[Loop]) -> dict[str, Any]:
    """One stroke round all these loops, of which there is one at least.

    Between two loops its line goes there and back along rows and columns, which encloses nothing.
    `static/outline.js` does the same.
    """
    start = loops[0][0]
    points = [loops[0], start[None]]
    for loop in loops[1:]:
        corner = [[loop[0, 0], start[1]]]
        points += [np.array(corner), loop, loop[:1], np.array(corner), start[None]]
    return {"tool": "lasso", "size": 1, "points": np.concatenate(points).tolist()}
