"""Detail for the fills of a photo's windows: how far each can be trusted, and what is grown beyond that."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.inpainting.crops import Window
from mlx_moebius.inpainting.stitch import Colours, blend
from mlx_moebius.inpainting.synthesis.grids import Scene
from mlx_moebius.inpainting.synthesis.grow import grow
from mlx_moebius.inpainting.synthesis.trust import trusted_cells
from mlx_moebius.photos.masks import Mask, dilate
from mlx_moebius.photos.photo import Box, Photo

RIM = 250  # nothing is copied from within 1/250 of the window's side of a mask: an object's edge may lie there
LEAST_RIM = 4  # pixels
SURROUNDINGS = 512  # pixels along the side of what is at least looked at: thin holes have small windows


class Growth(NamedTuple):
    """Detail has been seen to in `number` of `total` windows."""

    number: int
    total: int


@dataclass(frozen=True, slots=True)
class Detail:
    """What was grown in one window.

    `box` of the photo, `colours` float32 [h, w, 3] in 8-bit levels, `hole` bool [h, w]: where they hold; None where
    the network's fill stays as it is. `cell` is the size, in pixels of the photo, of the finest cells on which the
    fill was trusted (None: on none), `gain` how many times the hole's gradients have grown, `seconds` the time.
    """

    box: Box
    colours: Colours | None
    hole: Mask
    cell: float | None
    gain: float
    seconds: float

    def figures(self) -> dict[str, Any]:
        """What a file records of it. The time is not among it: the same run writes the same bytes."""
        return {"cell": self.cell and round(self.cell, 2), "gain": round(self.gain, 3)}


def grow_details(
    photo: Photo,
    mask: Mask,
    windows: Sequence[Window],
    images: Sequence[NDArray[np.uint8]],
    holes: Sequence[Mask],
    fills: Sequence[Colours],
    seed: int,
) -> Iterator[Detail]:
    """One `Detail` for each window, in order; what an earlier one has grown is known to those after it.

    `images`, `holes` and `fills` are the network's squares [S, S, ...]: what it saw, where it filled, and its fills,
    levelled, in 8-bit levels.
    """
    done: list[Detail] = []
    for index, window in enumerate(windows):
        start = time.perf_counter()
        cells = trusted_cells(images[index].astype(np.float32), fills[index], holes[index])
        scene = _scene(photo, mask, window, fills, windows, done)
        left, top, _, _ = _frame(window, photo)
        box = _moved(scene.box, left, top)
        hole = scene.hole[scene.box[1] : scene.box[3], scene.box[0] : scene.box[2]]
        cell = window.side / cells if cells else None
        colours = None
        if hole.any() and not (cells >= window.size and window.side == window.size):
            colours = grow(scene, cells * scene.side / window.side, seed)
        gain = 1.0 if colours is None else _gradient(colours, hole) / max(_gradient(scene.fill, hole), 1e-3)
        detail = Detail(box, colours, hole, cell, gain, time.perf_counter() - start)
        done.append(detail)
        yield detail


def lay(detail: Detail, box: Box, colours: Colours, weights: NDArray[np.float32]) -> None:
    """Lay what was grown over `colours` [h, w, 3] of a box of the photo, with weight 1 in `weights` [h, w]."""
    part = _overlap(detail.box, box)
    if detail.colours is None or part is None:
        return
    there, here = _part(part, detail.box), _part(part, box)
    own = detail.hole[there]
    colours[here][own] = detail.colours[there][own]
    weights[here][own] = 1


def _scene(
    photo: Photo,
    mask: Mask,
    window: Window,
    fills: Sequence[Colours],
    windows: Sequence[Window],
    done: Sequence[Detail],
) -> Scene:
    """The window as far as it lies in the photo, with what was grown before."""
    frame = left, top, right, bottom = _frame(window, photo)
    colours = photo.rgb(frame).copy()
    masked = mask[top:bottom, left:right]
    unknown = masked.copy()
    for earlier in done:
        if earlier.colours is not None and (part := _overlap(earlier.box, frame)) is not None:
            there, here = _part(part, earlier.box), _part(part, frame)
            own = earlier.hole[there]
            colours[here][own] = np.rint(earlier.colours[there][own]).clip(0, 255).astype(np.uint8)
            unknown[here] &= ~own
    reach = window.reach(photo.width, photo.height)
    near = np.zeros_like(unknown)
    near[_part(reach, frame)] = True
    hole = unknown & near
    barred = dilate(masked, 2 * max(LEAST_RIM, window.side // RIM) + 1)
    if (alpha := photo.alpha()) is not None:  # what is transparent may have any colour
        hidden = alpha[top:bottom, left:right] == 0
        barred |= hidden
        unknown |= hidden
    box = _bounds(hole)
    fill, _ = blend(fills, windows, mask, _moved(box, left, top))
    return Scene(colours, hole, unknown, barred, fill, box)


def _moved(box: Box, left: int, top: int) -> Box:
    return box[0] + left, box[1] + top, box[2] + left, box[3] + top


def _part(box: Box, whole: Box) -> tuple[slice, slice]:
    """Where a box lies in the array of another that holds it."""
    return slice(box[1] - whole[1], box[3] - whole[1]), slice(box[0] - whole[0], box[2] - whole[0])


def _frame(window: Window, photo: Photo) -> Box:
    """What is looked at: the window, or more where it is small, as far as the photo goes."""
    more = max(0, -(-(SURROUNDINGS - window.side) // 2))
    left, top, right, bottom = window.frame
    return max(0, left - more), max(0, top - more), min(photo.width, right + more), min(photo.height, bottom + more)


def _bounds(mask: Mask) -> Box:
    """Of what is True; an empty box where nothing is."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _overlap(a: Box, b: Box) -> Box | None:
    left, top, right, bottom = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return (left, top, right, bottom) if left < right and top < bottom else None


def _gradient(colours: Colours, where: Mask) -> float:
    """Mean absolute difference between neighbours that both count."""
    down = np.abs(np.diff(colours, axis=0)).mean(axis=-1)[where[1:] & where[:-1]]
    across = np.abs(np.diff(colours, axis=1)).mean(axis=-1)[where[:, 1:] & where[:, :-1]]
    return float(np.concatenate([down, across]).mean()) if len(down) + len(across) else 0.0
