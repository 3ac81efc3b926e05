"""Pixels that a file stores as palette indices, or in one bit a pixel."""

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
    """The palette of a Pillow image, uint8 [N, C] in `mode`; None if it has none.

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
    """The pixels [H, W, C] in one bit a pixel or as palette indices, for the format `name`.

    None if the format has no such thing, or if colours that the palette lacks do not fit into it.
    """
    if palette is BLACK_AND_WHITE:
        fits = name in ONE_BIT and ((pixels == 0) | (pixels == 255)).all()
        return Image.fromarray(pixels).convert("1", dither=Image.Dither.NONE) if fits else None
    if name not in NUMBERED.get(palette.shape[1], ()) or pixels.ndim != 3:
        return None
    known, wanted = _packed(palette), _packed(pixels)
    if len(new := np.setdiff1d(wanted, known)):
        if len(known) + len(new) > MOST:
            return None
        known = np.concatenate([known, new])
        palette = np.concatenate([palette, _unpacked(new, palette.shape[1])])
    order = np.argsort(known, kind="stable")
    numbers = order[np.searchsorted(known, wanted, sorter=order)].astype(np.uint8)
    image = Image.fromarray(numbers.reshape(pixels.shape[:2]), "P")
    image.putpalette(palette[:, :3].tobytes())
    if palette.shape[1] == 4:
        image.info["transparency"] = palette[:, 3].tobytes()
    return image


def _packed(colours: Pixels) -> NDArray[np.uint32]:
    """Colours [..., C] as numbers of 32 bits, in one row."""
    shifts = 8 * np.arange(colours.shape[-1], dtype=np.uint32)
    packed: NDArray[np.uint32] = np.bitwise_or.reduce(colours.astype(np.uint32) << shifts, axis=-1)
    return packed.ravel()


def _unpacked(numbers: NDArray[np.uint32], channels: int) -> Pixels:
    shifts = 8 * np.arange(channels, dtype=np.uint32)
    return (numbers[:, None] >> shifts).astype(np.uint8)
