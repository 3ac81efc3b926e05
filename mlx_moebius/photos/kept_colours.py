"""Photos of few colours or of a single tone, and how a fill keeps to them.

A drawing has a handful of colours, a palette 256 at most, a scan black and white. A black-and-white photo has greys, a
sepia print one brown for each brightness. Everybody sees a pixel of another colour there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import isqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.photos.geometry import Mask, Pixels
from mlx_moebius.photos.photo import LUMA, Photo

Values: TypeAlias = NDArray[np.float32]
"""Pixels [n, C] in a photo's channels and depth; of CMYK, their sRGB."""
Keep: TypeAlias = Callable[[Values], Values]
"""Replaces pixels by colours that the photo keeps to. For a CMYK photo, it takes sRGB and gives CMYK."""

FEW = 256  # colours: as many as a palette has
PIXELS_A_COLOUR = 4  # at least: of a smaller photo one cannot tell
SAMPLE = 65536  # pixels looked at first: enough to find many colours in most photos
BAND = 512  # rows looked at at a time, which bounds the memory
AT_ONCE = 65536  # pixels whose nearest colours are looked up at a time
ALPHA_WEIGHT = 16  # of opacity when a palette's colours are compared; other channels have 1
BLOCK = 8  # pixels: means over blocks are free of a JPEG's noise
BLOCKS = 16  # at least so many
TONE_PIXELS = 1_000_000  # about as many are looked at
TYPICAL, MOST = 2.5, 8.5  # levels by which blocks of a photo of one tone may miss it: root mean square, 99.9 %
SMOOTH = 5  # levels over which a tone is averaged


def kept_colours(photo: Photo, known: Mask) -> Keep | None:
    """How a fill keeps to the few colours, or the single tone, of the `known` [H, W] pixels of a photo.

    Wholly transparent pixels do not count. None for an ordinary photo, whose pixels may have any colour.
    """
    alpha = photo.alpha()
    visible = known if alpha is None else known & (alpha > 0)
    values = photo.pixels.reshape(photo.height, photo.width, -1)
    if alpha is not None and photo.palette is None:
        values = values[..., :-1]
    if (few := _few_colours(values, visible, photo.palette is not None)) is not None:
        seen = few
        if photo.mode == "CMYK":
            seen = replace(photo, pixels=few[None]).rgb()[0]
        return partial(_nearest, few.astype(np.float32), seen.astype(np.float64))
    if photo.plain_mode in ("RGB", "RGBA") and (tone := _tone(values, visible)) is not None:
        return partial(_toned, tone)
    return None


def _nearest(colours: Values, seen: NDArray[np.float64], pixels: Values) -> Values:
    """The one of `colours` [N, C] nearest to each of the pixels [n, D]; `seen` [N, D] is how the colours look."""
    weights = np.ones(seen.shape[1])
    if seen.shape[1] in (2, 4):
        weights[-1] = ALPHA_WEIGHT
    known = seen * weights
    square = (known**2).sum(axis=1)
    result = np.empty((len(pixels), colours.shape[1]), np.float32)
    for start in range(0, len(pixels), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        result[rows] = colours[(square - 2 * (pixels[rows] * weights) @ known.T).argmin(axis=1)]
    return result


def _toned(tone: NDArray[np.float64], pixels: Values) -> Values:
    """Pixels [n, 3] in a tone [K, 4]: brightness, and each channel's offset from it. Brightness in its range stays."""
    light = (pixels @ LUMA).astype(np.float64).clip(tone[0, 0], tone[-1, 0])  # no darker than the darker ink
    return np.stack([light + np.interp(light, tone[:, 0], tone[:, i]) for i in (1, 2, 3)], axis=1).astype(np.float32)


def _few_colours(values: Pixels, visible: Mask, listed: bool) -> Pixels | None:
    """All colours [N, C] of the visible pixels of [H, W, C], or None if there are many; `listed`: from a palette."""
    step = max(1, isqrt(visible.size // SAMPLE))
    if len(_unique(values[::step, ::step][visible[::step, ::step]])) > FEW:
        return None
    found = values[:0, 0]
    for top in range(0, len(values), BAND):
        rows = slice(top, top + BAND)
        found = _unique(np.concatenate([found, _unique(values[rows][visible[rows]])]))
        if len(found) > FEW:
            return None
    enough = listed or len(found) * PIXELS_A_COLOUR <= visible.sum()
    return found if len(found) and enough else None


def _unique(colours: Pixels) -> Pixels:
    """The distinct ones of the colours [n, C]."""
    bits = 8 * colours.itemsize
    shifts = bits * np.arange(colours.shape[1], dtype=np.uint64)
    packed = np.bitwise_or.reduce(colours.astype(np.uint64) << shifts, axis=1)
    changes = np.flatnonzero(packed[1:] != packed[:-1]) + 1  # drawings have long runs of one colour
    once = np.unique(np.concatenate([packed[:1], packed[changes]]))
    return ((once[:, None] >> shifts) & np.uint64(2**bits - 1)).astype(colours.dtype)


def _tone(values: Pixels, visible: Mask) -> NDArray[np.float64] | None:
    """The tone [K, 4] (see `_toned`) that visible pixels of [H, W, 3] have in common: one colour a brightness."""
    depth = np.float32(257 if values.dtype == np.uint16 else 1)
    height, width = (side - side % BLOCK for side in visible.shape)
    strips = height // BLOCK
    rows = (np.arange(0, strips, -(-height * width // TONE_PIXELS))[:, None] * BLOCK + np.arange(BLOCK)).ravel()
    seen, colours = visible[rows, :width], values[rows, :width].astype(np.float32)
    if not len(rows) or not seen.any():
        return None
    light = colours @ LUMA
    level = np.rint(light / depth).astype(np.int64)
    levels = level[seen]
    counts = np.bincount(levels, minlength=256).astype(np.float64)
    sums = [np.bincount(levels, part[seen], 256) for part in (light, *(colours[..., i] - light for i in range(3)))]
    spread = np.ones(SMOOTH)
    near = np.convolve(counts, spread, "same")
    tone = np.stack(
        [sums[0] / counts.clip(1), *(np.convolve(total, spread, "same") / near.clip(1) for total in sums[1:])]
    )
    tone = tone[:, counts > 0].T
    tone[0, 0], tone[-1, 0] = light[seen].min(), light[seen].max()
    missed = colours - _toned(tone, colours.reshape(-1, 3)).reshape(colours.shape)
    blocks = missed.reshape(-1, BLOCK, width // BLOCK, BLOCK, 3).mean(axis=(1, 3)) / depth
    whole = seen.reshape(-1, BLOCK, width // BLOCK, BLOCK).all(axis=(1, 3))
    worst = np.abs(blocks).max(axis=-1)[whole]
    if len(worst) < BLOCKS or np.sqrt((worst**2).mean()) > TYPICAL or np.quantile(worst, 0.999) > MOST:
        return None
    return tone
