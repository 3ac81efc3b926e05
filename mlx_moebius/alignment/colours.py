"""Another shot's colours in the space of the photo that they go into, at full depth."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Box, Colours, slices
from mlx_moebius.photos.photo import LUMA, Photo

GRID = 33  # colours along an axis of a table between two profiles

Convert = Callable[[Colours], Colours]


def rgb_levels(photo: Photo, box: Box | None = None, scale: float = 1.0) -> Colours:
    """What `Photo.rgb` gives, float32 [h, w, 3], with all bits that 16-bit photos have; reduced where `scale` < 1."""
    deep = photo.pixels.dtype == np.uint16
    pixels = photo.pixels[slices(box or photo.box)] if deep else photo.rgb(box)
    if scale < 1:
        height, width = pixels.shape[:2]
        size = max(8, round(width * scale)), max(8, round(height * scale))
        pixels = opencv().resize(pixels, size, interpolation=opencv().INTER_AREA)
    if not deep:
        return pixels.astype(np.float32)
    levels = pixels.astype(np.float32) / np.float32(257)
    if photo.plain_mode in ("RGB", "RGBA"):
        return np.ascontiguousarray(levels[..., :3])
    grey = levels[..., 0] if levels.ndim == 3 else levels
    return np.repeat(grey[..., None], 3, axis=-1)


def is_grey(photo: Photo) -> bool:
    """Whether a photo has no colours: by its mode, or in all of a sample of its pixels."""
    if photo.plain_mode in ("L", "LA"):
        return True
    step = max(1, max(photo.width, photo.height) // 200)
    sample = photo.pixels[::step, ::step]
    some = Photo(np.ascontiguousarray(sample), photo.mode, metadata=photo.metadata).rgb()
    return bool(np.percentile(np.ptp(some, axis=-1), 99) <= 6)


def converter(source: Photo, target: Photo) -> Convert | None:
    """What turns a shot's colours [..., 3] into the target's space; None where both are the same."""
    if target.plain_mode in ("L", "LA"):
        return None if source.plain_mode in ("L", "LA") else _to_grey
    given, wanted = _profile(source), _profile(target)
    if given == wanted:
        return None
    axis = np.rint(np.linspace(0, 255, GRID)).astype(np.uint8)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(GRID, GRID * GRID, 3)
    try:
        pictured = ImageCms.profileToProfile(
            Image.fromarray(grid),
            _opened(given),
            _opened(wanted),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            "RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):  # a damaged profile: as if there were none
        return None
    table = np.asarray(pictured, np.float32).reshape(GRID, GRID, GRID, 3)
    return lambda colours: _looked_up(table, colours)


def _profile(photo: Photo) -> bytes:
    """The RGB profile of what `rgb_levels` gives; empty for sRGB."""
    return photo.metadata.icc if photo.plain_mode in ("RGB", "RGBA") else b""


def _opened(profile: bytes) -> Any:
    return io.BytesIO(profile) if profile else ImageCms.createProfile("sRGB")


def _to_grey(colours: Colours) -> Colours:
    return np.repeat((colours @ LUMA)[..., None], 3, axis=-1).astype(np.float32)


def _looked_up(table: NDArray[np.float32], colours: Colours) -> Colours:
    """Colours by trilinear interpolation in a table [N, N, N, 3]."""
    place = (colours.clip(0, 255) * np.float32((GRID - 1) / 255)).reshape(-1, 3)
    low = np.minimum(place.astype(np.int64), GRID - 2)
    part = (place - low).astype(np.float32)
    result = np.zeros_like(place)
    for corner in np.ndindex(2, 2, 2):
        share = np.prod(np.where(corner, part, 1 - part), axis=1, dtype=np.float32)
        at = low + corner
        result += share[:, None] * table[at[:, 0], at[:, 1], at[:, 2]]
    return result.reshape(colours.shape)
