"""Which square crops of a photo the network fills. Pure geometry: a mask in, crops out.

The planner goes through scales, from native detail upwards. A scale is a crop side: first the model's size, then
always 1.25 times more. At a scale:

1. A part of the mask gets a single crop, `context` times its extent, if that is at most twice the scale.
2. Limbs are stretches of a part that are thin and long at this scale, such as power lines. They are cut into pieces of
   at most three quarters of the scale, and every piece gets a crop of this side.
3. What is left is thick and large. It waits for the next scale. At the last scale the crop is the whole photo.

Finally, a piece that fits into the crop of another one, without enlarging it, is joined to that piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.geometry import Box, Mask, bounding_box, shifted
from mlx_moebius.photos.masks import components, dilate

MAX_CROPS = 128  # per photo; beyond it, crops get larger instead
CELLS = 32  # coarse cells along the side of a crop of the model's size
MARGIN = 8  # a crop sees at least 1/8 of its side around its box, except at the photo's edges
REACH = 16  # overlapping crops are blended over 1/16 of their side beyond their boxes


@dataclass(frozen=True, slots=True)
class Crop:
    """A square of a photo that goes through the network, in pixels of the photo.

    `size` is the side of the network's input: where it equals `side`, nothing is resampled. `box` bounds the masked
    pixels that this crop has to fill. A crop that is larger than the photo along an axis is centred on it there: `left`
    or `top` is negative, and the photo is mirrored outside its edges.
    """

    left: int
    top: int
    side: int
    size: int
    box: Box

    @property
    def enlargement(self) -> float:
        """Pixels of the photo along one pixel of the network; 1 is native detail."""
        return self.side / self.size

    @property
    def frame(self) -> Box:
        """The crop itself as a box; it may lie partly outside the photo."""
        return self.left, self.top, self.left + self.side, self.top + self.side

    def moved(self, left: int, top: int) -> Crop:
        """The same crop, farther to the right and down."""
        return replace(self, left=self.left + left, top=self.top + top, box=shifted(self.box, left, top))

    def reach(self, width: int, height: int) -> Box:
        """Pixels of a width x height photo that the crop may change: `box` and the blend around it."""
        by = self.side // REACH
        left, top, right, bottom = self.frame
        return (
            max(0, left, self.box[0] - by),
            max(0, top, self.box[1] - by),
            min(width, right, self.box[2] + by),
            min(height, bottom, self.box[3] + by),
        )


def plan(
    mask: Mask, size: int, context: float = 2.0, max_crop: int | None = None, whole_image: bool = False
) -> list[Crop]:
    """Crops that together fill every masked pixel, in reading order; none for an empty mask.

    They are square, at least `size` pixels wide, and inside the photo wherever it is large enough. A crop is shrunk to
    the photo's short side as long as an eighth of its side remains around the part. It is at most the photo's long
    side, or `size` if that is more. A hole that spans the frame gets one crop of the whole photo, mirrored above and
    below: one coherent fill looks better than sharper pieces that disagree. There are at most `MAX_CROPS`.

    Args:
        mask: bool [H, W], True = fill.
        size: side of the network's input, in pixels.
        context: side of a crop relative to the longer side of the part that it fills.
        max_crop: largest side allowed; larger holes are swept by crops of this side, which then see less around.
        whole_image: use one crop for the whole photo.

    Raises MoebiusError for settings that contradict each other, or when `max_crop` needs more than `MAX_CROPS`.
    """
    if context < 1:
        raise MoebiusError(f"context {context:g} is smaller than the part to fill: use 1 or more (2 is usual)")
    if max_crop is not None and max_crop < size:
        raise MoebiusError(f"the largest crop, {max_crop} pixels, is smaller than the model's {size}")
    if max_crop is not None and whole_image:
        raise MoebiusError("a largest crop and the whole image exclude each other: choose one")
    if not mask.any():
        return []
    height, width = mask.shape
    if whole_image:
        return [_place(_exact_box(mask, 0, 0), max(size, width, height), size, width, height)]
    smallest = size
    while len(pieces := _Planner(mask, size, smallest, context, max_crop).pieces()) > MAX_CROPS:
        if max_crop is not None and smallest >= max_crop:
            raise MoebiusError(f"crops of at most {max_crop} pixels would be {len(pieces)}: allow larger ones")
        smallest = smallest * 5 // 4 if max_crop is None else min(smallest * 5 // 4, max_crop)
    crops = [_place(box, side, size, width, height) for box, side in pieces]
    return sorted(crops, key=lambda crop: (crop.top, crop.left))


class _Planner:
    """One attempt with crops of at least `smallest` pixels. A piece is a box to fill, and the side of its crop."""

    def __init__(self, mask: Mask, size: int, smallest: int, context: float, max_crop: int | None) -> None:
        self.mask = mask
        self.short: int = min(mask.shape)
        self.long: int = max(mask.shape)
        self.cell = max(1, size // CELLS)
        self.smallest = smallest
        self.context = context
        self.largest = min(self.long, max_crop or self.long)

    def pieces(self) -> list[tuple[Box, int]]:
        pieces: list[tuple[Box, int]] = []
        cells = _coarse(self.mask, self.cell)
        side = self.smallest
        while cells.any():
            cells, swept, found = self._at_scale(cells, side)
            pieces += [(box, self._side(box)) for box in found]
            pieces += [(box, side) for box in self._sweep(swept, side)]
            side = min(side * 5 // 4, max(self.largest, self.smallest))
        return self._share(pieces)

    def _side(self, box: Box) -> int:
        """Side of the crop for a part that is filled in one go."""
        extent = max(box[2] - box[0], box[3] - box[1])
        room = -(-extent * MARGIN // (MARGIN - 2))  # the least that leaves a margin on both sides
        wanted = max(room, round(self.context * extent))
        side: int = max(self.smallest, min(wanted, max(min(self.short, self.largest), room), self.long))
        return side

    def _at_scale(self, cells: Mask, side: int) -> tuple[Mask, Mask, list[Box]]:
        """Cells that wait for the next scale, cells to sweep at this one, and boxes of parts that get a single crop.

        Parts less than about 1/16 of the side apart count as one.
        """
        near = side // (CELLS * self.cell)
        waiting, swept, found = np.zeros_like(cells), np.zeros_like(cells), []
        last = side >= self.largest
        for part in components(dilate(cells, 2 * near + 1)):
            left, top, right, bottom = part.box
            here = np.s_[top:bottom, left:right]
            wanted = part.mask() & cells[here]
            box = self._box(wanted, left, top)
            needed = self._side(box)
            if needed <= side or (last and needed <= self.largest):
                found.append(box)
                continue
            core, limbs = self._split(wanted, side)
            if core.any() and needed <= min(2 * side, self.largest):
                found.append(box)
            else:
                swept[here] |= limbs
                waiting[here] |= core
        return (np.zeros_like(cells), swept | waiting, found) if last else (waiting, swept, found)

    def _split(self, cells: Mask, side: int) -> tuple[Mask, Mask]:
        """Core and limbs of a part: limbs are thinner than side / (2 context) and, beside a core, longer than side."""
        reach = int(side / (4 * self.context * self.cell))
        kernel = 2 * reach + 1
        padded = np.pad(cells, kernel)
        opened = dilate(~dilate(~padded, kernel), kernel)
        core = padded & dilate(opened, kernel)  # with the corners that an opening takes off
        if not core.any():
            return np.zeros_like(cells), cells
        limbs = padded & ~core
        for limb in components(limbs):
            left, top, right, bottom = limb.box
            if max(right - left, bottom - top) * self.cell <= side:
                here = np.s_[top:bottom, left:right]
                core[here] |= limb.mask()
                limbs[here] &= ~limb.mask()
        inside = np.s_[kernel:-kernel, kernel:-kernel]
        return core[inside], limbs[inside]

    def _sweep(self, cells: Mask, side: int) -> list[Box]:
        """Boxes of pieces of at most 3/4 of `side`, by rows or by columns, whichever takes fewer."""
        pitch = side * (MARGIN - 2) // MARGIN // self.cell
        by_rows = list(_strips(cells, pitch))
        by_columns = [(left, top, piece.T) for top, left, piece in _strips(cells.T, pitch)]
        best = min(by_columns, by_rows, key=len)
        return [self._box(piece, left, top) for left, top, piece in best]

    def _box(self, cells: Mask, left: int, top: int) -> Box:
        """Box, in pixels, of the masked pixels in some cells; the first cell is at column `left` and row `top`."""
        left, top = left * self.cell, top * self.cell
        pixels = self.mask[top : top + cells.shape[0] * self.cell, left : left + cells.shape[1] * self.cell]
        rows, columns = pixels.shape
        enlarged = cells.repeat(self.cell, axis=1)[:, :columns].repeat(self.cell, axis=0)[:rows]
        return _exact_box(pixels & enlarged, left, top)

    def _share(self, pieces: list[tuple[Box, int]]) -> list[tuple[Box, int]]:
        """Join pieces, largest first, to an earlier piece if its crop need not grow for that."""
        kept: list[tuple[Box, int]] = []
        boxes = np.empty((len(pieces), 4), np.int64)
        for box, side in sorted(pieces, key=lambda piece: -piece[1]):
            others = boxes[: len(kept)]
            joined = np.concatenate([np.minimum(others[:, :2], box[:2]), np.maximum(others[:, 2:], box[2:])], axis=1)
            nearest = np.argsort((joined[:, 2:] - joined[:, :2]).max(axis=1), kind="stable")
            for index in nearest[:4]:  # the union with a farther one is larger
                union: Box = tuple(joined[index].tolist())
                if self._side(union) <= kept[index][1]:
                    kept[index] = (union, kept[index][1])
                    boxes[index] = union
                    break
            else:
                boxes[len(kept)] = box
                kept.append((box, side))
        return kept


def _strips(cells: Mask, pitch: int) -> Iterator[tuple[int, int, Mask]]:
    """Pieces of at most pitch x pitch cells, with their left and top; no more than a regular grid of that pitch has.

    Strips start at the topmost cell that is left; pieces of a strip start at its leftmost cell.
    """
    rest = cells.copy()
    while rest.any():
        top = int(np.argmax(rest.any(axis=1)))
        strip = rest[top : top + pitch]
        while strip.any():
            left = int(np.argmax(strip.any(axis=0)))
            yield left, top, strip[:, left : left + pitch].copy()
            strip[:, left : left + pitch] = False


def _place(box: Box, side: int, size: int, width: int, height: int) -> Crop:
    """A crop centred on a box and shifted into the photo; centred on the photo along an axis where it is larger."""
    left, top = (
        min(max((low + high - side) // 2, 0), length - side) if side <= length else (length - side) // 2
        for low, high, length in ((box[0], box[2], width), (box[1], box[3], height))
    )
    return Crop(left, top, side, size, box)


def _coarse(mask: Mask, cell: int) -> Mask:
    """The mask on coarse cells of cell x cell pixels: whether any pixel of a cell is masked."""
    padded = np.pad(mask, [(0, -length % cell) for length in mask.shape])
    rows, columns = (length // cell for length in padded.shape)
    filled = np.asarray(padded.reshape(rows, cell, -1).any(axis=1))
    return np.asarray(filled.reshape(rows, columns, cell).any(axis=2))


def _exact_box(mask: Mask, left: int, top: int) -> Box:
    """Bounding box of the True pixels, moved by `left` and `top`."""
    box = bounding_box(mask)
    assert box is not None
    return shifted(box, left, top)
