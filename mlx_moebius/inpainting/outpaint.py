"""A wider frame as one hole: once the network has drawn it, detail is grown in it from the photo alone.

What the network drew in its passes only guides the detail. Nothing is copied from it, so nothing repeats from pass to
pass. No pixel of the photo changes, so there is no feather; the new part is adjusted to meet the photo instead.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from math import inf

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.inpainting.crops import Crop
from mlx_moebius.inpainting.detail import Detail, mean_gradient
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.inpainting.synthesis.assembly import TwinPenalty
from mlx_moebius.inpainting.synthesis.grids import Scene
from mlx_moebius.inpainting.synthesis.grow import COARSE, grow
from mlx_moebius.inpainting.synthesis.trust import reliable_resolution
from mlx_moebius.photos.geometry import Box, Colours, Mask, intersection, shifted, slices
from mlx_moebius.photos.kept_colours import kept_colours
from mlx_moebius.photos.photo import Photo

REACH, LEAST_REACH = 8, 512  # looked at: eight times as far into the photo as the frame grows; pixels at least
TWINS = TwinPenalty(2000, 4, 1)  # all sources lie on one side, so that repeats tempt and show more than in a hole
JOINT = 32  # the new part is led over to the photo within 1/32 of what is looked at


def reliable_cell(crop: Crop, image: NDArray[np.uint8], fill: Colours, hole: Mask) -> float:
    """Pixels of the photo along the finest cells on which a crop's fill can be trusted; infinite for none."""
    cells = reliable_resolution(image.astype(np.float32), fill, hole)
    return crop.side / cells if cells else inf


def finish_frame(canvas: Photo, wide: Photo, inner: Box, cell: float, settings: Settings) -> tuple[Photo, list[Detail]]:
    """The wider frame with detail and without an edge.

    Args:
        canvas: the photo in `inner` and the network's fill around it.
        wide: the same with the photo's edges continued outwards.
        inner: where the photo lies.
        cell: size, in pixels, of the finest cells on which all of the fill can be trusted (infinite: none).
        settings: whether detail is wanted, and the seed.
    """
    details = []
    keep = kept_colours(wide, ~_outside(inner, wide.box))
    for part in parts(inner, canvas):
        start = time.perf_counter()
        frame = _surroundings(part, inner, canvas)
        side = max(frame[2] - frame[0], frame[3] - frame[1])
        fill = canvas.rgb(part).astype(np.float32)
        new = _outside(inner, part)
        colours = None
        if settings.detail and settings.paste:
            if cell > 1:
                # A network that cannot continue the photo would only lead astray.
                guide = fill if side / cell >= COARSE else wide.rgb(part).astype(np.float32)
                colours = grow(_scene(canvas, inner, part, frame, guide), side / cell, settings.seed, TWINS)
            gain = 1.0 if colours is None else mean_gradient(colours, new) / max(mean_gradient(fill, new), 1e-3)
            seconds = time.perf_counter() - start
            details.append(Detail(part, colours, new, None if cell == inf else cell, gain, seconds))
        depth = max(1, side // JOINT)
        changed = new
        if colours is None:
            colours = fill
            changed = new & ~_outside((inner[0] - depth, inner[1] - depth, inner[2] + depth, inner[3] + depth), part)
        meet(colours, part, canvas, inner, depth)
        canvas = canvas.composite(colours, changed.astype(np.float32), part, opaque=True, keep=keep)
    return canvas, details


def parts(inner: Box, canvas: Photo) -> Iterator[Box]:
    """Boxes of the new parts round `inner`: sides that meet at a corner are one, opposite ones alone are two."""
    left, top, right, bottom = inner
    width, height = canvas.width, canvas.height
    across, down = left > 0 or right < width, top > 0 or bottom < height
    if across and down:
        yield canvas.box
        return
    sides = (0, 0, left, height), (0, 0, width, top), (right, 0, width, height), (0, bottom, width, height)
    for box in sides:
        if box[0] < box[2] and box[1] < box[3] and box != canvas.box:
            yield box


def meet(colours: Colours, box: Box, canvas: Photo, inner: Box, depth: int) -> None:
    """Lead `colours` [h, w, 3] of a box beside or around `inner` over to the photo there, in place.

    The step at the border is taken off within `depth` pixels, in ever wider means along the border, as a membrane does
    (Perez et al., "Poisson image editing", 2003).
    """
    left, top, right, bottom = inner
    x, y = left - box[0], top - box[1]  # of the photo in the box, wherever that lies
    across, down = right - box[0], bottom - box[1]
    columns = colours.swapaxes(0, 1)
    sides = (
        (columns[max(0, x - depth) : max(0, x)][::-1], (left, top, left + 1, bottom), y),
        (columns[max(0, across) : max(0, across + depth)], (right - 1, top, right, bottom), y),
        (colours[max(0, y - depth) : max(0, y)][::-1], (left, top, right, top + 1), x),
        (colours[max(0, down) : max(0, down + depth)], (left, bottom - 1, right, bottom), x),
    )
    for outside, line, start in sides:
        if len(outside):
            steps = canvas.rgb(line).reshape(-1, 3) - outside[0, start:][: max(line[2] - line[0], line[3] - line[1])]
            if (alpha := canvas.alpha()) is not None:  # what is transparent may have any colour
                steps[alpha[slices(line)].ravel() == 0] = 0
            _take_off(outside, steps, start)


def _take_off(outside: Colours, steps: Colours, start: int) -> None:
    """Add `steps` [n, 3] to rows [depth, m, 3] that lie ever farther from a border, from column `start` on."""
    depth, length = outside.shape[:2]
    columns = np.arange(length)
    beyond = np.maximum(start - columns, columns - (start + len(steps) - 1))  # past an end: the other side's, or both's
    pad = (start + depth, length - start - len(steps) + depth)
    sums = np.pad(np.cumsum(np.pad(steps, (pad, (0, 0)), "edge"), axis=0, dtype=np.float64), ((1, 0), (0, 0)))
    for row in range(depth):
        low, high = depth - row, depth + row + 1
        means = (sums[high : high + length] - sums[low : low + length]) / (2 * row + 1)
        reached = beyond <= row
        outside[row, reached] += (1 - row / depth) * means[reached]


def _surroundings(part: Box, inner: Box, canvas: Photo) -> Box:
    """What is looked at: the part and as much of the photo as may help it."""
    left, top, right, bottom = inner
    depth = max(left - part[0], top - part[1], part[2] - right, part[3] - bottom)
    by = max(LEAST_REACH, REACH * depth)
    return max(0, part[0] - by), max(0, part[1] - by), min(canvas.width, part[2] + by), min(canvas.height, part[3] + by)


def _scene(canvas: Photo, inner: Box, part: Box, frame: Box, fill: Colours) -> Scene:
    """The part with its fill, and what of the photo is around it; nothing else is known."""
    unknown = _outside(inner, frame)
    hole = np.zeros_like(unknown)
    hole[slices(part, frame[:2])] = _outside(inner, part)
    if (alpha := canvas.alpha()) is not None:
        unknown |= alpha[slices(frame)] == 0
    return Scene(canvas.rgb(frame), hole, unknown, unknown, fill, shifted(part, -frame[0], -frame[1]))


def _outside(inner: Box, box: Box) -> Mask:
    """What of a box lies outside another one, bool [h, w]."""
    result = np.ones((box[3] - box[1], box[2] - box[0]), bool)
    if (common := intersection(inner, box)) is not None:
        result[slices(common, box[:2])] = False
    return result
