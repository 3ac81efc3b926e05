"""What was changed, as a layer: laid over the photo it gives the filled one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.formats import MODES
from mlx_moebius.photos.photo import Photo

TIFF = (".tif", ".tiff")
WITH_OPACITY = {"L": "LA", "I;16": "LA;16", "RGB": "RGBA", "RGB;16": "RGBA;16"}
BAND = 512  # rows at a time, which bounds the memory


def patch_mode(photo: Photo) -> str:
    """The mode of a photo's patches. Raises MoebiusError for one without room for opacity, or with its own."""
    if photo.mode not in WITH_OPACITY:
        kind = "with transparency" if photo.alpha() is not None else f"in {photo.mode}"
        raise MoebiusError(f"a photo {kind} has no patch: write the filled photo, or convert it to RGB first")
    return WITH_OPACITY[photo.mode]


def patch(photo: Photo, filled: Photo, weights: NDArray[np.uint16]) -> Photo:
    """The changed pixels of a `filled` photo, transparent elsewhere, with the feather as opacity.

    Composited over `photo` (alpha "over") it gives `filled` within one level. Size, depth and what the file carries
    are the photo's.

    Args:
        photo: as it was.
        filled: the same, filled.
        weights: how much of the fill each pixel holds, uint16 [H, W], 65535 for all of it.

    Raises MoebiusError as `patch_mode`, and for another size.
    """
    mode = patch_mode(photo)
    if photo.pixels.shape != filled.pixels.shape:
        raise MoebiusError("a patch needs the photo's own size: fill without widening the frame")
    most = np.iinfo(photo.pixels.dtype).max
    channels = photo.pixels.reshape(photo.height, photo.width, -1).shape[-1]
    pixels = np.zeros((photo.height, photo.width, channels + 1), photo.pixels.dtype)
    for top in range(0, photo.height, BAND):
        rows = slice(top, top + BAND)
        before, after = (p.pixels[rows].reshape(-1, photo.width, channels).astype(np.float64) for p in (photo, filled))
        step = after - before
        # The least opacity at which a colour within bounds can make the step.
        room = np.where(step > 0, most - before, before)
        least = (np.abs(step) / np.maximum(room, 1)).max(axis=-1)
        share = np.maximum(weights[rows] / 65535, least).clip(0, 1)
        opacity = np.where(step.any(axis=-1), np.ceil(share * most), 0)
        colours = before + step * (most / np.maximum(opacity, 1))[..., None]
        changed = opacity > 0
        pixels[rows][changed] = np.concatenate([np.rint(colours).clip(0, most), opacity[..., None]], axis=-1).astype(
            pixels.dtype
        )[changed]
    return replace(filled, pixels=pixels, mode=mode, encoding={}, gains=None, infrared=None)


def patch_file(layer: Photo, source: Path) -> Path:
    """The usual file of a patch, beside its photo: TIFF for a TIFF that can hold it, else PNG."""
    suffix = source.suffix.lower() if source.suffix.lower() in TIFF and layer.mode in MODES["TIFF"] else ".png"
    return source.with_name(f"{source.stem}_patch{suffix}")
