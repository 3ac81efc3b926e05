"""Cuts a crop out of a photo, matches the fill's colours to the photo, and blends the fill back.

Colours are RGB in 8-bit levels (0..255); float32 wherever they are not the pixels of a photo.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.inpainting.crops import REACH, Crop
from mlx_moebius.inpainting.push_pull import continued
from mlx_moebius.photos.geometry import Box, Colours, Mask, intersection
from mlx_moebius.photos.masks import dilate

FEATHER = 64  # the feather is 1/64 of the crop's side wide: 8 pixels at 512
GRID = 64  # cells along a crop's side in which colours are levelled
RING = 2  # cells round the mask that are compared


def extract(rgb: NDArray[np.uint8], mask: Mask, crop: Crop) -> tuple[NDArray[np.uint8], Mask]:
    """Cut a crop out of a photo [H, W, 3] and its mask [H, W], and resize both to the crop's `size`.

    Where `side` equals `size`, these are the photo's pixels. Otherwise the image is reduced with a Lanczos filter
    and a mask pixel is set if any masked pixel falls on it (thin lines survive) or on one of its neighbours, which
    the filter blends. Outside the photo both are mirrored.
    """
    left, top, right, bottom = crop.frame
    height, width = mask.shape
    pad = (max(0, -top), max(0, bottom - height)), (max(0, -left), max(0, right - width))
    inside = np.s_[max(0, top) : bottom, max(0, left) : right]
    image = np.pad(rgb[inside], (*pad, (0, 0)), "symmetric")
    hole = np.pad(mask[inside], pad, "symmetric")
    if crop.side == crop.size:
        return image, hole
    size = crop.size
    image = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS))
    starts = -(-np.arange(size) * crop.side // size)  # pixel i is i * size // side of the reduced mask
    hole = np.logical_or.reduceat(np.logical_or.reduceat(hole, starts, 0), starts, 1)
    return image, dilate(hole, 3)


def prefill(image: NDArray[np.uint8], hole: Mask) -> NDArray[np.uint8]:
    """The image [S, S, 3] with its hole filled smoothly from its surroundings.

    Sampling starts from the noised image, and a trace of the object to remove would survive the noise.
    """
    return continued(image, hole)


def enlarge(fill: Colours, crop: Crop, box: Box) -> Colours:
    """The part of a fill [size, size, 3] that covers a box of the photo, [h, w, 3], with a Lanczos filter."""
    left, top, right, bottom = (edge - origin for edge, origin in zip(box, (crop.left, crop.top) * 2, strict=True))
    if crop.side == crop.size:
        return fill[top:bottom, left:right]
    scale = crop.size / crop.side
    source = (left * scale, top * scale, right * scale, bottom * scale)
    channels = [
        Image.fromarray(fill[..., channel]).resize((right - left, bottom - top), Image.Resampling.LANCZOS, source)
        for channel in range(fill.shape[2])
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def feather(mask: Mask, width: int) -> NDArray[np.float32]:
    """Weights [H, W]: exactly 1 on the mask, falling smoothly to exactly 0 beyond `width` pixels along either axis.

    The mask is grown by half the width and averaged with two box filters that reach the other half, in integers.
    """
    half = width // 2
    grown = dilate(mask, 2 * (width - half) + 1).astype(np.int32)
    area = 1
    for radius in ((half + 1) // 2, half // 2):
        length = 2 * radius + 1
        area *= length * length
        for axis in (0, 1):
            grown = _window_sum(grown, radius, axis)
    weights: NDArray[np.float32] = grown.astype(np.float32) / np.float32(area)
    return weights


def match_colour(fill: Colours, original: NDArray[np.uint8], mask: Mask) -> Colours:
    """Shift the fill's colours so that it meets the original round the mask; all are [S, S, ...], S the network's size.

    The network redraws the whole crop, so what it got wrong shows on a ring round the mask, where the original is
    known: a tint there is also the tint inside. Official `compensate` adds one mean difference per channel; here the
    difference varies by place. It is the mean of the ring's differences (original - fill) weighted by 1 / distance^4
    (Shepard, "A two-dimensional interpolation function for irregularly-spaced data", 1968), on a grid of 64 x 64 cells.
    Texture averages out within a cell and among the cells nearby. Differences more than three deviations from their
    median, such as a rest of the object that the mask left out, are limited to that. Unchanged if nothing is known.
    """
    size = len(mask)
    cell = max(1, size // GRID)
    ring = dilate(mask, 2 * RING * cell + 1) & ~mask
    if not ring.any():
        return fill
    counts = _cell_sum(ring.astype(np.float32), cell)
    known = counts > 0
    difference = np.where(ring[..., None], original - fill, 0)
    values = _cell_sum(difference, cell)[known] / counts[known, None]
    middle = np.median(values, axis=0)
    limit = 3 * 1.4826 * np.median(np.abs(values - middle), axis=0) + 1  # 1.4826 MAD: a normal's standard deviation
    offset = _interpolate(known, counts, values.clip(middle - limit, middle + limit))
    images = [Image.fromarray(offset[..., channel]) for channel in range(3)]
    side = len(counts) * cell
    smooth = [np.asarray(image.resize((side, side), Image.Resampling.BILINEAR)) for image in images]
    levelled: Colours = fill + np.stack(smooth, axis=-1)[:size, :size]
    return levelled


def blend(fills: Sequence[Colours], crops: Sequence[Crop], mask: Mask, box: Box) -> tuple[Colours, NDArray[np.float32]]:
    """What to lay over a box of the photo: colours [h, w, 3] and their weights [h, w], 0 where the photo stays.

    `fills` are at the network's size, [size, size, 3], with matched colours; `mask` is the whole photo's. Any box will
    do: bands of a large photo bound the memory. A crop's share is 1 in `crop.box` and falls to 0 within 1/16 of its
    side. Shares of overlapping crops are scaled to a sum of 1, so that on the mask the weight is exactly 1.
    """
    height, width = mask.shape
    shape = box[3] - box[1], box[2] - box[0]
    colours = np.zeros((*shape, 3), np.float32)
    weights, shares = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for index, crop in enumerate(crops):
        part = intersection(crop.reach(width, height), box)
        if part is None:
            continue
        here = np.s_[part[1] - box[1] : part[3] - box[1], part[0] - box[0] : part[2] - box[0]]
        share = _share(crop, part)
        colours[here] += share[..., None] * enlarge(fills[index], crop, part)
        weights[here] += share * _feathered(mask, crop, part)
        shares[here] += share
    shares[shares == 0] = 1
    return colours / shares[..., None], weights / shares


def feather_width(crop: Crop) -> int:
    """Pixels of the photo over which a crop's fill fades into it."""
    return max(2, crop.side // FEATHER)


def _window_sum(values: NDArray[np.int32], radius: int, axis: int) -> NDArray[np.int32]:
    """Sums over 2 radius + 1 elements along an axis; the outermost values go on beyond the ends."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (radius + 1, radius)
    sums = np.moveaxis(np.cumsum(np.pad(values, pad, "edge"), axis=axis, dtype=np.int32), axis, 0)
    length = 2 * radius + 1
    return np.moveaxis(sums[length:] - sums[:-length], 0, axis)


def _cell_sum(values: Colours, cell: int) -> Colours:
    """Sums over cells of cell x cell elements."""
    rows = np.add.reduceat(values, np.arange(0, values.shape[0], cell), axis=0)
    sums: Colours = np.add.reduceat(rows, np.arange(0, values.shape[1], cell), axis=1)
    return sums


def _interpolate(known: Mask, counts: Colours, values: Colours) -> Colours:
    """Means of the known cells' values [n, C], weighted by counts / (distance^2 + 1)^2, to all cells: [h, w, C]."""
    rows, columns = np.nonzero(known)
    height, width = known.shape
    across = (np.arange(width)[:, None] - columns) ** 2 + 1
    result = np.empty((height, width, values.shape[1]), np.float32)
    for row in range(height):
        weights = (counts[known] / (across + (row - rows) ** 2) ** 2).astype(np.float32)
        result[row] = weights @ values / weights.sum(axis=1, keepdims=True)
    return result


def _share(crop: Crop, part: Box) -> NDArray[np.float32]:
    """A crop's share in a part of its reach, before shares are scaled to a sum of 1."""
    slope = 1 / (crop.side // REACH + 1)
    left, top, right, bottom = crop.box
    x, y = np.arange(part[0], part[2]), np.arange(part[1], part[3])
    across = 1 - slope * np.maximum(0, np.maximum(left - x, x - right + 1))
    down = 1 - slope * np.maximum(0, np.maximum(top - y, y - bottom + 1))
    return (down[:, None] * across).astype(np.float32)


def _feathered(mask: Mask, crop: Crop, part: Box) -> NDArray[np.float32]:
    """The feather in a part of the photo, as the mask around it makes it."""
    width = feather_width(crop)
    left, top = max(0, part[0] - width), max(0, part[1] - width)
    weight = feather(mask[top : part[3] + width, left : part[2] + width], width)
    return weight[part[1] - top : part[3] - top, part[0] - left : part[2] - left]
