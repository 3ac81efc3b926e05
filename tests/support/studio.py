"""Photos to learn from, and networks small enough to learn in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def paint_photos(folder: Path, count: int) -> Path:
    """Write `count` PNG pictures of 128 x 96 pixels with noise and a gradient each: photo0.png, ..."""
    folder.mkdir()
    for number in range(count):
        rng = np.random.default_rng(number)
        ramp = np.linspace(0, 1, 128)[None, :, None] * rng.uniform(0, 255, 3)
        pixels = np.clip(ramp + rng.uniform(0, 40, (96, 128, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"photo{number}.png")
    return folder
