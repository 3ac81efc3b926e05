"""Which pixels of an opaque mask mean fill: those of one of its two tones, or those painted over on a photo's copy.

Tones are found in a histogram of the colours. So soft brushes, smooth edges and lossy formats make no difference, and
the tones need not be black and white: 0 and 1, grey and black, or red and black will do.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.masks import dilate
from mlx_moebius.photos.photo import BAND, Photo

NEAR = 32  # levels round a tone that count as it
OFF = 48  # levels off the line between the two tones, on which soft edges lie
COLOURED = 64  # levels between a colour's strongest and weakest channel
STRAY, BETWEEN = 0.1, 0.25  # largest shares: off the line (of all but the main tone), between the tones (of all)
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, as Pillow's L
LEVELS = np.arange(32, dtype=np.float32) * 8 + 3.5
COLOURS = np.stack(np.meshgrid(LEVELS, LEVELS, LEVELS, indexing="ij"), axis=-1).reshape(-1, 3)
"""Middle of each of the histogram's 32768 cells, RGB."""


def marked(drawing: Photo) -> Mask | None:
    """Pixels [H, W] of the tone that means fill, whatever their opacity; None if there are more than two tones.

    Of two tones the coloured one is filled; of two greys or two colours, the lighter one. A picture of one tone is
    filled as a whole if the tone is light, and otherwise not at all.
    """
    if (exact := _of_two_values(drawing)) is not None:
        return exact
    counts = _histogram(drawing)
    main = COLOURS[counts.argmax()]
    apart = np.where(np.abs(COLOURS - main).max(axis=1) > NEAR, counts, 0)
    if not apart.any():
        return np.full((drawing.height, drawing.width), _luma(main) >= 128)
    other = _farthest(main, apart)
    apart_by = float(np.abs(other - main).max())
    near, here = min(NEAR, apart_by / 4), np.abs(COLOURS - main).max(axis=1)
    between = (here > near) & (np.abs(COLOURS - other).max(axis=1) > near)
    along = (COLOURS - main) @ (other - main) / ((other - main) ** 2).sum()
    off = between & (np.linalg.norm(COLOURS - main - along[:, None] * (other - main), axis=1) > OFF)
    if counts[off].sum() > STRAY * counts[here > near].sum() or counts[between].sum() > BETWEEN * counts.sum():
        return None
    if {_luma(main) > 208, _luma(other) > 208} == {True, False} and min(_luma(main), _luma(other)) < 48:
        light = COLOURS @ LUMA >= 128  # black and white: soft edges end at half
        fills = light if _means_fill(main, other) == (_luma(main) > 208) else ~light
    else:
        fills = along < 0.5 if _means_fill(main, other) else along >= 0.5
    return np.concatenate([fills[_cells(band)] for band in _bands(drawing)])


def tones(drawing: Photo) -> int:
    """About how many tones a picture has: cells of the histogram with a thousandth of the pixels or more."""
    counts = _histogram(drawing)
    return int((counts >= counts.sum() / 1000).sum())


def painted_over(drawing: Photo, photo: Photo) -> Mask | None:
    """Where a copy of the photo, of the same size, was painted over; None if it is no copy, or nothing was painted.

    At least half of the pixels must be as in the photo: exactly, or but for what a lossy format changes.
    """
    exact, close = np.zeros((2, photo.height, photo.width), bool)
    for top, band in zip(range(0, photo.height, BAND), _bands(drawing), strict=True):
        original = photo.rgb((0, top, photo.width, min(top + BAND, photo.height)))
        difference = np.abs(band.astype(np.int16) - original).max(axis=-1)
        exact[top : top + BAND] = difference > 0
        close[top : top + BAND] = difference > NEAR
    if exact.mean() <= 0.5:
        return exact if exact.any() else None
    specks = 3  # pixels: what remains of lossy edges
    painted = dilate(~dilate(~close, specks), specks)
    return painted if painted.any() and close.mean() <= 0.5 else None


def _of_two_values(drawing: Photo) -> Mask | None:
    """The mask of a drawing with exactly two values."""
    if drawing.mode in ("L", "I;16"):
        low, high = drawing.pixels.min(), drawing.pixels.max()
        two = low < high and all(
            ((rows == low) | (rows == high)).all() for rows in np.array_split(drawing.pixels, 64) if len(rows)
        )
        return np.asarray(drawing.pixels == high) if two else None
    first = next(_bands(drawing))[0, 0]
    second: NDArray[np.uint8] | None = None
    rows = []
    for band in _bands(drawing):
        differs = (band != first).any(axis=-1)
        if differs.any():
            second = band[differs][0] if second is None else second
            if (band[differs] != second).any():
                return None
        rows.append(differs)
    if second is None:
        return None
    mask = np.concatenate(rows)
    return ~mask if _means_fill(first.astype(np.float32), second.astype(np.float32)) else mask


def _means_fill(tone: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether the first of two tones is the one to fill."""
    coloured = [float(np.ptp(rgb)) > COLOURED for rgb in (tone, other)]
    return coloured[0] if coloured[0] != coloured[1] else _luma(tone) > _luma(other)


def _luma(tone: NDArray[np.float32]) -> float:
    return float(tone @ LUMA)


def _farthest(main: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Mean of the tenth of the pixels that is farthest from the main tone: of a soft brush, few have its full tone."""
    distance = np.linalg.norm(COLOURS - main, axis=1)
    order = np.argsort(-distance, kind="stable")
    ahead = np.cumsum(counts[order]) - counts[order]
    weights = counts[order] * (ahead <= counts.sum() / 10)
    return np.asarray(weights @ COLOURS[order] / weights.sum(), np.float32)


def _bands(drawing: Photo) -> Iterator[NDArray[np.uint8]]:
    """RGB of some rows at a time, which bounds the memory."""
    for top in range(0, drawing.height, BAND):
        yield drawing.rgb((0, top, drawing.width, min(top + BAND, drawing.height)))


def _cells(rgb: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The number of each pixel's cell in the histogram, [h, w]."""
    red, green, blue = ((rgb[..., channel] >> 3).astype(np.uint16) for channel in range(3))
    return np.asarray(red << 10 | green << 5 | blue, np.uint16)


def _histogram(drawing: Photo) -> NDArray[np.int64]:
    counts = np.zeros(len(COLOURS), np.int64)
    for band in _bands(drawing):
        counts += np.bincount(_cells(band).ravel(), minlength=len(COLOURS))
    return counts
