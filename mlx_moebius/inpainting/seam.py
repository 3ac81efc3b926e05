"""How visible the border of a fill is, and how sharp the fill is beside what is round it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.inpainting.bands import Ratios, mean_of_three, measure_bands, tiles
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.masks import dilate
from mlx_moebius.side_by_side import side_by_side

SURROUNDINGS = 32  # pixels round a fill whose sharpness it is compared with
BLOCK = 8  # pixels: the calm of what is round a fill is that of the calmest quarter of its blocks
CALM = 25  # per cent
VISIBLE_STEP, VISIBLE_RATIO = 8.0, 4.0  # a colour step shows from so many levels and so many times the photo's steps on
SOFT = 0.4  # as sharp as even the calm of what is round it: from here down a fill is seen to be soft


@dataclass(frozen=True, slots=True)
class Seam:
    """Steps across the mask's border in 8-bit levels, and their ratio to steps in the photo beside it (1: invisible).

    `sharpness` is how many times as strong the gradients in the whole of the fill are as those round it,
    `calm_sharpness` as those in the calmest quarter round it: a fill may be as calm as that. `luma` and `chroma` are
    the same for single bands of detail (see `bands`).
    """

    colour_step: float
    colour_ratio: float
    gradient_step: float
    gradient_ratio: float
    sharpness: float
    calm_sharpness: float
    luma: Ratios = ()
    chroma: Ratios = ()

    def warnings(self) -> list[str]:
        """Warnings for the user, one per line; none for a fill that passes unnoticed."""
        lines = []
        if self.colour_step >= VISIBLE_STEP and self.colour_ratio >= VISIBLE_RATIO:
            lines.append(
                f"the edge of the fill shows: a step of {self.colour_step:.0f} levels, "
                f"{self.colour_ratio:.0f} times the photo's own; look at it, and try another seed or a larger mask"
            )
        if self.calm_sharpness <= SOFT:
            lines.append(
                f"the fill is soft, {self.sharpness:.2f} times as sharp as what is round it; look at it, and try "
                "another seed or smaller parts"
            )
        return lines


def measure_seam(
    result: NDArray[Any], mask: Mask, gap: int = 0, depth: int = 8, hidden: Mask | None = None
) -> Seam | None:
    """How visible the border of a fill is; None where nothing unmasked borders on the mask.

    What is `hidden` [H, W], wholly transparent pixels, is part of neither.

    Across the border run profiles along the rows and columns of `result` [H, W, C]: `depth` masked pixels, then,
    `gap` pixels (the feather) apart, `depth` untouched ones, and as far again `depth` more. The colour step is the
    difference of the means just inside and just outside, the gradient step that of the mean differences between
    neighbours (sharpness); averaged over profiles and channels. The ratios set them against the same steps between
    the untouched pixels, taken as one level at least.
    """
    touched = dilate(mask, 2 * gap + 1)
    if hidden is not None:
        mask, touched = mask & ~hidden, touched | hidden
    across = result.swapaxes(0, 1)
    ways = [
        (result, mask, touched),
        (result[:, ::-1], mask[:, ::-1], touched[:, ::-1]),
        (across, mask.T, touched.T),
        (across[:, ::-1], mask.T[:, ::-1], touched.T[:, ::-1]),
    ]
    parts = side_by_side(lambda way: _profiles(*way, gap, depth), ways)
    values, valid = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    steps = [*_steps(values, valid), *_steps(np.abs(np.diff(values, axis=2)), valid[:, :, 1:] & valid[:, :, :-1])]
    if None in steps:
        return None
    colour, colour_own, gradient, gradient_own = steps
    here, around = _surroundings(mask, touched)
    sharpness = _sharpness(result[here], mask[here], around)
    bands = measure_bands(result[here], mask[here], around)
    return Seam(colour, colour / max(colour_own, 1), gradient, gradient / max(gradient_own, 1), *sharpness, *bands)


def _surroundings(mask: Mask, touched: Mask) -> tuple[tuple[slice, slice], Mask]:
    """Where a mask and its surroundings lie, and the untouched ones among these within `SURROUNDINGS` pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = max(0, rows[0] - SURROUNDINGS), max(0, columns[0] - SURROUNDINGS)
    here = np.s_[top : rows[-1] + SURROUNDINGS + 1, left : columns[-1] + SURROUNDINGS + 1]
    return here, dilate(mask[here], 2 * SURROUNDINGS + 1) & ~touched[here]


def _sharpness(result: NDArray[Any], inside: Mask, around: Mask) -> tuple[float, float]:
    """The mean gradient in a mask divided by that around it, and divided by that of the calmest blocks around it.

    One level is added to numerator and denominator. "Calmest" is the lower quartile of the blocks' mean gradients.
    """

    def look(tile: tuple[slice, slice]) -> tuple[list[float], list[int], NDArray[np.float32]]:
        """Sums and numbers of the gradients inside and around, and the means of the blocks around."""
        rows, columns = tile
        more = rows, slice(columns.start, columns.stop + 1)  # for the differences of the last column
        grey = mean_of_three(result[more])
        steps = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
        parts = [steps[part[more][:-1, :-1]] for part in (inside, around)]
        height, width = (side - side % BLOCK for side in steps.shape)
        shape = height // BLOCK, BLOCK, width // BLOCK, BLOCK
        whole = around[more][:height, :width].reshape(shape).all(axis=(1, 3))
        blocks: NDArray[np.float32] = steps[:height, :width].reshape(shape).mean(axis=(1, 3))[whole]
        return [float(part.sum()) for part in parts], [part.size for part in parts], blocks

    sums, counts, blocks = zip(*side_by_side(look, tiles(inside | around)), strict=True)
    within, without = np.sum(sums, axis=0) / np.sum(counts, axis=0).clip(1)
    means = np.concatenate(blocks)
    calm = np.percentile(means, CALM) if len(means) else without
    return float((within + 1) / (without + 1)), float((within + 1) / (calm + 1))


def _profiles(
    pixels: NDArray[Any], mask: Mask, touched: Mask, gap: int, depth: int
) -> tuple[NDArray[np.float32], Mask]:
    """Profiles where a row leaves the mask, left to right: pixels [n, 3, depth, C], and which of them count.

    The three are masked pixels, untouched ones next to the feather, and those beyond.
    """
    width = mask.shape[1]
    rows, columns = np.nonzero(mask[:, :-1] & ~mask[:, 1:])
    steps = np.stack([first + np.arange(depth) for first in (1 - depth, 1 + gap, 1 + gap + depth + gap)])
    where = columns[:, None, None] + steps
    inside = (where >= 0) & (where < width)
    at = rows[:, None, None], where.clip(0, width - 1)
    valid = inside & np.stack([mask[at][:, 0], *(~touched[at][:, part] for part in (1, 2))], axis=1)
    return pixels[at].astype(np.float32), valid


def _steps(samples: NDArray[np.float32], valid: Mask) -> tuple[float, float] | tuple[None, None]:
    """Mean difference of the means of a profile's first two thirds, and of its last two; samples [n, 3, depth, C]."""
    counts = valid.sum(axis=2)
    whole = counts.all(axis=1)
    if not whole.any():
        return None, None
    sums = (samples[whole] * valid[whole][..., None]).sum(axis=2)
    means = sums / counts[whole][..., None]
    across, along = np.abs(np.diff(means, axis=1)).mean(axis=(0, 2)).tolist()
    return across, along
