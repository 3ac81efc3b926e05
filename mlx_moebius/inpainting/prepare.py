"""How a photo is prepared for the network: our way, or the official pipeline's. Only this module decides."""

from __future__ import annotations

from collections.abc import Sequence

from mlx_moebius.alignment.shot import Shot
from mlx_moebius.errors import Change, MoebiusError
from mlx_moebius.inpainting.compose import PreparedCrops, prepare_crops
from mlx_moebius.inpainting.reference import prepare_reference
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.photo import Photo


def prepare(
    photo: Photo, mask: Mask, size: int, settings: Settings, overlap: int = 0, others: Sequence[Shot] = ()
) -> PreparedCrops:
    """Prepare a photo for a network with inputs of `size` pixels. Later steps are methods of the result.

    `overlap` and `others` as in `compose.prepare_crops`. Raises MoebiusError for a mask or settings that do not work.
    """
    if others and settings.reference:
        raise MoebiusError("the official pipeline takes nothing from other shots", Change("reference", False))
    if others and not settings.paste:
        raise MoebiusError("whole squares of the network would hide what other shots show", Change("paste", True))
    if settings.reference:
        return prepare_reference(photo, mask, size, settings)
    return prepare_crops(photo, mask, size, settings, overlap, others)
