"""Dust of scans: small spots that differ from what is round them on all sides.

A spot is found at the size at which it stands out most. Most of what is found so lies in texture, on an edge or among
other small things; `likeness.py` tells dust from these, and `print_and_eyes.py` from letters and eyes. A round light on
black surroundings may be a star or a lamp: it is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.selection.likeness import likeness
from mlx_moebius.selection.print_and_eyes import is_print_or_eye
from mlx_moebius.selection.spot import Floats, Spot

SIZES = (1, 2, 3, 5, 8, 12)  # pixels across a spot
USUAL = 0.5  # sensitivity
FAINTEST = 3.5  # how many times a spot differs more than its surroundings, at least
ROOM = 20  # pixels round a light, besides twice its size, that are dark if it may be a star
STRICTEST, LOOSEST = 2.0, -2.0  # logarithms of the odds that a spot is dust, at sensitivity 0 and 1
LEAST = 1.0  # levels: what differs less is no spot
VISIBLE = 2.5  # levels: fainter spots of one photo are left as they are
WIDE = 4  # times its size: how far the surroundings of a spot reach, besides MARGIN
MARGIN = 12
EVEN = 0.6  # of the difference from a spot: by how much its surroundings may differ among themselves
NIGHT = 64.0  # levels: lights on darker surroundings may be stars


def find_spots(rgb: NDArray[np.uint8], sensitivity: float = USUAL) -> list[Spot]:
    """Spots in a photo uint8 [H, W, 3], the likeliest first. `sensitivity` is 0 to 1."""
    return likeliest(rated_spots(rgb), sensitivity)


def rated_spots(rgb: NDArray[np.uint8]) -> list[tuple[Spot, float]]:
    """All spots of a photo uint8 [H, W, 3] and how likely each is dust (logarithm of the odds), the likeliest first."""
    spots = likely_spots(rgb)
    odds = likeness(rgb, spots)
    grey = opencv().cvtColor(rgb, opencv().COLOR_RGB2GRAY).astype(np.float32)
    rated = [(spots[index], float(odds[index])) for index in np.argsort(-odds, kind="stable")]
    return [(spot, likely) for spot, likely in rated if not _is_known(grey, spot, likely)]


def _is_known(grey: Floats, spot: Spot, odds: float) -> bool:
    """Whether a spot may be a star, or is part of a letter or eye, if it could be taken for dust at all."""
    return _may_be_star(grey, spot) or (odds >= LOOSEST and is_print_or_eye(grey, spot))


def likeliest(rated: list[tuple[Spot, float]], sensitivity: float) -> list[Spot]:
    """The spots that are likely enough for a `sensitivity` of 0 to 1."""
    least = STRICTEST + sensitivity * (LOOSEST - STRICTEST)
    return [spot for spot, odds in rated if odds >= least]


def likely_spots(rgb: NDArray[np.uint8]) -> list[Spot]:
    """All spots of a photo uint8 [H, W, 3] that may be dust; most are not."""
    grey = opencv().cvtColor(rgb, opencv().COLOR_RGB2GRAY).astype(np.float32)
    return [spot for spot in distinct_spots(grey, FAINTEST) if abs(spot.difference) >= VISIBLE]


def distinct_spots(grey: Floats, least: float) -> list[Spot]:
    """Spots of a grey picture [H, W] with a clarity of at least `least`, each once, the clearest first."""
    cv2 = opencv()
    taken = np.zeros(grey.shape, bool)
    spots: list[Spot] = []
    for spot in sorted((spot for size in SIZES for spot in _spots(cv2, grey, size, least)), key=lambda s: -s.clarity):
        if not taken[spot.y, spot.x]:
            reach = 2 * spot.size + 6
            taken[max(0, spot.y - reach) : spot.y + reach + 1, max(0, spot.x - reach) : spot.x + reach + 1] = True
            spots.append(spot)
    return spots


def known_spots(rgb: NDArray[np.uint8], places: list[tuple[int, int, int]]) -> list[Spot]:
    """Spots whose place and size are known (x, y, size), in a photo uint8 [H, W, 3]; those outside are left out."""
    cv2 = opencv()
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    height, width = grey.shape
    spots = []
    for x, y, size in places:
        if 0 <= x < width and 0 <= y < height and 1 <= size <= min(height, width):
            near = grey[max(0, y - size - 2) : y + size + 3, max(0, x - size - 2) : x + size + 3]
            inner = grey[max(0, y - size // 4) : y + size // 4 + 1, max(0, x - size // 4) : x + size // 4 + 1]
            spots.append(Spot(x, y, size, float(inner.mean() - np.median(near)), 0.0))
    return spots


def spots_mask(rgb: NDArray[np.uint8], spots: list[Spot]) -> Mask:
    """What belongs to the spots, with a rim of a pixel, bool [H, W]."""
    cv2 = opencv()
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mask = np.zeros(grey.shape, bool)
    for spot in spots:
        here, spot_mask, _ = spot.part(grey, spot.size + 4)
        mask[here] |= cv2.dilate(spot_mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return mask


def _may_be_star(grey: Floats, spot: Spot) -> bool:
    """Whether a spot is a light in the dark, however large it is."""
    reach = 2 * spot.size + ROOM
    near = grey[max(0, spot.y - reach) : spot.y + reach + 1, max(0, spot.x - reach) : spot.x + reach + 1]
    return spot.difference > 0 and bool(np.median(near) < NIGHT)


def _spots(cv2: Any, grey: Floats, size: int, least: float) -> Iterator[Spot]:
    """Spots of a size, with a clarity of at least `least`."""
    height, width = grey.shape
    blurred = cv2.blur(grey, (size, size))
    sides = _sides(grey, blurred, size)
    darker, lighter = sides.min(axis=0) - blurred, blurred - sides.max(axis=0)
    difference = np.maximum(darker, lighter)
    candidates = difference >= LEAST
    fine = blurred - cv2.blur(grey, (3 * size + 2, 3 * size + 2))
    outer, inner = WIDE * size + MARGIN, 2 * size + 3
    side = 2 * outer + 1
    core = 2 * inner + 1
    squares = cv2.blur(fine * fine, (side, side)) * side**2 - cv2.blur(fine * fine, (core, core)) * core**2
    around = np.sqrt((squares / (side**2 - core**2)).clip(0.04))
    clarity = difference / around
    candidates &= clarity >= least
    candidates &= clarity >= cv2.dilate(clarity, np.ones((2 * size + 3, 2 * size + 3), np.uint8))
    candidates &= sides.max(axis=0) - sides.min(axis=0) <= EVEN * (difference + sides.max(axis=0) - sides.min(axis=0))
    for y, x in np.argwhere(candidates):
        is_light = lighter[y, x] > darker[y, x]
        if is_light and sides[:, y, x].mean() < NIGHT:
            continue
        yield Spot(int(x), int(y), size, float(difference[y, x] * (1 if is_light else -1)), float(clarity[y, x]))


def _sides(grey: Floats, blurred: Floats, size: int) -> Floats:
    """The means at eight sides of each pixel, [8, H, W]."""
    reach = size + 2
    padded = np.pad(blurred, reach, "edge")
    height, width = grey.shape
    steps = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2)]
    return np.stack([padded[y * reach :, x * reach :][:height, :width] for y, x in steps])
