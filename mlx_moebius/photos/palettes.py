"""Pixels that a file stores as numbers of colours: palettes, and one bit a pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.photos.geometry import Pixels

BLACK_AND_WHITE = np.array([[0], [255]], np.uint8)
ONE_BIT = ("PNG", "TIFF", "BMP")  # formats that have it
NUMBERED = {3: ("PNG", "TIFF", "BMP"), 4: ("PNG",)}  # formats that have palettes of so many channels
MOST = 256


def palette_of(image: Image.Image, mode: str) -> Pixels | None:
    """The colours, uint8 [N, C] in `mode`, that the pixels of a Pillow image are numbers of; None where they are not.

    One bit a pixel is a palette of black and white.
    """
    if image.mode == "1" and mode == "L":
        return BLACK_AND_WHITE
    if image.mode != "P" or not (colours := image.getpalette()):
        return None
    count = len(colours) // 3
    strip = Image.frombytes("P", (count, 1), bytes(range(count)))
    strip.putpalette(colours)
    if "transparency" in image.info:
        strip.info["transparency"] = image.info["transparency"]
    return np.asarray(strip.convert(mode))[0]


def numbered(pixels: Pixels, palette: Pixels, name: str) -> Image.Image | None:
    """The picture in one bit a pixel or with its palette, in the format `name`.

    None where the format has no such thing, or the pixels [H, W, C] have other colours and these no place in it.
    """
    if palette is BLACK_AND_WHITE:
        fits = name in ONE_BIT and ((pixels == 0) | (pixels == 255)).all()
        return Image.fromarray(pixels).convert("1", dither=Image.Dither.NONE) if fits else None
    if name not in NUMBERED.get(palette.shape[1], ()) or pixels.ndim != 3:
        return None
    own, wanted = _packed(palette), _packed(pixels)
    if len(new := np.setdiff1d(wanted, own)):
        if len(own) + len(new) > MOST:
            return None
        own = np.concatenate([own, new])
        palette = np.concatenate([palette, _unpacked(new, palette.shape[1])])
    order = np.argsort(own, kind="stable")
    numbers = order[np.searchsorted(own, wanted, sorter=order)].astype(np.uint8)
    image = Image.fromarray(numbers.reshape(pixels.shape[:2]), "P")
    image.putpalette(palette[:, :3].tobytes())
    if palette.shape[1] == 4:
        image.info["transparency"] = palette[:, 3].tobytes()
    return image


def _packed(colours: Pixels) -> NDArray[np.uint32]:
    """Colours [..., C] as numbers, in one row."""
    shifts = 8 * np.arange(colours.shape[-1], dtype=np.uint32)
    packed: NDArray[np.uint32] = np.bitwise_or.reduce(colours.astype(np.uint32) << shifts, axis=-1)
    return packed.ravel()


def _unpacked(numbers: NDArray[np.uint32], channels: int) -> Pixels:
    shifts = 8 * np.arange(channels, dtype=np.uint32)
    return (numbers[:, None] >> shifts).astype(np.uint8)
