"""Push-pull interpolation: unknown pixels are filled smoothly from known ones."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.photos.geometry import Colours, Mask, bounding_box, slices
from mlx_moebius.side_by_side import side_by_side

FloatBox = tuple[float, float, float, float]
"""Left, top, right, bottom."""

FINEST = 1024  # cells along the side of what is continued: what has no detail needs no more
AT_ONCE = 1 << 21  # pixels that are in memory as numbers at a time
NEAR = 32  # cells round what is unknown from which it is continued


def continued(image: NDArray[np.uint8], unknown: Mask, finest: int = FINEST) -> NDArray[np.uint8]:
    """The image [H, W, 3] with unknown pixels [H, W] replaced by a smooth continuation of their surroundings.

    It is continued on at most `finest` cells along the longer side of what is unknown. Unchanged if no pixel is known.
    """
    box = bounding_box(unknown)
    if box is None or unknown.all():
        return image
    height, width = unknown.shape
    cell = -(-max(box[2] - box[0], box[3] - box[1]) // finest)
    near = NEAR * cell
    left, top = max(0, box[0] - near), max(0, box[1] - near)
    here = slices((left, top, min(width, box[2] + near), min(height, box[3] + near)))
    if unknown[here].all():
        here = slices((0, 0, width, height))
    result = image.copy()
    inside, colours, target = unknown[here], image[here], result[here]
    length, width = inside.shape
    rows, columns = -(-length // cell), -(-width // cell)
    few = max(1, AT_ONCE // (cell * width))  # rows of cells
    bands = [(top, min(rows, top + few)) for top in range(0, rows, few)]

    def reduced(band: tuple[int, int]) -> list[Colours]:
        """Means over a band's cells, with 0 where it is unknown: whether pixels are known, and of each channel."""
        first, last = (row * length / rows for row in band)
        here = slice(int(first), math.ceil(last))
        known = (~inside[here]).astype(np.float32)
        shape, box = (columns, band[1] - band[0]), (0, first - here.start, width, last - here.start)
        planes = known, *np.moveaxis(colours[here], -1, 0)
        return side_by_side(lambda plane: _resized(plane * known, shape, Image.Resampling.BOX, box), planes)

    weight, *means = (np.concatenate(parts) for parts in zip(*side_by_side(reduced, bands), strict=True))
    smooth = side_by_side(lambda mean: push_pull((mean / weight.clip(1e-6))[..., None], weight > 0)[..., 0], means)

    def fill(band: tuple[int, int]) -> None:
        first, last = (row * length // rows for row in band)
        here = inside[first:last]
        if not here.any():
            return
        box = 0, first * rows / length, columns, last * rows / length

        def fill_channel(channel: int) -> None:
            whole = _resized(smooth[channel], (width, last - first), Image.Resampling.BILINEAR, box)
            target[first:last, :, channel][here] = np.rint(whole[here]).clip(0, 255)

        side_by_side(fill_channel, range(len(smooth)))

    side_by_side(fill, bands)
    return result


def _resized(values: Colours, shape: tuple[int, int], resample: Image.Resampling, box: FloatBox) -> Colours:
    """A part of an array [H, W] at another size."""
    return np.asarray(Image.fromarray(values).resize(shape, resample, box))


def push_pull(values: Colours, known: Mask) -> Colours:
    """Values [H, W, C] where they are known [H, W], continued smoothly to everywhere else.

    Push-pull interpolation (Gortler et al., "The lumigraph", 1996): means of known pixels at ever coarser levels; then
    gaps are filled, level by level, from the next coarser one.
    """
    height, width = known.shape
    side = 1 << (max(height, width) - 1).bit_length()
    pad = (0, side - height), (0, side - width)
    weights = [np.pad(known.astype(np.float32), pad)[..., None]]
    levels = [np.pad(values, (*pad, (0, 0))) * weights[0]]
    while len(levels[-1]) > 1:
        sums, counts = (_of_four(values) for values in (levels[-1], weights[-1]))
        weights.append(counts.clip(0, 1))
        levels.append(sums * (weights[-1] / counts.clip(1e-6)))
    filled = levels.pop() / weights.pop().clip(1e-6)
    for level, weight in zip(levels[::-1], weights[::-1], strict=True):
        smooth = [
            Image.fromarray(c).resize(weight.shape[:2], Image.Resampling.BILINEAR) for c in np.moveaxis(filled, -1, 0)
        ]
        filled = level + (1 - weight) * np.stack([np.asarray(channel) for channel in smooth], axis=-1)
    return filled[:height, :width]


def _of_four(values: Colours) -> Colours:
    """Sums over 2 x 2 cells, [2 n, 2 n, C] -> [n, n, C]."""
    rows = values[::2] + values[1::2]
    sums: Colours = rows[:, ::2] + rows[:, 1::2]
    return sums
