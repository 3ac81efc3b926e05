"""Dust on a camera's sensor: spots that stay at the same place of the sensor over many photos.

Of every photo the differences from its smooth surroundings are taken, relative to the light there, as dust takes away a
share of it. Their mean over the photos of one camera is weighted by how calm each photo is at each place: texture,
birds and stars of single photos vanish, and the dust remains.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.errors import MoebiusError
from mlx_moebius.opencv import opencv
from mlx_moebius.photos.photo import Photo, opened, oriented, read_photo
from mlx_moebius.selection.dust import distinct_spots
from mlx_moebius.selection.spot import Floats, Spot

FEWEST = 8  # photos of a camera from which its dust is learnt
MOST = 60  # photos: more teach nothing new
SMOOTH = 12.0  # pixels: blur of what counts as the surroundings
NOISE = 1.5  # levels: the calmest places still have this much
CLEAR = 8.0  # times what differs there anyway: fainter spots are none
LEVELS = 160.0  # brightness at which differences are expressed
BACK = {6: 8, 8: 6}
"""EXIF orientation -> the one that undoes it, where it is another."""
MAKE, MODEL, EXIF, SERIAL, FOCAL_LENGTH = 271, 272, 0x8769, 0xA431, 0x920A


def sensor_dust(files: Sequence[Path]) -> dict[Path, list[Spot]]:
    """The dust in photos, by file, in pixels of the upright photo. Cameras with fewer than 8 photos are left out.

    Photos are of one camera if make, model, serial number, focal length and size are the same. Files that cannot be
    read are left out.
    """
    cameras: dict[tuple[object, ...], list[Path]] = defaultdict(list)
    for file in files:
        with suppress(MoebiusError):
            cameras[_camera(file)].append(file)
    found: dict[Path, list[Spot]] = {}
    for members in cameras.values():
        if len(members) < FEWEST:
            continue
        learnt = Learnt()
        for file in members[:: -(-len(members) // MOST)]:
            if photo := _readable(file):
                learnt.add(oriented(photo.rgb(), BACK.get(photo.orientation, photo.orientation)))
        spots = learnt.spots()
        for file in members:
            if photo := _readable(file):
                found[file] = _upright(spots, photo) if spots else []
    return found


def resolved(wanted: Sequence[str], files: Sequence[Path]) -> dict[Path, tuple[str, ...]]:
    """What is wanted in each photo of a folder, with the dust of its camera's sensor as `spots` for "sensor"."""
    if "sensor" not in wanted:
        return {file: tuple(wanted) for file in files}
    dust = sensor_dust(files)
    rest = tuple(text for text in wanted if text != "sensor")
    texts = {}
    for file in files:
        words = " ".join(f"{spot.x},{spot.y},{spot.size}" for spot in dust.get(file, []))
        texts[file] = (*rest, f"spots:{words}") if words else rest
    return texts


class Learnt:
    """Sums over the photos of one camera."""

    def __init__(self) -> None:
        self.weighted: Floats | None = None
        self.weights: Floats | None = None

    def add(self, rgb: NDArray[np.uint8]) -> None:
        """Take a photo uint8 [H, W, 3] in, as the sensor saw it."""
        cv2 = opencv()
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
        smooth = cv2.GaussianBlur(grey, (0, 0), SMOOTH)
        differences = (grey - smooth) / (smooth + 16) * LEVELS
        fine = grey - cv2.GaussianBlur(grey, (0, 0), SMOOTH / 4)
        texture = cv2.blur(fine * fine, (41, 41)) + cv2.blur(differences * differences, (81, 81)) / 4
        weight = (smooth < 250) / (texture * (LEVELS / (smooth + 16)) ** 2 + NOISE**2)
        limit = 4 * np.sqrt(texture) + 4 * NOISE + 40  # one photo alone decides nothing
        part = weight * differences.clip(-limit, limit)
        self.weighted = part if self.weighted is None else self.weighted + part
        self.weights = weight if self.weights is None else self.weights + weight

    def spots(self) -> list[Spot]:
        """Dark spots of the mean."""
        if self.weighted is None or self.weights is None:
            return []
        mean = self.weighted / self.weights.clip(1e-6)
        return [spot for spot in distinct_spots(mean + np.float32(LEVELS), CLEAR) if spot.difference < 0]


def _readable(file: Path) -> Photo | None:
    """A photo, or None for a damaged file: who wants its pixels says what is wrong with it."""
    try:
        return read_photo(file)
    except MoebiusError:
        return None


def _camera(file: Path) -> tuple[object, ...]:
    with opened(file) as (_, image):
        exif = image.getexif()
        details = exif.get_ifd(EXIF)
        return (
            exif.get(MAKE),
            exif.get(MODEL),
            details.get(SERIAL),
            str(details.get(FOCAL_LENGTH)),
            tuple(sorted(image.size)),
        )


def _upright(spots: list[Spot], photo: Photo) -> list[Spot]:
    """Spots of the sensor as places of an upright photo."""
    height, width = photo.height, photo.width
    places = np.zeros((width, height) if photo.orientation >= 5 else (height, width), np.int32)
    for number, spot in enumerate(spots, 1):
        places[spot.y, spot.x] = number
    turned = oriented(places, photo.orientation)
    return [
        Spot(int(x), int(y), spot.size, spot.difference, spot.clarity)
        for y, x in np.argwhere(turned)
        for spot in [spots[turned[y, x] - 1]]
    ]
