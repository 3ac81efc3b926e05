"""A part of a photo, and that part of another shot warped onto it: as fine as the photo, or reduced to be compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.alignment.colours import Convert, rgb_levels
from mlx_moebius.alignment.features import Homography, apply
from mlx_moebius.alignment.refine import Motion
from mlx_moebius.alignment.shot import Shot
from mlx_moebius.alignment.tone import CLIPPED, brightest
from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Box, Colours, Mask

MARGIN = 6  # pixels round the part of a shot that is warped
RING = 64  # pixels round a hole by which a shot is judged
AREA = 15  # pixels across
OWN_RIM = 5  # pixels round a shot's own mask that are not taken either
WORK = 800  # pixels along the side of a part on which shots are compared


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a photo: its box, its colours [h, w, 3], the piece of the hole in it, and what of it is known.

    The arrays may be smaller than the box: see `reduced`.
    """

    box: Box
    colours: Colours
    hole: Mask
    known: Mask

    @property
    def scale(self) -> float:
        """Pixels of the arrays in one of the photo."""
        return self.hole.shape[1] / (self.box[2] - self.box[0])

    @property
    def ring(self) -> Mask:
        """What is known close round the piece."""
        reach = 2 * max(8, round(RING * self.scale)) + 1
        near = opencv().dilate(self.hole.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
        return self.known & near

    def onto(self, values: NDArray[np.float32], other: Place) -> NDArray[np.float32]:
        """Smooth values [h, w, C] at this place's pixels, at those of another place in the photo."""
        x, y = grid(other)
        across = (x - self.box[0] + 0.5) * np.float32(self.scale) - 0.5
        down = (y - self.box[1] + 0.5) * np.float32(self.hole.shape[0] / (self.box[3] - self.box[1])) - 0.5
        cv2 = opencv()
        return np.asarray(cv2.remap(values, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def reduced(self) -> Place:
        """The same place with arrays of at most `WORK` pixels along a side."""
        height, width = self.hole.shape
        if max(height, width) <= WORK:
            return self
        size = max(8, width * WORK // max(height, width)), max(8, height * WORK // max(height, width))
        colours = opencv().resize(self.colours, size, interpolation=opencv().INTER_AREA)
        return Place(self.box, colours, smaller(self.hole, size), ~smaller(~self.known, size))


def smaller(mask: Mask, size: tuple[int, int]) -> Mask:
    """A mask at another (width, height): set where any of it is."""
    share = opencv().resize(mask.astype(np.uint8) * 255, size, interpolation=opencv().INTER_AREA)
    return np.asarray(share > 0)


@dataclass(frozen=True, slots=True)
class Lanes:
    """Where in the other shot each pixel of a box lies: a homography of the pixel after a `motion` (None: none).

    The motion is in pixels of a place's arrays. `still`: each pixel lies where it is in the photo.
    """

    matrix: Homography
    motion: Motion | None = None
    still: bool = False

    def places(self, place: Place) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """x and y in the other shot, [h, w] of the place's arrays."""
        x, y = grid(place)
        if self.still:
            return x, y
        if self.motion is not None:
            moved = self.motion / np.float32(place.scale)
            x, y = x + moved[..., 0], y + moved[..., 1]
        across, down = apply(self.matrix, x, y)
        return across, down

    def moved(self, more: Motion) -> Lanes:
        """These lanes with another motion before theirs: content lies `more` beyond where it was looked for."""
        if self.motion is None:
            return Lanes(self.matrix, more)
        cv2 = opencv()
        height, width = more.shape[:2]
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        at = x + more[..., 0], y + more[..., 1]
        return Lanes(self.matrix, more + cv2.remap(self.motion, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def onto(self, place: Place, other: Place) -> Lanes:
        """The lanes of a place for another one."""
        if self.motion is None:
            return self
        return Lanes(self.matrix, place.onto(self.motion, other) * np.float32(other.scale / place.scale), self.still)

    def offset(self, place: Place) -> float:
        """The farthest that the lanes lead away from the place, in pixels of the photo."""
        x, y = grid(place)
        across, down = self.places(place)
        return float(max(np.abs(across - x).max(), np.abs(down - y).max()))


def grid(place: Place) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x and y, in the photo, of the middles of a place's pixels."""
    height, width = place.hole.shape
    x = place.box[0] + (np.arange(width, dtype=np.float32) + 0.5) / np.float32(place.scale) - 0.5
    down = height / (place.box[3] - place.box[1])
    y = place.box[1] + (np.arange(height, dtype=np.float32) + 0.5) / np.float32(down) - 0.5
    across, below = np.meshgrid(x, y)
    return across, below


def warped(place: Place, shot: Shot, lanes: Lanes, convert: Convert | None) -> tuple[Colours, Mask, Mask]:
    """The shot's colours [h, w, 3] at a place, where it shows any, and where they are clipped; not yet in its tone."""
    cv2 = opencv()
    photo = shot.photo
    x, y = lanes.places(place)
    inside = (x >= 0) & (y >= 0) & (x <= photo.width - 1) & (y <= photo.height - 1)
    if not inside.any():
        return np.zeros((*inside.shape, 3), np.float32), inside, inside
    left, top = (max(0, int(axis[inside].min()) - MARGIN) for axis in (x, y))
    right = min(photo.width, int(x[inside].max()) + MARGIN + 1)
    bottom = min(photo.height, int(y[inside].max()) + MARGIN + 1)
    source = rgb_levels(photo, (left, top, right, bottom), min(1.0, place.scale))
    hidden: NDArray[np.uint8] = np.zeros((bottom - top, right - left), np.uint8)
    if shot.hidden is not None:
        rim = np.ones((2 * OWN_RIM + 1, 2 * OWN_RIM + 1), np.uint8)
        hidden |= cv2.dilate(shot.hidden[top:bottom, left:right].astype(np.uint8), rim)
    if (alpha := photo.alpha()) is not None:
        hidden |= (alpha[top:bottom, left:right] < 255).astype(np.uint8)
    x, y = x - left, y - top
    if place.scale < 1:
        height, width = hidden.shape
        size = source.shape[1::-1]
        x, y = (x + 0.5) * np.float32(size[0] / width) - 0.5, (y + 0.5) * np.float32(size[1] / height) - 0.5
        hidden = smaller(hidden > 0, size).astype(np.uint8)
    bottom, right = source.shape[0], source.shape[1]
    here = np.clip(x, -1, right).astype(np.float32), np.clip(y, -1, bottom).astype(np.float32)
    kernel = cv2.INTER_LANCZOS4 if place.scale == 1 else cv2.INTER_CUBIC  # what is reduced is only compared
    colours = cv2.remap(source, *here, kernel, borderMode=cv2.BORDER_REPLICATE)
    masked = cv2.remap(hidden * 255, *here, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) > 0
    if convert is not None:
        colours = convert(colours)
    clipped = _area(brightest(colours) >= CLIPPED)
    return colours, inside & ~masked, clipped


def _area(mask: Mask) -> Mask:
    """Where a mask is set in some of the pixels round: noise makes it a matter of chance in each of them."""
    share = opencv().boxFilter(mask.astype(np.float32), -1, (AREA, AREA))
    return np.asarray(share > 0.1)
