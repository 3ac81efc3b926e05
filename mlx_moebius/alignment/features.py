"""How two shots of a scene lie over each other: features that both show, and the homographies that most agree on.

Features are SIFT's (Lowe, "Distinctive image features from scale-invariant keypoints", 2004), compared by their square
roots (Arandjelovic and Zisserman, "Three things everyone should know to improve object retrieval", 2012). Homographies
are found by MAGSAC++ (Barath et al., 2020). A scene with near and far things has one for each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Mask

SMALL = 700  # pixels along the longer side of the picture by which tones are compared
SIDE = 1000  # pixels along the longer side in which features are looked for
MOST = 2500  # features of a shot
RATIO = 0.8  # a match is better than the second best by this much
WITHIN = 1.5  # pixels of the reduced picture by which a match may miss a homography
LEAST = 16  # matches that agree on a homography: by chance it is 8 at most
LEAST_SHARE = 0.06  # of the matches, for a first homography
LEAST_OBJECT = 8  # matches that agree on how an object has moved
LAYERS = 3  # homographies of one pair of shots
ZOOM = 3.0  # the most that one shot may be enlarged against the other
TURN = 40.0  # degrees

Homography = NDArray[np.float64]
"""[3, 3], pixels (x, y, 1) of the photo to pixels of the other shot."""


@dataclass(frozen=True, slots=True)
class Features:
    """`points` [N, 2] in pixels of the shot (x, y), `descriptors` [N, 128]; `scale`: reduced pixels in one of them.

    `small` is the shot [h, w, 3], at most `SMALL` pixels along a side.
    """

    points: NDArray[np.float32]
    descriptors: NDArray[np.float32]
    scale: float
    small: NDArray[np.uint8]


def find_features(rgb: NDArray[np.uint8]) -> Features:
    """The features of a shot [H, W, 3]."""
    cv2 = opencv()
    scale = min(1.0, SIDE / max(rgb.shape[:2]))
    reduced = _reduced(rgb, SIDE)
    grey, small = cv2.cvtColor(reduced, cv2.COLOR_RGB2GRAY), _reduced(reduced, SMALL)
    sift = cv2.SIFT_create(nfeatures=MOST, contrastThreshold=0.02)
    keys, found = sift.detectAndCompute(grey, None)
    if found is None or not len(keys):
        return Features(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32), scale, small)
    points = (cv2.KeyPoint_convert(keys) + 0.5) / scale - 0.5
    roots = np.sqrt(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-6))
    return Features(points.astype(np.float32), roots.astype(np.float32), scale, small)


def _reduced(rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    cv2 = opencv()
    scale = min(1.0, side / max(rgb.shape[:2]))
    size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))


@dataclass(frozen=True, slots=True)
class Matches:
    """Points of the photo and of the other shot that show the same, [N, 2] each; `scale` of the photo's features."""

    here: NDArray[np.float32]
    there: NDArray[np.float32]
    scale: float


def match(here: Features, there: Features, hidden: Mask | None, hidden_there: Mask | None) -> Matches:
    """Features of both shots that match, but for those under the masks [H, W]."""
    ours, other = _outside(here, hidden), _outside(there, hidden_there)
    nothing = np.zeros((0, 2), np.float32)
    if len(ours.points) < 2 or len(other.points) < 2:
        return Matches(nothing, nothing, here.scale)
    alike = ours.descriptors @ other.descriptors.T  # of unit length: distance² = 2 - 2 alike
    rows = np.arange(len(alike))
    best = alike.argmax(axis=1)
    top = alike[rows, best]
    back = alike.argmax(axis=0)[best] == rows
    alike[rows, best] = -1
    second = alike.max(axis=1)
    good = back & (2 - 2 * top < RATIO**2 * (2 - 2 * second))
    return Matches(ours.points[good], other.points[best[good]], here.scale)


def moved_object(here: Features, there: Features, hole: Mask, scene: Homography) -> NDArray[np.float64] | None:
    """How what stands in the hole [H, W] has moved in the other shot: [2, 3], pixels to pixels.

    None if that is unknown. It is None, too, where it has moved as the scene has: a hole may hold some of the scene.
    """
    cv2 = opencv()
    found = match(here, there, ~hole, None)
    if len(found.here) < LEAST_OBJECT:
        return None
    within = 2 * WITHIN / found.scale
    turned, agree = cv2.estimateAffinePartial2D(
        found.here, found.there, method=cv2.RANSAC, ransacReprojThreshold=within, maxIters=2000
    )
    if turned is None or agree.sum() < LEAST_OBJECT:
        return None
    x, y = found.here[agree.ravel().astype(bool)].T
    with_scene = np.stack(apply(scene, x, y), axis=1)
    with_object = np.stack([x, y], axis=1) @ turned[:, :2].T + turned[:, 2]
    if np.median(np.linalg.norm(with_scene - with_object, axis=1)) < 3 * within:
        return None
    return np.asarray(turned, np.float64)


def _outside(features: Features, hidden: Mask | None) -> Features:
    if hidden is None or not len(features.points):
        return features
    x, y = np.rint(features.points).astype(int).T
    seen = ~hidden[y.clip(0, hidden.shape[0] - 1), x.clip(0, hidden.shape[1] - 1)]
    return Features(features.points[seen], features.descriptors[seen], features.scale, features.small)


def homographies(matches: Matches, size: tuple[int, int]) -> list[Homography]:
    """What maps a photo of `size` (width, height) to the other shot: most matches first; none where too few agree."""
    cv2 = opencv()
    here, there, found = matches.here, matches.there, list[Homography]()
    least = max(LEAST, LEAST_SHARE * len(here))
    while len(here) >= LEAST and len(found) < LAYERS:
        matrix, agree = cv2.findHomography(
            here * matches.scale, there * matches.scale, cv2.USAC_MAGSAC, WITHIN, maxIters=3000, confidence=0.999
        )
        if matrix is None or agree.sum() < least:
            break
        inside = agree.ravel().astype(bool)
        shrink = np.diag([matches.scale, matches.scale, 1.0])
        whole = np.linalg.inv(shrink) @ matrix @ shrink
        if is_plausible(whole, size):
            found.append(whole / whole[2, 2])
        elif not found:
            break
        here, there, least = here[~inside], there[~inside], LEAST
    return found


def is_plausible(matrix: Homography, size: tuple[int, int]) -> bool:
    """Whether a hand that holds a camera upright can have made this homography of a photo of `size`."""
    width, height = size
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], float)
    moved = corners @ matrix.T
    if (moved[:, 2] * moved[0, 2] <= 0).any():
        return False
    at = moved[:, :2] / moved[:, 2:]
    sides = np.roll(at, -1, axis=0) - at
    lengths = np.linalg.norm(sides, axis=1) / (width, height, width, height)
    turned = np.degrees(np.abs(np.angle((sides[:, 0] + 1j * sides[:, 1]) * [1, -1j, -1, 1j])))
    return bool(turned.max() < TURN and lengths.min() > 1 / ZOOM and lengths.max() < ZOOM)


def apply(matrix: Homography, x: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Points mapped by a homography: x and y, float32."""
    w = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    return (
        ((matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / w).astype(np.float32),
        ((matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / w).astype(np.float32),
    )
