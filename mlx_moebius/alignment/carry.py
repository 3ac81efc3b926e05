"""Where what is selected in one photo lies in another shot of the same scene, if the scene has stood still."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.alignment import judge
from mlx_moebius.alignment.features import Homography, homographies, match
from mlx_moebius.alignment.refine import motion
from mlx_moebius.alignment.shot import features_of
from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Box, Colours, Mask, around, bounding_box, slices
from mlx_moebius.photos.photo import Photo

SIDE = 800  # pixels along the side on which both are compared
ROOM, LEAST_ROOM = 0.5, 80  # of the selection's longer side, and pixels: what is compared round it
EDGE = 4  # pixels of the reduced picture round what is selected, in which it must look the same, too
SAME_ROUND, SAME_INSIDE = 0.8, 0.75  # of the pixels must look the same round the selection, and in it
SHOWN = 0.5  # of the selection must be in the other shot
HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])


def carried(photo: Photo, mask: Mask, other: Photo) -> Mask | str:
    """The mask [H, W] of a photo, moved onto another shot of the scene, bool [H', W'] of its size.

    Words, which follow the other shot's name, where it does not show the same there. Raises MoebiusError where OpenCV
    is missing.
    """
    size = photo.width, photo.height
    found = homographies(match(features_of(photo), features_of(other), mask, None), size)
    matrices = [HALF @ matrix @ np.linalg.inv(HALF) for matrix in found]
    box = bounding_box(mask)
    if box is None or not matrices:
        return "does not show the same scene, or too little of it"
    room = max(LEAST_ROOM, round(ROOM * max(box[2] - box[0], box[3] - box[1])))
    seen = around(box, room, *size)
    answers = [_compared(photo.rgb(), mask, other.rgb(), matrix, seen) for matrix in matrices]
    fits = [answer for answer in answers if not isinstance(answer, str)]
    if not fits:
        return str(answers[0])
    _, matrix = max(fits, key=lambda fit: fit[0])
    cv2 = opencv()
    moved = cv2.warpPerspective(
        mask.astype(np.uint8) * np.uint8(255), _of_middles(matrix), (other.width, other.height), flags=cv2.INTER_LINEAR
    )
    return np.asarray(moved > 127)


def _of_middles(matrix: Homography) -> Homography:
    """A homography of places counted from the first pixel's corner, as OpenCV takes it: from that pixel's middle."""
    return np.asarray(np.linalg.inv(HALF) @ matrix @ HALF)


def _compared(
    rgb: NDArray[np.uint8], mask: Mask, other: NDArray[np.uint8], matrix: Homography, seen: Box
) -> tuple[float, Homography] | str:
    """How much is alike, and the homography made exact; words where it is not."""
    cv2 = opencv()
    scale = min(1.0, SIDE / max(seen[2] - seen[0], seen[3] - seen[1]))
    size = max(8, round((seen[2] - seen[0]) * scale)), max(8, round((seen[3] - seen[1]) * scale))
    shrink = np.diag([size[0] / (seen[2] - seen[0]), size[1] / (seen[3] - seen[1]), 1.0])
    onto = shrink @ np.array([[1, 0, -seen[0]], [0, 1, -seen[1]], [0, 0, 1.0]])  # photo to reduced part
    ours = cv2.resize(rgb[slices(seen)], size, interpolation=cv2.INTER_AREA).astype(np.float32)
    inside = cv2.resize(mask[slices(seen)].astype(np.uint8), size, interpolation=cv2.INTER_AREA) > 0
    inside = cv2.dilate(inside.astype(np.uint8), np.ones((2 * EDGE + 1,) * 2, np.uint8)) > 0
    less = min(1.0, scale)
    small = cv2.resize(other, None, fx=less, fy=less, interpolation=cv2.INTER_AREA)
    from_small = np.diag([other.shape[1] / small.shape[1], other.shape[0] / small.shape[0], 1.0])

    def looked(matrix: Homography) -> tuple[Colours, Mask]:
        way = np.linalg.inv(from_small) @ matrix @ np.linalg.inv(onto)  # reduced part to reduced other shot
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        there = cv2.warpPerspective(small, _of_middles(way), size, flags=flags).astype(np.float32)
        full = np.full(small.shape[:2], 255, np.uint8)
        return there, cv2.warpPerspective(full, _of_middles(way), size, flags=flags) > 250

    theirs, shown = looked(matrix)
    if (shown & inside).sum() < SHOWN * inside.sum() or not (shown & ~inside).any():
        return "does not show that place"
    exact = motion(judge.grey(ours), judge.grey(_toned(theirs, ours, shown & ~inside)), shown)
    if exact is not None:
        nearer = _moved(matrix, onto, exact)
        again, also = looked(nearer)
        if _error(again, ours, also & ~inside) < _error(theirs, ours, shown & ~inside):
            matrix, theirs, shown = nearer, again, also
    theirs = _toned(theirs, ours, shown & ~inside)
    noises = [judge.noise(judge.grey(one), shown & ~inside) for one in (ours, theirs)]
    bad = judge.differs(ours, theirs, shown, float(np.hypot(noises[0], noises[1])))
    round_it, in_it = (1 - float(bad[shown & part].mean()) for part in (~inside, inside))
    if round_it < SAME_ROUND or in_it < SAME_INSIDE:
        return "looks otherwise at that place: what is selected has moved or changed, or what is round it"
    return round_it * in_it, matrix


def _toned(theirs: Colours, ours: Colours, where: Mask) -> Colours:
    """Colours with the mean and the spread that those of the photo have."""
    a, b = ours[where], theirs[where]
    gain = (a.std(axis=0) + 1) / (b.std(axis=0) + 1)
    return np.asarray((theirs - b.mean(axis=0)) * gain + a.mean(axis=0), np.float32)


def _error(theirs: Colours, ours: Colours, where: Mask) -> float:
    return float(np.median(np.abs(_toned(theirs, ours, where) - ours)[where])) if where.any() else np.inf


def _moved(matrix: Homography, onto: Homography, found: NDArray[np.float32]) -> Homography:
    """The homography after a smooth motion [h, w, 2] of the reduced part."""
    cv2 = opencv()
    height, width = found.shape[:2]
    y, x = (values.ravel() for values in np.mgrid[0 : height - 1 : 9j, 0 : width - 1 : 9j])
    off = found[y.astype(int), x.astype(int)]
    places = np.stack([x + 0.5, y + 0.5], axis=1)
    back = np.linalg.inv(onto)
    here, there = (cv2.perspectiveTransform(points[None], back)[0] for points in (places, places + off))
    fitted, _ = cv2.findHomography(here, cv2.perspectiveTransform(there[None], matrix)[0], 0)
    return matrix if fitted is None else np.asarray(fitted, np.float64)
