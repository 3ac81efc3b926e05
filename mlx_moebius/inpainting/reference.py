"""The official pipeline's photo handling to the letter (hustvl/Moebius; `tests/data/imaging.npz`, `pipeline.npz`).

`Settings.reference` selects it. Everything is 8-bit RGB at the network's resolution, white (255) in a mask means
fill, and the arithmetic is the original's: float64 on 0..1, truncated to bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mlx_moebius.errors import Change, MoebiusError
from mlx_moebius.inpainting.compose import PreparedCrops, Result, filled_gains, filled_infrared
from mlx_moebius.inpainting.crops import Crop
from mlx_moebius.inpainting.detail import Detail
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.photos.geometry import Colours, Mask
from mlx_moebius.photos.infrared import in_depth
from mlx_moebius.photos.masks import dilate
from mlx_moebius.photos.photo import Photo, photo_from_image

GRID = 64  # sides of resized images are multiples of this
NEIGHBOURHOOD = 10  # pixels that the mask's bounding box grows by, both sides together
COMPENSATION = 1.1


def binarise(mask: Image.Image) -> Image.Image:
    """Mask of any mode to 0 (luma < 127.5) and 255; done before resizing."""
    return Image.fromarray(np.where(np.asarray(mask.convert("L")) < 127.5, 0, 255).astype(np.uint8))


def resize_to_multiple(image: Image.Image, size: int) -> Image.Image:
    """Image or mask resized (Lanczos) to `size` pixels on the short side, then both floored to multiples of 64."""
    width, height = (side * size // min(image.size) // GRID * GRID for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def network_mask(mask: Image.Image) -> NDArray[np.bool_]:
    """The network's mask, bool [H, W]: True where the resized mask, grey along edges, is at least half white."""
    return np.asarray(mask) / 255 >= 0.5


def to_uint8(decoded: NDArray[Any]) -> NDArray[np.uint8]:
    """Decoded image (y + 1) / 2, float, clamped to 0..1 and truncated to bytes."""
    return (decoded.clip(0, 1) * 255).astype(np.uint8)


def neighbourhood(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Unmasked pixels [H, W] of the mask's bounding box grown by 10 pixels in all; the mask must not be empty."""
    inside = np.zeros(mask.shape, bool)
    spans = []
    for axis in (1, 0):
        covered = np.flatnonzero(mask.any(axis=axis))
        centre = (covered[0] + covered[-1]) // 2
        half = (covered[-1] - covered[0] + 1 + NEIGHBOURHOOD) // 2
        spans.append(slice(max(0, centre - half), centre + half + 1))
    inside[spans[0], spans[1]] = True
    return inside & (mask == 0)


def paste(
    image: NDArray[np.uint8], result: NDArray[np.uint8], mask: Image.Image, compensate: bool = False
) -> NDArray[np.uint8]:
    """The result laid over the image through the blurred mask; all [H, W, 3] and the mask 0/255 of the same size.

    `compensate` first moves the result, per channel, by 1.1 times the difference of means (image - result) over the
    mask's neighbourhood; not at all where the mask leaves none.
    """
    below, above = image / 255, result / 255
    if compensate and (around := neighbourhood(np.asarray(mask))).any():
        above = above + COMPENSATION * (below[around].mean(axis=0) - above[around].mean(axis=0))
    alpha = np.asarray(mask.filter(ImageFilter.GaussianBlur(3)))[..., None] / 255
    blended = above * alpha + below * (1 - alpha)
    return (blended * 255).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class ReferenceCrops(PreparedCrops):
    """The whole image, resized as in the official pipeline. The fill is pasted as it does, and no detail is grown."""

    def match_colours(self, fills: Iterable[Colours], settings: Settings) -> Iterator[Colours]:
        """The fill as it is: `paste` moves its colours."""
        return iter(fills)

    def grow_details(self, levels: Sequence[Colours], settings: Settings) -> Iterator[Detail]:
        """Nothing."""
        return iter(())

    def finish(self, levels: list[Colours], details: list[Detail], settings: Settings) -> Result:
        """The official pipeline's last step; `levels` are fills in 0..1."""
        pixels = to_uint8(levels[0])
        if settings.paste:
            drawing = Image.fromarray(self.mask.astype(np.uint8) * 255)
            pixels = paste(self.images[0], pixels, drawing, settings.compensate)
        changed = self.mask if settings.paste else np.ones_like(self.mask)
        infrared = filled_infrared(self.photo, changed)
        photo = replace(self.photo, pixels=pixels, gains=filled_gains(self.photo, changed), infrared=infrared)
        return Result(photo, self.mask, self.crops, None, [])


def prepare_reference(photo: Photo, mask: Mask, size: int, settings: Settings) -> ReferenceCrops:
    """Resize the whole image as the official pipeline does; the result has the network's size.

    Raises MoebiusError for an extension, and for a photo that it does not resize to the network's size.
    """
    if settings.extend:
        raise MoebiusError(
            "the official pipeline does not widen photos", Change("reference", False), Change("extend", None)
        )
    drawing = binarise(Image.fromarray(mask.astype(np.uint8) * 255))
    image = resize_to_multiple(Image.fromarray(photo.rgb()), size)
    drawing = resize_to_multiple(drawing, size)
    if image.size != (size, size):
        raise MoebiusError(
            f"the official pipeline resizes this photo to {image.width} x {image.height}, but the network only takes "
            f"{size} x {size}",
            "crop it to a square",
            Change("reference", False),
        )
    hole = network_mask(drawing)
    if settings.dilate not in ("auto", 0):
        hole = dilate(hole, int(settings.dilate))
    crop = Crop(0, 0, size, size, (0, 0, size, size))
    reduced = replace(photo_from_image(image), format=photo.format, metadata=photo.metadata, gains=photo.gains)
    if photo.infrared is not None:
        infrared = Image.fromarray(in_depth(photo.infrared, np.dtype(np.uint8)))
        reduced = reduced.with_infrared(np.asarray(resize_to_multiple(infrared, size)))
    return ReferenceCrops(reduced, hole, [crop], [np.asarray(image)], [hole], [hole], hole)
