"""Reads what a user gives as a mask (files, the photo's transparency, boxes), and checks it before any work is done.

How the pixels of a mask file are read:

1. Opacity is the same everywhere, or missing: of two tones, the coloured or lighter one is filled (`tones.py`); in a
   copy of the photo with a part painted over, that part; anything else is refused.
2. Opacity varies, and what is visible has one colour (a painted layer): what is painted, opacity >= 128, is filled.
3. Opacity varies over black and white: white and opaque is filled.
4. Opacity varies over other colours (a picture with holes cut into it): the holes, opacity < 128, are filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.errors import Change, MoebiusError, Note
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.growth import check_growth, large_share
from mlx_moebius.photos.photo import Photo, oriented, read_photo
from mlx_moebius.photos.tones import marked, painted_over, tones

ALPHA = "alpha"
"""The source that stands for the photo's transparency."""


def load_mask(
    photo: Photo,
    sources: Sequence[str | Path | Photo] = (),
    boxes: Sequence[str] = (),
    invert: bool = False,
    selected: Mask | None = None,
) -> tuple[Mask, list[str]]:
    """The union of all that is to be filled, bool [H, W] of the photo's size, and warnings of one line.

    `sources` are mask files (or masks already read), or "alpha" for what is transparent in the photo; `boxes` are
    "x,y,w,h" in pixels of the upright photo; `selected` is what was selected already, [H, W]. `invert` inverts the
    union. Raises MoebiusError for what cannot be meant: nothing to fill, nothing to keep, another aspect, a box
    outside.
    """
    if not sources and not boxes and selected is None:
        raise MoebiusError("no mask: give a mask file, alpha, or a box")
    mask = np.zeros((photo.height, photo.width), bool)
    if selected is not None:
        mask |= selected
    warnings: list[str] = []
    for source in sources:
        if source == ALPHA:
            mask |= transparent(photo)
            continue
        name = "the mask" if isinstance(source, Photo) else str(source)
        drawing = source if isinstance(source, Photo) else read_photo(source)
        mask |= fit(drawing, photo, name, warnings)
    for box in boxes:
        mask |= box_mask(box, photo)
    if invert:
        mask = ~mask
    check(mask, invert, warnings)
    return mask, warnings


def transparent(photo: Photo) -> Mask:
    """Pixels [H, W] of the photo with opacity below 128. Raises MoebiusError if there are none."""
    alpha = photo.alpha()
    if alpha is None:
        raise MoebiusError("mask alpha: the photo has no transparency; give a mask file")
    if not (mask := np.asarray(alpha < 128)).any():
        raise MoebiusError("mask alpha: nothing in the photo is transparent; give a mask file")
    return mask


def white(drawing: Photo) -> Mask | None:
    """Pixels [H, W] that a mask file means to be filled, by the rules at the top of this module.

    None for an opaque picture of many tones, which is no mask.
    """
    alpha = drawing.alpha()
    if alpha is None or alpha.min() == alpha.max():
        return marked(drawing)
    rgb = drawing.rgb()
    luma = np.asarray(Image.fromarray(rgb).convert("L"))
    painted = np.asarray(alpha >= 128)
    visible = rgb[painted]
    if not len(visible) or (np.ptp(visible, axis=0) <= 16).all():  # lossy formats do not keep a colour exactly
        return painted
    if _is_two_tone(luma[painted]):
        return painted & (luma >= 128)
    return ~painted


def fit(drawing: Photo, photo: Photo, name: str, warnings: list[str]) -> Mask:
    """The mask at the photo's size: as it is, resized from the same aspect, or turned as EXIF turned the photo.

    Where EXIF turns the photo by a quarter, a mask may have the size from before the turn: a program that ignores EXIF
    made it. It is turned like the photo, and a warning says so. Any other aspect raises MoebiusError.
    """
    mask = white(drawing)
    if mask is None:
        return _painted_over(drawing, photo, name, warnings)
    if not mask.any():
        lightest = int(drawing.rgb().max())
        raise MoebiusError(
            f"{name} is empty, nothing in it is white (at most {lightest} of 255): paint what to fill white"
        )
    size, wanted = (drawing.width, drawing.height), (photo.width, photo.height)
    if size == wanted:
        return mask
    if _same_aspect(size, wanted):
        return resized(mask, wanted)
    shown = f"{name} is {size[0]} x {size[1]}, the photo {wanted[0]} x {wanted[1]}"
    if photo.orientation < 5 or not _same_aspect(size, wanted[::-1]):
        raise MoebiusError(f"{shown}: another aspect; a mask is never stretched, make it on the photo itself")
    if size != wanted[::-1]:
        raise MoebiusError(
            f"{shown}, which EXIF turns by a quarter: the mask seems made before that; turn the mask like the photo"
        )
    warnings.append(f"{shown}: it was made before EXIF turned the photo, and has been turned the same way")
    return oriented(mask, photo.orientation)


