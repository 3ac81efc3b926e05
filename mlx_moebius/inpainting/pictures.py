"""Pictures that Python programs hold, as photos and back: PIL images, paths, arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos import metadata
from mlx_moebius.photos.palettes import numbered
from mlx_moebius.photos.photo import Photo, photo_from_image, read_photo, to_image

Array: TypeAlias = NDArray[Any]
Picture: TypeAlias = "Image.Image | str | Path | Array | Photo"
"""A PIL image, a file, an array uint8 or uint16 [H, W] or [H, W, C] (grey, RGB, with or without opacity), a photo."""
MODES = {
    np.dtype(np.uint8): {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"},
    np.dtype(np.uint16): {1: "I;16", 2: "LA;16", 3: "RGB;16", 4: "RGBA;16"},
}


def as_photo(picture: Picture) -> Photo:
    """A picture as a photo. Raises MoebiusError for what is none."""
    if isinstance(picture, Photo):
        return picture
    if isinstance(picture, Image.Image):
        return photo_from_image(picture)
    if isinstance(picture, str | Path):
        return read_photo(picture)
    if isinstance(picture, np.ndarray):
        return photo_from_array(picture)
    raise MoebiusError(f"a picture is a PIL image, a path or a numpy array, not {type(picture).__name__}")


def photo_from_array(pixels: Array) -> Photo:
    """A photo from pixels, uint8 or uint16, [H, W] or [H, W, C]. Raises MoebiusError for other types and shapes."""
    if pixels.dtype not in MODES:
        scaled = ["scale it to 0..255 and round"] if pixels.dtype.kind == "f" else []
        raise MoebiusError(f"an array of pixels is uint8 or uint16, this one is {pixels.dtype}", *scaled)
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.ndim not in (2, 3) or channels not in MODES[pixels.dtype]:
        several = ["give several pictures as a list"] if pixels.ndim == 4 else []
        shape = list(pixels.shape)
        raise MoebiusError(
            f"an array of pixels is [H, W] or [H, W, C] with 1 to 4 channels, this one is {shape}", *several
        )
    if 0 in pixels.shape:
        raise MoebiusError("the picture has no pixels")
    flat = pixels[..., 0] if pixels.ndim == 3 and channels == 1 else pixels
    return Photo(np.ascontiguousarray(flat), MODES[pixels.dtype][channels])


def as_mask(drawing: Picture) -> Photo | str | Path:
    """A mask as `load_mask` takes it: files stay files, bool arrays [H, W] are drawn in white."""
    if isinstance(drawing, str | Path):
        return drawing
    if isinstance(drawing, np.ndarray) and drawing.dtype == np.bool_:
        return photo_from_array(drawing.astype(np.uint8) * 255)
    return as_photo(drawing)


def as_image(photo: Photo) -> Image.Image:
    """A PIL image of a photo, with its ICC profile, EXIF and resolution in `info`; of one bit or with its palette.

    Raises MoebiusError where it has 16 bits a channel in colour or with opacity, for which Pillow has no images.
    """
    check_image(photo)
    image = None if photo.palette is None else numbered(photo.pixels, photo.palette, "PNG")
    if image is None:
        image = to_image(photo.pixels, photo.mode)
    carried = photo.metadata
    if carried.icc:
        image.info["icc_profile"] = carried.icc
    if carried.exif:
        image.info["exif"] = b"Exif\0\0" + metadata.updated_exif(carried.exif, image.size, None)
    if carried.dpi:
        image.info["dpi"] = carried.dpi
    return image


def check_image(photo: Photo) -> None:
    """Raise MoebiusError where `as_image` would."""
    if photo.mode.endswith(";16") and photo.mode != "I;16":
        raise MoebiusError(
            "the photo has 16 bits a channel, and Pillow has no such images",
            'output="np" for an array',
            "mlx_moebius.fill for a file",
        )


def as_array(photo: Photo, like: object = None) -> Array:
    """A photo's pixels, uint8 or uint16, [H, W] or [H, W, C]. Grey pixels get a channel axis if `like` has one."""
    keep_axis = isinstance(like, np.ndarray) and like.ndim == 3
    return photo.pixels[..., None] if keep_axis and photo.pixels.ndim == 2 else photo.pixels
