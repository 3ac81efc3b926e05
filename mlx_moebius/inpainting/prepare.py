"""Which way a photo takes to the network and back: ours, or the official pipeline's. Decided here alone."""

from __future__ import annotations

from mlx_moebius.inpainting.compose import PreparedCrops, prepare_crops
from mlx_moebius.inpainting.reference import prepare_reference
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.photo import Photo


def prepare(photo: Photo, mask: Mask, size: int, settings: Settings, overlap: int = 0) -> PreparedCrops:
    """What the network, which takes `size` pixels, fills of a photo; the steps behind it are methods of the result.

    `overlap` as in `compose.prepare_crops`. Raises MoebiusError for a mask or settings that cannot be.
    """
    if settings.reference:
        return prepare_reference(photo, mask, size, settings)
    return prepare_crops(photo, mask, size, settings, overlap)
