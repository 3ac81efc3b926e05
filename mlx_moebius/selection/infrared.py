"""Dust, hairs and scratches of a scan, as its infrared picture shows them.

The dyes of colour film let infrared light pass, dust does not: what is darker there than its surroundings lies on the
film. Silver stops infrared light as well as any other. The infrared picture of black-and-white film shows the photo
itself, and says nothing about dust.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Mask

Floats = NDArray[np.float32]
REDUCED = 4  # the film's own level is found in a picture reduced by this
WIDEST = 64  # pixels: what is wider is no dust, but the film's holder or a dense part of it
CLEAREST, FAINTEST = 0.6, 0.04  # of the light that is missing, at sensitivity 0 and 1
NOISE = 5.0  # standard deviations of the film's grain: less is no dust
LEAST = 3  # pixels of a speck
RIM = 2  # pixels: infrared and colours are not focused alike
BLUR = 6.0  # pixels: detail of both pictures is what differs from this blur
ALIKE = 0.5  # correlation of their detail from which on infrared shows the photo itself


def dark_in_infrared(infrared: NDArray[Any], rgb: NDArray[np.uint8], sensitivity: float) -> Mask | None:
    """What lies on the film, with a rim, bool [H, W]; None where the infrared picture shows the photo itself.

    Args:
        infrared: the infrared picture [H, W], uint8 or uint16.
        rgb: the photo, uint8 [H, W, 3].
        sensitivity: 0 (the clearest alone) to 1.
    """
    cv2 = opencv()
    light = infrared.astype(np.float32) / np.float32(np.iinfo(infrared.dtype).max)
    passing = light / _film(light)
    detail = passing - cv2.GaussianBlur(passing, (0, 0), BLUR)
    grain = max(1.4826 * float(np.median(np.abs(detail))), 1e-4)
    least = CLEAREST * (FAINTEST / CLEAREST) ** sensitivity
    dark = passing < 1 - max(least, NOISE * grain)
    if _shows_photo(detail, rgb, dark):
        return None
    _, numbers, figures, _ = cv2.connectedComponentsWithStats(dark.astype(np.uint8), connectivity=8)
    kept = figures[:, cv2.CC_STAT_AREA] >= LEAST
    kept[0] = False
    rim = np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8)
    return np.asarray(cv2.dilate(kept[numbers].astype(np.uint8), rim) > 0)


def _film(light: Floats) -> Floats:
    """The light that film without dust lets pass at each pixel: dark things narrower than `WIDEST` are closed."""
    cv2 = opencv()
    height, width = light.shape
    size = max(1, width // REDUCED), max(1, height // REDUCED)
    small = cv2.resize(light, size, interpolation=cv2.INTER_AREA)
    square = np.ones((WIDEST // REDUCED + 1, WIDEST // REDUCED + 1), np.uint8)
    closed = cv2.GaussianBlur(cv2.morphologyEx(small, cv2.MORPH_CLOSE, square), (0, 0), 3)
    level = cv2.resize(closed, (width, height), interpolation=cv2.INTER_LINEAR).clip(1e-3)
    return np.asarray(level * np.float32(np.median(light / level)))


def _shows_photo(detail: Floats, rgb: NDArray[np.uint8], dark: Mask) -> bool:
    """Whether the detail of the infrared picture is the photo's, away from what is dark in it."""
    cv2 = opencv()
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    own = grey - cv2.GaussianBlur(grey, (0, 0), BLUR)
    elsewhere = ~dark if dark.mean() < 0.05 else np.ones_like(dark)
    a, b = cv2.GaussianBlur(detail, (0, 0), 1)[elsewhere], cv2.GaussianBlur(own, (0, 0), 1)[elsewhere]
    spread = float(a.std() * b.std())
    return bool(spread > 0 and abs(float(((a - a.mean()) * (b - b.mean())).mean()) / spread) > ALIKE)
