"""How a photo is prepared for the network: our way, or the official pipeline's. Only this module decides."""

from __future__ import annotations

from mlx_moebius.inpainting.compose import PreparedCrops, prepare_crops
from mlx_moebius.inpainting.reference import prepare_reference
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.photo import Photo


def prepare(photo: Photo, mask: Mask, size: int, settings: Settings, overlap: int = 0) -> PreparedCrops:
    """Prepare a photo for a network with inputs of `size` pixels. Later steps are methods of the result.

    `overlap` as in `compose.prepare_crops`. Raises MoebiusError for a mask or settings that do not work.
    """
    if settings.reference:
        return prepare_reference(photo, mask, size, settings)
    return prepare_crops(photo, mask, size, settings, overlap)
