"""Detail for the fills of a photo's crops: how far a fill can be trusted, and the detail grown beyond that."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.inpainting.crops import Crop
from mlx_moebius.inpainting.push_pull import continued
from mlx_moebius.inpainting.stitch import blend
from mlx_moebius.inpainting.synthesis.grids import Scene
from mlx_moebius.inpainting.synthesis.grow import grow
from mlx_moebius.inpainting.synthesis.thin import is_thin
from mlx_moebius.inpainting.synthesis.trust import reliable_resolution
from mlx_moebius.photos.geometry import Box, Colours, Mask, bounding_box, intersection, shifted, slices
from mlx_moebius.photos.masks import dilate
from mlx_moebius.photos.photo import Photo
from mlx_moebius.side_by_side import both, in_order

RIM = 250  # nothing is copied that lies closer to a mask than 1/250 of the crop's side: an object's edge may be there
LEAST_RIM = 4  # pixels
AT_ONCE = 1 << 22  # pixels of the crops that are in memory at a time
SURROUNDINGS = 512  # pixels: the least side of the area that is searched, since thin holes have small crops


class Growth(NamedTuple):
    """Detail has been seen to in `number` of `total` crops."""

    number: int
    total: int


@dataclass(frozen=True, slots=True)
class Detail:
    """What was grown in one crop.

    `box` lies in the photo. `colours`, float32 [h, w, 3] in 8-bit levels, replace the fill where `hole`, bool [h, w],
    is True; they are None where the network's fill stays as it is. `cell` is the size, in pixels of the photo, of the
    finest cells on which the fill was trusted (None: on none). `gain` is the factor by which the mean gradient in the
    hole has grown, `seconds` the time taken.
    """

    box: Box
    colours: Colours | None
    hole: Mask
    cell: float | None
    gain: float
    seconds: float

    def figures(self) -> dict[str, Any]:
        """The figures that a file records. The time is left out, so that the same run writes the same bytes."""
        return {"cell": self.cell and round(self.cell, 2), "gain": round(self.gain, 3)}


def grow_details(
    photo: Photo,
    mask: Mask,
    crops: Sequence[Crop],
    images: Sequence[NDArray[np.uint8]],
    holes: Sequence[Mask],
    fills: Sequence[Colours],
    seed: int,
) -> Iterator[Detail]:
    """Yield one `Detail` per crop, in order. Later crops see the detail that was grown in earlier ones beside them.

    Crops that do not see each other are done side by side, as long as they are not larger together than one may be.

    `images`, `holes` and `fills` are at the network's size, [S, S, ...]: what the network saw, where it filled, and its
    fills in 8-bit levels with their colours matched.
    """
    frames = [_frame(crop, photo) for crop in crops]
    reaches = [crop.reach(photo.width, photo.height) for crop in crops]
    seen = [
        [other for other in range(index) if intersection(reaches[other], frame)] for index, frame in enumerate(frames)
    ]
    done: dict[int, Detail] = {}

    def one(index: int) -> Detail:
        start = time.perf_counter()
        cells, scene = both(
            lambda: reliable_resolution(images[index].astype(np.float32), fills[index], holes[index]),
            lambda: _scene(photo, mask, crops[index], fills, crops, [done[other] for other in seen[index]]),
        )
        detail = _grown(scene, crops[index], frames[index], cells, seed)
        done[index] = replace(detail, seconds=time.perf_counter() - start)
        return done[index]

    largest = max((crop.side for crop in crops), default=1)
    yield from in_order(one, range(len(crops)), seen, max(1, AT_ONCE // largest**2))


def _grown(scene: Scene, crop: Crop, frame: Box, cells: float, seed: int) -> Detail:
    """The detail of a crop whose fill is trusted on a grid of `cells`; it took no time yet."""
    hole = scene.hole[slices(scene.box)]
    cell = crop.side / cells if cells else None
    colours = None if hole.any() else scene.fill  # nothing is left to do
    if hole.any() and not (cells >= crop.size and crop.side == crop.size):
        colours = grow(scene, cells * scene.side / crop.side, seed)
        if colours is None and is_thin(scene.hole, crop.side / cells if cells else np.inf):
            colours = continued(scene.photo, scene.unknown)[slices(scene.box)].astype(np.float32)
    gain = 1.0
    if colours is not None and hole.any():
        gain = mean_gradient(colours, hole) / max(mean_gradient(scene.fill, hole), 1e-3)
    return Detail(shifted(scene.box, *frame[:2]), colours, hole, cell, gain, 0.0)


def lay(detail: Detail, box: Box, colours: Colours, weights: NDArray[np.float32]) -> None:
    """Write grown detail into `colours` [h, w, 3] of a box of the photo, and 1 into `weights` [h, w]."""
    part = intersection(detail.box, box)
    if detail.colours is None or part is None:
        return
    there, here = slices(part, detail.box[:2]), slices(part, box[:2])
    unknown_here = detail.hole[there]
    colours[here][unknown_here] = detail.colours[there][unknown_here]
    weights[here][unknown_here] = 1


def _scene(
    photo: Photo,
    mask: Mask,
    crop: Crop,
    fills: Sequence[Colours],
    crops: Sequence[Crop],
    done: Sequence[Detail],
) -> Scene:
    """The scene of a crop, inside the photo, with the detail that earlier crops have grown."""
    frame = left, top, right, bottom = _frame(crop, photo)
    colours = photo.rgb(frame).copy()
    masked = mask[top:bottom, left:right]
    unknown = masked.copy()
    for earlier in done:
        if earlier.colours is not None and (part := intersection(earlier.box, frame)) is not None:
            there, here = slices(part, earlier.box[:2]), slices(part, frame[:2])
            grown = earlier.hole[there]
            colours[here][grown] = np.rint(earlier.colours[there][grown]).clip(0, 255).astype(np.uint8)
            unknown[here] &= ~grown
    reach = crop.reach(photo.width, photo.height)
    near = np.zeros_like(unknown)
    near[slices(reach, frame[:2])] = True
    hole = unknown & near
    never = masked
    if (alpha := photo.alpha()) is not None:  # what is transparent may have any colour
        hidden = alpha[top:bottom, left:right] == 0
        never = masked | hidden
        unknown |= hidden
    excluded = dilate(never, 2 * max(LEAST_RIM, crop.side // RIM) + 1)
    box = bounding_box(hole) or (0, 0, 0, 0)
    fill, _ = blend(fills, crops, mask, shifted(box, left, top))
    scene = Scene(colours, hole, unknown, excluded, fill, box)
    if hole.any():
        scene.prepare()
    return scene


def _frame(crop: Crop, photo: Photo) -> Box:
    """The area that is searched: the crop, or more where it is small, inside the photo."""
    more = max(0, -(-(SURROUNDINGS - crop.side) // 2))
    left, top, right, bottom = crop.frame
    return max(0, left - more), max(0, top - more), min(photo.width, right + more), min(photo.height, bottom + more)


def mean_gradient(colours: Colours, where: Mask) -> float:
    """Mean absolute difference between neighbouring pixels that both lie in `where`."""
    pairs = where[1:] & where[:-1], where[:, 1:] & where[:, :-1]
    down = np.abs(colours[1:][pairs[0]] - colours[:-1][pairs[0]]).mean(axis=-1)
    across = np.abs(colours[:, 1:][pairs[1]] - colours[:, :-1][pairs[1]]).mean(axis=-1)
    return float(np.concatenate([down, across]).mean()) if len(down) + len(across) else 0.0
