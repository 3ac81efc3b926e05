"""Photos with something to select, whose place is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.photos.geometry import Mask


def meadow(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Green and brown texture, uint8 [H, W, 3]."""
    generator = np.random.default_rng(seed)
    coarse = generator.normal(0, 1, (height // 8 + 1, width // 8 + 1)).repeat(8, 0).repeat(8, 1)[:height, :width]
    rgb = np.array([92, 120, 60]) + 14 * coarse[..., None] + generator.normal(0, 6, (height, width, 3))
    return rgb.clip(0, 255).astype(np.uint8)


def sky(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Blue that gets lighter downwards, with grain, uint8 [H, W, 3]."""
    generator = np.random.default_rng(seed)
    slope = np.linspace(0, 60, height)[:, None, None]
    rgb = np.array([90, 140, 190]) + slope + generator.normal(0, 3, (height, width, 3))
    return rgb.clip(0, 255).astype(np.uint8)


def with_ball(height: int = 500, width: int = 700) -> tuple[NDArray[np.uint8], Mask]:
    """A red ball on a meadow, and the mask of the ball."""
    y, x = np.mgrid[:height, :width]
    ball = ((x - 0.52 * width) / (0.2 * width)) ** 2 + ((y - 0.47 * height) / (0.28 * height)) ** 2 < 1
    generator = np.random.default_rng(1)
    shaded = np.array([190, 45, 40]) + 25 * np.sin(x / 40)[..., None] + generator.normal(0, 6, (height, width, 3))
    return np.where(ball[..., None], shaded.clip(0, 255), meadow(height, width)).astype(np.uint8), ball


def overlap(a: Mask, b: Mask) -> float:
    """Intersection over union."""
    return float((a & b).sum() / (a | b).sum())