def _painted_over(drawing: Photo, photo: Photo, name: str, warnings: list[str]) -> Mask:
    """What is painted over in a copy of the photo. Raises MoebiusError for any other picture of many tones."""
    if drawing.pixels.shape[:2] == photo.pixels.shape[:2] and (mask := painted_over(drawing, photo)) is not None:
        warnings.append(f"{name} is the photo with {mask.mean():.0%} of it painted over: that part is filled")
        return mask
    likely = marked(photo)
    swapped = "; are photo and mask swapped?" if likely is not None and likely.any() and not likely.all() else ""
    raise MoebiusError(
        f"{name} is no mask, it has {tones(drawing)} tones, like a photo: a mask has two, white where to fill and "
        f"black elsewhere, or is the photo itself with that part painted over{swapped}"
    )


def resized(mask: Mask, size: tuple[int, int]) -> Mask:
    """The mask at (width, height): smooth when enlarged; when reduced, a pixel is filled if any part of it is."""
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    if size[0] >= mask.shape[1]:
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR)) >= 128
    return np.asarray(image.resize(size, Image.Resampling.BOX)) > 0


def box_mask(text: str, photo: Photo) -> Mask:
    """The box "x,y,w,h" in pixels, clipped to the photo."""
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise MoebiusError(f'box "{text}" is not x,y,w,h in whole pixels, such as 100,50,200,300') from None
    left, top, right, bottom = max(0, x), max(0, y), min(photo.width, x + width), min(photo.height, y + height)
    if width < 1 or height < 1 or left >= right or top >= bottom:
        raise MoebiusError(f'box "{text}" is empty or outside the photo ({photo.width} x {photo.height} pixels)')
    mask = np.zeros((photo.height, photo.width), bool)
    mask[top:bottom, left:right] = True
    return mask


def check(mask: Mask, inverted: bool, warnings: list[str]) -> None:
    """Refuse a mask with nothing to fill or nothing to keep; warn when it looks inverted.

    It looks inverted when more than 60 % is white and so is more than 75 % of the frame's edge: what people remove
    lies inside the photo, what they keep reaches its edges.
    """
    if not mask.any():  # after inversion; `fit` refuses an empty file, with its name
        raise MoebiusError("the mask is empty, nothing would be filled", "paint white what to fill")
    if mask.all():
        raise MoebiusError("the mask is all white, nothing would be kept", "paint black what to keep")
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if (share := mask.mean()) > 0.6 and edge.mean() > 0.75:
        warnings.append(
            Note(
                f"the mask looks inverted, {share:.0%} of the photo would be filled",
                Change("invert", not inverted, "if that is not meant"),
            )
        )


def check_share(grown: Mask, mask: Mask, meant: bool, inverted: bool = False) -> None:
    """Refuse to fill all of the photo, or more than half of it unless that is `meant`. Raises MoebiusError.

    `grown` is what `mask` grows to.
    """
    check_growth(grown, mask)
    if not meant and (share := large_share(grown, mask)):
        raise MoebiusError(
            share,
            Change("large", True, "if that is meant"),
            Change("invert", not inverted, "if the rest is meant"),
        )


def _is_two_tone(luma: NDArray[np.uint8]) -> bool:
    """Whether nearly all pixels are black or white (a quarter may be the grey of soft edges)."""
    return bool(((luma > 32) & (luma < 224)).mean() <= 0.25)


def _same_aspect(size: tuple[int, int], wanted: tuple[int, int]) -> bool:
    """Whether one size is the other scaled, to within a pixel's rounding and 2 %."""
    (w, h), (width, height) = sorted((size, wanted))
    return abs(width * h - w * height) <= min(max(width, height), 0.02 * w * height)
