"""Widening a photo's frame: how far on each side, and in how many passes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.crops import plan
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.photos.geometry import Box, Mask
from mlx_moebius.photos.limits import check_size
from mlx_moebius.photos.masks import dilate
from mlx_moebius.photos.photo import Photo
from mlx_moebius.photos.privacy import Region, map_regions

GRAVITIES = ("center", "left", "right", "top", "bottom")
MAX_PASSES = 8
COST = 2  # all passes together may take this many times the crops of a single pass
OVERLAP = 16  # a pass redraws a rim of known pixels, at least 1/16 of the network's side wide


class Extension(NamedTuple):
    """Pixels to add on the four sides."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


def parse_sides(text: str, photo: Photo) -> Extension:
    """Sides such as "left=256,top=10%", or "10%" for all; per cent are of the photo's width or height.

    Raises MoebiusError for anything else.
    """
    sides = {}
    if text.strip().removesuffix("%").isdecimal():
        text = ",".join(f"{side}={text.strip()}" for side in Extension._fields)
    for part in text.split(","):
        side, _, amount = part.strip().partition("=")
        length = photo.width if side in ("left", "right") else photo.height
        number = amount.removesuffix("%")
        if side not in Extension._fields or side in sides or not number.isdecimal():
            raise MoebiusError(
                f'the extension "{text}" is not like left=256,top=10% (sides: {", ".join(Extension._fields)})'
            )
        sides[side] = round(length * int(number) / 100) if amount.endswith("%") else int(number)
    return checked(Extension(**sides), photo)


def parse_aspect(text: str, gravity: str, photo: Photo) -> Extension:
    """What makes the frame "16:9" (width : height) without cutting; `gravity` is where the photo stays in it.

    Raises MoebiusError when the text is no aspect or the photo has it already.
    """
    width, _, height = text.partition(":")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise MoebiusError(f'the aspect "{text}" is not like 16:9')
    if gravity not in GRAVITIES:
        raise MoebiusError(f'the gravity "{gravity}" is not one of {", ".join(GRAVITIES)}')
    across = max(0, round(photo.height * int(width) / int(height)) - photo.width)
    down = max(0, round(photo.width * int(height) / int(width)) - photo.height)
    left = {"left": 0, "right": across}.get(gravity, across // 2)
    top = {"top": 0, "bottom": down}.get(gravity, down // 2)
    return checked(Extension(left, top, across - left, down - top), photo)


def checked(extension: Extension, photo: Photo) -> Extension:
    """Return the extension. Raises MoebiusError when it adds nothing, or more on a side than the photo's length."""
    width = photo.width + extension.left + extension.right
    height = photo.height + extension.top + extension.bottom
    if not any(extension):
        raise MoebiusError("the frame would stay as it is: nothing to extend")
    if max(extension.left, extension.right) > photo.width or max(extension.top, extension.bottom) > photo.height:
        raise MoebiusError(f"{width} x {height} is too far: a side can grow by the photo's own length at most")
    check_size(width, height)  # as for reading: what can be read can be written
    return extension


def passes(extension: Extension, photo: Photo, size: int, settings: Settings | None = None) -> list[Extension]:
    """Split an extension into steps, shallow enough for crops near native detail that see mostly known pixels.

    A step is half of the network's side, or a sixteenth of the photo's short side where that is more. There are at most
    `MAX_PASSES`, and together they take at most twice the crops of a single pass.
    """
    settings = settings or Settings()
    depth = max(size // 2, min(photo.width, photo.height) // 16)
    most = min(MAX_PASSES, -(-max(extension) // depth))
    best = [extension]
    if most > 1:
        allowed = COST * _crops(best, photo, size, settings)
        for count in range(2, most + 1):
            steps = _split(extension, count)
            if _crops(steps, photo, size, settings) > allowed:
                break
            best = steps
    return best


def _split(extension: Extension, count: int) -> list[Extension]:
    totals = [[round(side * step / count) for side in extension] for step in range(count + 1)]
    return [Extension(*(after - before for before, after in zip(*pair, strict=True))) for pair in pairwise(totals)]


def _crops(steps: list[Extension], photo: Photo, size: int, settings: Settings) -> int:
    """How many crops the network fills in all steps together."""
    width, height, count = photo.width, photo.height, 0
    for step in steps:
        mask = dilate(frame_mask(step, width, height), 2 * overlap(step, size) + 1)
        count += len(plan(mask, size, settings.context, settings.max_crop, settings.whole_image))
        height, width = mask.shape
    return count


def overlap(step: Extension, size: int) -> int:
    """Pixels of the known picture that a pass redraws, so that the new part joins it."""
    return max(size // OVERLAP, max(step) // 4)


def frame_mask(extension: Extension, width: int, height: int) -> Mask:
    """What an extension adds to a picture, bool [H, W] of the wider frame."""
    sides = ((extension.top, extension.bottom), (extension.left, extension.right))
    return np.pad(np.zeros((height, width), bool), sides, constant_values=True)


def inner_box(extension: Extension, photo: Photo) -> Box:
    """Where a photo lies in its wider frame."""
    left, top = extension.left, extension.top
    return left, top, left + photo.width, top + photo.height


def extended(photo: Photo, extension: Extension) -> tuple[Photo, Mask]:
    """The photo in its wider frame, edges continued outwards for the network to start from, and the new area's mask."""
    sides = ((extension.top, extension.bottom), (extension.left, extension.right))
    pixels = np.pad(photo.pixels, (*sides, *[(0, 0)] * (photo.pixels.ndim - 2)), "edge")
    mask = frame_mask(extension, photo.width, photo.height)

    def moved(region: Region) -> Region:
        x, y, across, down = region
        x, y = x * photo.width + extension.left, y * photo.height + extension.top
        width, height = mask.shape[1], mask.shape[0]
        return x / width, y / height, across * photo.width / width, down * photo.height / height

    carried = replace(photo.metadata, xmp=map_regions(photo.metadata.xmp, moved))
    gains = photo.gains
    if gains is not None:  # the gain map covers the frame, but in other pixels
        down, across = gains.pixels.shape[0] / photo.height, gains.pixels.shape[1] / photo.width
        added = [[round(side * scale) for side in pair] for pair, scale in zip(sides, (down, across), strict=True)]
        gains = replace(gains, pixels=np.pad(gains.pixels, (*added, *[(0, 0)] * (gains.pixels.ndim - 2)), "edge"))
    infrared = None if photo.infrared is None else np.pad(photo.infrared, sides, "edge")
    return replace(photo, pixels=pixels, metadata=carried, gains=gains, infrared=infrared), mask
