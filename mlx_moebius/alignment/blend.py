"""Joins what is taken to what is round it: the difference along the rim is continued smoothly into it, and added."""

from __future__ import annotations

import numpy as np

from mlx_moebius.alignment.opencv import opencv
from mlx_moebius.photos.geometry import Colours, Mask

WIDTHS = (160.0, 64.0, 24.0, 9.0, 4.0)  # of Gaussians, in pixels
RIM = 40  # pixels round what is taken whose difference counts
LEAST, DEEPEST = 12.0, 24.0  # levels of difference that tone may leave; more is another content


def joined(photo: Colours, other: Colours, known: Mask, taken: Mask) -> Colours:
    """The other shot's colours [h, w, 3], levelled so that where `taken` they meet the photo where it is `known`."""
    cv2 = opencv()
    near = cv2.dilate(taken.astype(np.uint8), np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8)) > 0
    rim = known & near & ~taken
    if not rim.any():
        return other
    difference = np.where(rim[..., None], photo - other, 0).astype(np.float32)
    middle = np.median(difference[rim], axis=0)
    spread = 1.4826 * np.median(np.abs(difference[rim] - middle), axis=0) + 1
    limit = np.clip(3 * spread, LEAST, DEEPEST)
    difference = np.where(rim[..., None], difference.clip(middle - limit, middle + limit), 0).astype(np.float32)
    height, width = rim.shape
    both = np.dstack([difference, rim.astype(np.float32)])
    result = middle.astype(np.float32)[None, None]
    for wide in WIDTHS:
        by = max(1, int(wide / 4))
        size = max(1, width // by), max(1, height // by)
        smooth = cv2.GaussianBlur(cv2.resize(both, size, interpolation=cv2.INTER_AREA), (0, 0), wide / by)
        share = np.minimum(1, smooth[..., 3:] * 8)
        if result.size > 3:
            result = cv2.resize(result, size, interpolation=cv2.INTER_LINEAR)
        result = result * (1 - share) + share * smooth[..., :3] / np.maximum(smooth[..., 3:], 1e-6)
    return other + cv2.resize(result.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
