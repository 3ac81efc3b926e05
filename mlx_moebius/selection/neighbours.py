"""The neighbours of a wire: others of its direction, at both sides of it.

The photo is straightened along the wire, so that its neighbours lie nearly level; each is then followed by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.errors import MoebiusError
from mlx_moebius.opencv import opencv
from mlx_moebius.selection.strips import CLEAR, Floats, ridges
from mlx_moebius.selection.wire import DARK, EITHER, KINDS, LIGHT, Points, Wire, follow_wire

REACH = 0.25  # of the photo's shorter side: how far away neighbours are looked for
TILT = 0.3  # how much nearer or farther a neighbour may be at one end than at the other, of its distance
TILTS = 13
FAINTER = 0.5  # of how clear the wire is: fainter lines are no neighbours
FLAT = 0.02  # of a span: how far a neighbour may hang otherwise than the wire
MOST = 40  # neighbours
COLUMNS = 600  # pixels along the wire in which neighbours are looked for


def neighbours(rgb: NDArray[np.uint8], wire: Wire) -> list[Wire]:
    """The neighbours of a wire in a photo uint8 [H, W, 3], nearest first."""
    step = max(1.0, float(np.median(wire.widths)) / 4)
    reach = int(REACH * min(rgb.shape[:2]) / step)
    at, across = _frame(wire.points)
    distances = step * np.arange(-reach, reach + 1)
    places = (at + distances[:, None, None] * across).astype(np.float32)
    cv2 = opencv()
    straight = cv2.remap(rgb, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    height, width = rgb.shape[:2]
    within = (places >= 0) & (places < (width, height))
    inside = np.logical_and(within[..., 0], within[..., 1])
    dark, light = (np.where(inside, ridge / (ridge + CLEAR), 0) for ridge in ridges(straight.astype(np.float32)))
    kinds = KINDS if wire.kind == EITHER else (wire.kind,)
    alike = {DARK: (dark,), LIGHT: (light,)}.get(wire.kind, (dark, light))  # between two dark wires lies a light line
    found: list[Wire] = []
    for row, tilt in _levels(alike, inside):
        rows = row + tilt * (np.linspace(-0.5, 0.5, len(at)))
        line = at + (rows - reach)[:, None] * step * across
        seen = np.flatnonzero(((line >= 0) & (line < (width, height))).all(axis=1))
        if len(seen) < 20:
            continue
        ends = line[seen[[int(0.1 * len(seen)), int(0.9 * len(seen))]]]
        try:
            other = follow_wire(rgb, [(float(x), float(y)) for x, y in ends], [wire.reduction], FLAT, kinds)
        except MoebiusError:
            continue
        if all(_apart(other.points, known.points) > 1.5 * step for known in (wire, *found)):
            found.append(other)
    return found[:MOST]


def _frame(points: Points) -> tuple[Points, Points]:
    """Places along the wire, evenly, and the direction across it at each."""
    at = points[np.linspace(0, len(points) - 1, min(COLUMNS, len(points))).astype(int)]
    smooth = np.gradient(at, axis=0)
    smooth = np.column_stack(
        [np.convolve(np.pad(smooth[:, axis], 15, "edge"), np.ones(31) / 31, "valid") for axis in (0, 1)]
    )
    along = smooth / np.linalg.norm(smooth, axis=1)[:, None].clip(1e-9)
    return at, np.column_stack([-along[:, 1], along[:, 0]])


def _levels(contrasts: Sequence[Floats], inside: NDArray[np.bool_]) -> list[tuple[int, float]]:
    """Rows of a straightened photo near which a line lies, and how it is tilted, from the middle row outwards."""
    rows, columns = inside.shape
    middle = rows // 2
    best = np.zeros(rows)
    tilts = np.zeros(rows)
    for tilt in np.linspace(-TILT, TILT, TILTS):
        shift = np.abs(np.arange(rows) - middle)[:, None] * tilt * np.linspace(-0.5, 0.5, columns)
        at = np.rint(np.arange(rows)[:, None] + shift).astype(int).clip(0, rows - 1)
        seen = inside[at, np.arange(columns)].mean(axis=1)
        for contrast in contrasts:
            level = contrast[at, np.arange(columns)].mean(axis=1) / seen.clip(0.3)
            better = level > best
            best[better], tilts[better] = level[better], (np.abs(np.arange(rows) - middle) * tilt)[better]
    background = float(np.median(best))
    least = background + FAINTER * (best[middle - 2 : middle + 3].max() - background)
    peaks = [r for r in range(2, rows - 2) if best[r] == best[r - 2 : r + 3].max() and best[r] >= least]
    return [(r, float(tilts[r])) for r in sorted(peaks, key=lambda r: abs(r - middle)) if abs(r - middle) > 2]


def _apart(a: Points, b: Points) -> float:
    """The median distance of the points of one line from another."""
    some = a[:: max(1, len(a) // 50)]
    other = b[:: max(1, len(b) // 1000)]
    return float(np.median(np.sqrt(((some[:, None] - other) ** 2).sum(axis=-1).min(axis=1))))
