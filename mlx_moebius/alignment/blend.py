"""Joins what is taken to what is round it: the difference along the rim is continued smoothly into it, and added."""

from __future__ import annotations

import numpy as np

from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Colours, Mask

WIDTHS = (160.0, 64.0, 24.0, 9.0, 4.0)  # of Gaussians, in pixels
WORK = 800  # pixels along a side on which the difference is continued: it is smooth
RIM = 40  # pixels round what is taken whose difference counts
LEAST, DEEPEST = 12.0, 24.0  # levels of difference that tone may leave; more is another content


def joined(photo: Colours, other: Colours, known: Mask, taken: Mask) -> Colours:
    """The other shot's colours [h, w, 3], levelled so that where `taken` they meet the photo where it is `known`."""
    cv2 = opencv()
    height, width = taken.shape
    scale = min(1.0, WORK / max(height, width))
    size = max(8, round(width * scale)), max(8, round(height * scale))
    if scale == 1:
        change = _change(photo - other, known, taken, RIM)
        return other if change is None else other + change
    difference = cv2.resize(photo - other, size, interpolation=cv2.INTER_AREA)
    inside, seen = (cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) for mask in (taken, known))
    change = _change(difference, seen > 0.99, inside > 0, max(8, round(RIM * scale)))
    return other if change is None else other + cv2.resize(change, (width, height), interpolation=cv2.INTER_LINEAR)


def _change(difference: Colours, known: Mask, taken: Mask, reach: int) -> Colours | None:
    """What to add, [h, w, 3]: the difference along the rim, continued; None where there is no rim."""
    cv2 = opencv()
    near = cv2.dilate(taken.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    rim = known & near & ~taken
    if not rim.any():
        return None
    difference = np.where(rim[..., None], difference, 0).astype(np.float32)
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
    return np.asarray(cv2.resize(result.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))
