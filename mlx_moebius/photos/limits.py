"""How large a picture may be: limits by memory, checked before anything is decoded, and by file format."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from PIL import Image

from mlx_moebius import memory
from mlx_moebius.errors import MORE, Change, MoebiusError

BYTES_A_PIXEL = 24  # at the peak of reading, filling and writing; measured: 23 for RGB
SHARE = 0.5  # of the machine's memory: the rest is for the network and other programs
LONGEST = 1_000_000  # pixels of a side: decoders copy longer rows many times
SIDES = {"JPEG": 65_535, "WEBP": 16_383, "AVIF": 32_768}  # AVIF: what decoders (libavif) take; encoders write more
AVIF_PIXELS = 16_384 * 16_384
_opening = threading.Lock()
_asked: list[int] = []  # by this process
_in_block: ContextVar[int | None] = ContextVar("max_pixels", default=None)


def allow(pixels: int | None) -> None:
    """Accept pictures of up to `pixels` pixels in this process, whatever its memory; None: as memory allows."""
    _asked[:] = [] if pixels is None else [pixels]


@contextmanager
def allowing(pixels: int | None) -> Iterator[None]:
    """Accept pictures of up to `pixels` pixels inside this block, in this thread; None: the limit stays."""
    before = _in_block.set(_in_block.get() if pixels is None else pixels)
    try:
        yield
    finally:
        _in_block.reset(before)


def bytes_taken(width: int, height: int, copies: int = 1) -> int:
    """Bytes of memory that a picture takes at the peak of reading, filling and writing: pixels, floats and tiles."""
    return width * height * BYTES_A_PIXEL * copies


def check_size(width: int, height: int, copies: int = 1) -> None:
    """Raise MoebiusError for a picture of more pixels than memory or `allow` permits, or with a side over `LONGEST`.

    `copies`: times the memory of an 8-bit picture.
    """
    if max(width, height) > LONGEST:
        raise MoebiusError(f"{width} x {height} pixels: a side can have {LONGEST:,} at most")
    asked = _in_block.get() or next(iter(_asked), None)
    most = asked or int(memory.available() * SHARE) // (BYTES_A_PIXEL * copies)
    if width * height > most:
        why = "as asked for" if asked else f"half of this machine's memory at {BYTES_A_PIXEL * copies} bytes a pixel"
        raise MoebiusError(
            f"{width} x {height} pixels are {width * height / 1e6:,.0f} megapixels; the limit is {most / 1e6:,.1f} "
            f"({why})",
            "reduce or split it",
            Change("max_pixels", MORE),
        )


def check_format(name: str, width: int, height: int) -> None:
    """Raise MoebiusError when files of the format `name` (Pillow's) cannot hold a picture of that size."""
    shown = f"{name} cannot hold {width} x {height} pixels"
    if name in SIDES and max(width, height) > SIDES[name]:
        raise MoebiusError(f"{shown}, a side has {SIDES[name]:,} at most: choose PNG or TIFF")
    if name == "AVIF" and width * height > AVIF_PIXELS:
        raise MoebiusError(f"{shown}, {AVIF_PIXELS // 10**6} megapixels at most: choose PNG or TIFF")


@contextmanager
def without_pillow_limit() -> Iterator[None]:
    """Let Pillow open pictures beyond its limit. The caller checks their size with `check_size` instead."""
    with _opening:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before
