"""A photo's pixels in its own colours (grey, RGB or ink) and depth, read and written without a detour through RGB."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.photos.geometry import Box, Colours, Mask, slices
from mlx_moebius.photos.kept_colours import kept_colours
from mlx_moebius.photos.masks import Part
from mlx_moebius.photos.photo import Photo
from mlx_moebius.side_by_side import side_by_side


def levels(photo: Photo, box: Box, where: Mask | None = None) -> Colours:
    """The colours in a box, float32 [h, w, C without opacity], in 8-bit levels; [N, C] of those `where` is True."""
    pixels = photo.pixels[slices(box)]
    colours = pixels.reshape(*pixels.shape[:2], -1)[..., : _channels(photo)]
    colours = colours if where is None else colours[where]
    return colours.astype(np.float32) / np.float32(257 if pixels.dtype == np.uint16 else 1)


def fill_parts(
    photo: Photo,
    mask: Mask,
    parts: Sequence[Part],
    fill: Callable[[Mask, int], tuple[Mask, Colours] | None],
    opaque: bool,
    keep: bool = True,
) -> tuple[Photo, Mask]:
    """The photo with parts of a mask [H, W] filled, and the mask of what is left to fill.

    Args:
        parts: those that are tried, side by side.
        fill: gives for what is unknown, bool [H, W], and the number of a part: which pixels of the part's box can be
            filled, and their values [N, C], as from `levels`; None where none can.
        opaque: filled pixels become opaque; otherwise their opacity stays.
        keep: whether colours are moved to what the whole photo keeps (see `kept_colours`).
    """
    unknown = mask
    if parts and (hidden := photo.hidden()) is not None:
        unknown = mask | hidden
    answers = side_by_side(lambda number: fill(unknown, number), range(len(parts)))
    found = [(part, *answer) for part, answer in zip(parts, answers, strict=True) if answer is not None]
    if not found:
        return photo, mask
    filled, colours = _joined(found, mask.shape)
    return _with_levels(photo, colours, filled, opaque, kept_colours(photo, ~mask) if keep else None), mask & ~filled


def _joined(found: Sequence[tuple[Part, Mask, Colours]], shape: tuple[int, int]) -> tuple[Mask, Colours]:
    """What was found for one part or more: the pixels, bool [H, W], and their colours in reading order."""
    where = np.zeros(shape, bool)
    places = []
    for part, pixels, _ in found:
        where[slices(part.box)] |= pixels
        rows, columns = np.nonzero(pixels)
        places.append((rows + part.box[1]) * shape[1] + columns + part.box[0])
    order = np.argsort(np.concatenate(places))
    return where, np.concatenate([colours for *_, colours in found])[order]


def _with_levels(
    photo: Photo,
    colours: NDArray[np.float32],
    where: Mask,
    opaque: bool,
    keep: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None,
) -> Photo:
    """The photo with other colours, [N, C] as from `levels`, at the N pixels of `where` [H, W], in reading order.

    `opaque` and `keep` as in `Photo.composite`; of ink nothing but its colours is kept.
    """
    pixels = photo.pixels.copy()
    whole = pixels.reshape(photo.height, photo.width, -1)
    most = np.iinfo(pixels.dtype).max
    values = whole[where].astype(np.float32)
    values[:, : _channels(photo)] = colours * np.float32(most / 255)
    if opaque:
        values[:, _channels(photo) :] = most
    if keep is not None and photo.mode != "CMYK":
        channels = photo.palette.shape[1] if photo.palette is not None else _channels(photo)
        values[:, :channels] = keep(values[:, :channels])
    whole[where] = np.rint(values).clip(0, most)
    return replace(photo, pixels=pixels, metadata=photo.without_regions(where.astype(np.float32), photo.box))


def _channels(photo: Photo) -> int:
    return {"L": 1, "LA": 1, "CMYK": 4}.get(photo.plain_mode, 3)
