"""Tiles of a photo for the page. Level 0 has the photo's pixels; every further level has half the resolution."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mlx_moebius.photos.geometry import Box, Mask
from mlx_moebius.photos.photo import Photo

TILE = 512  # side of a tile, in pixels of its level
THUMBNAIL = 256  # longest side of a thumbnail
TINT = (0, 183, 255)  # a mask's colour

Picture = np.ndarray[Any, Any]


class Levels:
    """Tiles of one photo. Levels from 1 on are made at their first use, and lie in files in `folder`.

    The files are opened for each tile, because a process may have few files open.
    """

    def __init__(self, photo: Photo, folder: Path) -> None:
        self.photo = photo
        self._folder = folder
        self._making = threading.RLock()
        self.count = 1
        while max(level_size(photo, self.count - 1)) > TILE:
            self.count += 1

    def tile(self, level: int, column: int, row: int) -> tuple[bytes, str] | None:
        """A tile's file and media type: PNG if it must be exact or is transparent, else JPEG. None outside."""
        if not 0 <= level < self.count:
            return None
        box = tile_box(level_size(self.photo, level), column, row)
        if box is None:
            return None
        image = self._cut(level, box)
        exact = level == 0 or image.mode == "RGBA"
        return encoded(image, self.photo, exact), "image/png" if exact else "image/jpeg"

    def thumbnail(self) -> tuple[bytes, str]:
        """The whole photo, small."""
        level = self.count - 1
        image = self._cut(level, (0, 0, *level_size(self.photo, level)))
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        exact = image.mode == "RGBA"
        return encoded(image, self.photo, exact), "image/png" if exact else "image/jpeg"

    def _cut(self, level: int, box: Box) -> Image.Image:
        if level == 0:
            return shown(self.photo, box)
        left, top, right, bottom = box
        return Image.fromarray(np.ascontiguousarray(self._smaller(level)[top:bottom, left:right]))

    def _smaller(self, level: int) -> Picture:
        """All pixels of a level from 1 on, in a file."""
        file = self._folder / f"level-{level}.npy"
        with self._making:
            if not file.exists():
                image = (
                    Image.fromarray(np.asarray(self._smaller(level - 1)))
                    if level > 1
                    else shown(self.photo, self.photo.box)
                )
                # Transparent pixels must not colour their neighbours.
                small = image.convert("RGBa").reduce(2).convert("RGBA") if image.mode == "RGBA" else image.reduce(2)
                return kept(np.asarray(small), file)
        return mapped(file)


def level_size(photo: Photo, level: int) -> tuple[int, int]:
    """Width and height at a level."""
    return -(-photo.width >> level), -(-photo.height >> level)


def tile_box(size: tuple[int, int], column: int, row: int) -> Box | None:
    """The box of a tile in a level; None outside."""
    left, top = column * TILE, row * TILE
    if not (0 <= left < size[0] and 0 <= top < size[1]):
        return None
    return left, top, min(size[0], left + TILE), min(size[1], top + TILE)


def mask_tile(mask: Mask, level: int, column: int, row: int) -> bytes | None:
    """A tile of a mask as PNG, tinted where the mask is set: in any pixel of the photo that the tile's pixel covers."""
    side = 1 << min(level, 30)
    size = -(-mask.shape[1] // side), -(-mask.shape[0] // side)
    if (box := tile_box(size, column, row)) is None or level < 0:
        return None
    left, top, right, bottom = (edge * side for edge in box)
    image = Image.fromarray(mask[top:bottom, left:right].astype(np.uint8) * 255)
    alpha = image.reduce(side).point([0] + [255] * 255) if level else image
    tile = Image.new("RGBA", alpha.size, (*TINT, 0))
    tile.putalpha(alpha)
    return png(tile)


def shown(photo: Photo, box: Box) -> Image.Image:
    """Part of a photo as RGB, or RGBA where it has opacity."""
    image = Image.fromarray(photo.rgb(box))
    alpha = photo.alpha()
    if alpha is not None:
        left, top, right, bottom = box
        image.putalpha(Image.fromarray(np.ascontiguousarray(alpha[top:bottom, left:right])))
    return image


def encoded(image: Image.Image, photo: Photo, exact: bool) -> bytes:
    """A picture's file, with the photo's colour profile if it applies to the pixels shown."""
    icc = photo.metadata.icc if photo.mode in ("RGB", "RGBA") else b""
    if exact:
        return png(image, icc)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92, subsampling=0, icc_profile=icc)
    return file.getvalue()


def png(image: Image.Image, icc: bytes = b"") -> bytes:
    """A PNG file, encoded quickly."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1, icc_profile=icc or None)
    return file.getvalue()


def black_and_white(mask: Mask) -> Image.Image:
    """A mask as a picture, white where it is set."""
    return Image.fromarray(mask.astype(np.uint8) * 255)


def kept(pixels: Picture, file: Path) -> Picture:
    """Save an array in a file and map it: the system reads what is used, and drops what is not."""
    try:
        np.save(file, pixels)
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return mapped(file)


def mapped(file: Path) -> Picture:
    """The array in a file that `kept` has saved, mapped."""
    return np.asarray(np.load(file, mmap_mode="r"))


def webp(image: Image.Image) -> bytes:
    """A picture's file for the page."""
    file = io.BytesIO()
    image.save(file, "WEBP", quality=85, method=2)
    return file.getvalue()
