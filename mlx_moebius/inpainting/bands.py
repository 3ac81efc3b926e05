"""Whether a fill has as much grain and detail as what is round it, band by band, in brightness and in colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.photos.geometry import Mask
from mlx_moebius.side_by_side import side_by_side

BANDS = (1, 2, 4, 8)  # pixels: what two by two cells of this size have that their mean has not
WHOLE = 2 * BANDS[-1]
FLOOR = 0.5  # 8-bit levels added to both amplitudes: rounding alone leaves about as much
TILE = 512  # pixels along a tile that is looked at at a time, which bounds the memory; a multiple of `WHOLE`
FEW = 12  # places inside and round the fill without which a band is not judged
LEAST, MOST = 0.8, 1.25  # beyond these a band is flagged

Ratios: TypeAlias = tuple[float | None, ...]
"""For every band of `BANDS`: how many times as strong it is in the fill as round it; None where a fill is too thin."""


def measure_bands(result: NDArray[Any], inside: Mask, around: Mask) -> tuple[Ratios, Ratios]:
    """Ratios of luma and of chroma of a photo [H, W, 3] between two masks [H, W].

    A band's amplitude is the root of the median of its energies (mean squares), so that single things do not count.
    """

    def look(tile: tuple[slice, slice]) -> list[list[NDArray[np.float32]]]:
        return [[energy[mask] for mask in masks] for energy, masks in _bands(result[tile], inside[tile], around[tile])]

    found = zip(*side_by_side(look, tiles(inside | around)), strict=True)
    ratios = [_ratio(*(np.concatenate(energies) for energies in zip(*of_band, strict=True))) for of_band in found]
    return tuple(ratios[::2]), tuple(ratios[1::2])


def tiles(where: Mask) -> list[tuple[slice, slice]]:
    """The tiles of an array [H, W] in which anything is True."""
    height, width = where.shape
    return [
        (slice(top, top + TILE), slice(left, left + TILE))
        for top in range(0, height, TILE)
        for left in range(0, width, TILE)
        if where[top : top + TILE, left : left + TILE].any()
    ]


def mean_of_three(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Means of the channels, [H, W, 3] -> float32 [H, W]; NumPy's own is slow along a short axis."""
    red, green, blue = np.moveaxis(pixels.astype(np.float32), -1, 0)
    return (red + green + blue) / np.float32(3)


def flagged(luma: Sequence[float | None], chroma: Sequence[float | None]) -> list[str]:
    """The bands that are too weak or too strong, in words."""
    return [
        f"{name} of {band} pixel{'s' if band > 1 else ''} {ratio:.2f} times as strong"
        for name, ratios in (("luma", luma), ("chroma", chroma))
        for band, ratio in zip(BANDS, ratios, strict=False)
        if ratio is not None and not LEAST <= ratio <= MOST
    ]


def _bands(pixels: NDArray[Any], inside: Mask, around: Mask) -> Iterator[tuple[NDArray[np.float32], tuple[Mask, Mask]]]:
    """Yield, for luma and chroma of each band in turn, energies by place and which places lie inside and around."""
    height, width = (length - length % WHOLE for length in inside.shape)
    colours = pixels[:height, :width].astype(np.float32)
    luma = mean_of_three(colours)
    planes = np.stack([luma, colours[..., 0] - luma, colours[..., 2] - luma])
    masks = inside[:height, :width], around[:height, :width]
    for _ in BANDS:
        quarters = [planes[:, down::2, across::2] for down in (0, 1) for across in (0, 1)]
        planes = (quarters[0] + quarters[1] + quarters[2] + quarters[3]) / 4
        energy = sum(((quarter - planes) ** 2 for quarter in quarters), np.zeros_like(planes)) / 4
        first, second = (
            np.logical_and.reduce([mask[down::2, across::2] for down in (0, 1) for across in (0, 1)]) for mask in masks
        )
        masks = first, second
        yield energy[0], masks
        yield energy[1] + energy[2], masks


def _ratio(inside: NDArray[np.float32], around: NDArray[np.float32]) -> float | None:
    if min(len(inside), len(around)) < FEW:
        return None
    within, without = (float(np.sqrt(np.median(energy))) for energy in (inside, around))
    return (within + FLOOR) / (without + FLOOR)
