"""Colours of inks: between CMYK and sRGB, by the photo's own profile."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageCms


def convert(image: Image.Image, mode: str, icc: bytes) -> Image.Image:
    """Convert between CMYK and sRGB, by the CMYK side's ICC profile, or by Pillow's formula without a usable one."""
    result = profiled(image, mode, icc) if icc else None
    return image.convert(mode) if result is None else result


def profiled(image: Image.Image, mode: str, icc: bytes) -> Image.Image | None:
    """Convert between CMYK and sRGB by the CMYK side's ICC profile; None if it is broken or one of other colours."""
    source: Any = io.BytesIO(icc)
    target: Any = ImageCms.createProfile("sRGB")
    if mode == "CMYK":
        source, target = target, source
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    try:
        return ImageCms.profileToProfile(image, source, target, intent, mode, flags=flags)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
