"""A part of a photo as another shot shows it: fitted, matched in tone, and measured against what is round the hole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.alignment import judge
from mlx_moebius.alignment.blend import joined
from mlx_moebius.alignment.colours import Convert
from mlx_moebius.alignment.features import Homography
from mlx_moebius.alignment.refine import flow, motion
from mlx_moebius.alignment.shot import Shot
from mlx_moebius.alignment.tone import Curve, local_gain
from mlx_moebius.alignment.warp import Lanes, Place, warped
from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Colours, Mask

STILL = 0.12  # pixels: a shot that lies no farther off is taken over without resampling
HELPS = 0.93  # of the error is left by flow that is worth having
STAYED = 0.06  # of a hole must look otherwise in another shot: else what should go stands there, too
SAME = 0.3  # levels by which a tripod's shots may differ, so that their tones are the same
LEAST_RING = 0.25  # of what is round a hole must be seen in both shots
SOFTEST = 0.4  # of the photo's fine detail, squared, must be in the shot


@dataclass(frozen=True, slots=True)
class View:
    """What a shot shows at a place: `colours` [h, w, 3] and where it `shown` them; `belief` [h, w] in 0..1.

    Where `clipped`, highlights are lost in it. `error` is the median difference from the photo round the hole, in
    levels, `noise` that of both shots; `agrees` is the share of the surroundings that look the same. `still`: nothing
    was resampled; `exact`: nor was its tone changed. `number` is the shot's.
    """

    number: int
    colours: Colours
    shown: Mask
    clipped: Mask
    good: Mask
    belief: NDArray[np.float32]
    error: float
    noise: float
    agrees: float
    still: bool
    exact: bool


def look(
    place: Place, around: Place, shot: Shot, number: int, matrix: Homography, curve: Curve, convert: Convert | None
) -> View | str:
    """What a shot shows at a place by a homography, fitted by what is `around`; words where it cannot help there."""
    fitted = _fitted(around, shot, matrix, curve, convert)
    if isinstance(fitted, str):
        return fitted
    lanes, curve, gain = fitted
    lanes = lanes.onto(around, place)
    colours, shown, clipped = warped(place, shot, lanes, convert)
    plain, ring = colours, place.ring
    both = place.known & shown & ring
    if not both.any():
        return "does not show that place"
    colours = curve(colours) * around.onto(gain, place)
    if curve.loses:
        shown = shown & ~clipped
    exact = False
    if lanes.still and convert is None:  # the same exposure, too?
        off = np.median((place.colours - plain)[both], axis=0)
        limit = SAME + _error(place.colours, colours, both)
        exact = bool(np.abs(off).max() < SAME and _error(place.colours, plain, both) <= limit)
    return _judged(place, number, plain if exact else colours, shown, clipped, ring, lanes.still, exact)


def _fitted(
    place: Place, shot: Shot, matrix: Homography, curve: Curve, convert: Convert | None
) -> tuple[Lanes, Curve, Colours] | str:
    """Where the place lies in the shot, its tone there, and its gain [h, w, 3]; words where it is not there."""
    lanes = Lanes(matrix)
    lanes = Lanes(matrix, still=lanes.offset(place) < STILL)
    colours, shown, _ = warped(place, shot, lanes, convert)
    both, ring = place.known & shown, place.ring
    if (both & ring).sum() < LEAST_RING * ring.sum() or not (shown & place.hole).any():
        return "does not show that place"
    curve = curve.with_highlights(place.colours, colours, both)
    colours = curve(colours)
    gain = local_gain(place.colours, colours, both)
    if lanes.still:
        return lanes, curve, gain
    photo_grey = judge.grey(place.colours)
    error = _error(place.colours, colours * gain, both & ring)
    exact = motion(photo_grey, judge.grey(colours * gain), both)
    if exact is not None:
        nearer = lanes.moved(exact)
        if nearer.offset(place) < STILL:
            return Lanes(matrix, still=True), curve, gain
        again, there, _ = warped(place, shot, nearer, convert)
        again, common = curve(again), place.known & there
        change = local_gain(place.colours, again, common)
        if (less := _error(place.colours, again * change, common & ring)) < error:
            lanes, colours, both, gain, error = nearer, again, common, change, less
    more = flow(photo_grey, judge.grey(colours * gain), both)
    if more is not None:
        again, there, _ = warped(place, shot, lanes.moved(more), convert)
        if _error(place.colours, curve(again) * gain, place.known & there & ring) < HELPS * error:
            lanes = lanes.moved(more)
    return lanes, curve, gain


def _judged(
    place: Place,
    number: int,
    colours: Colours,
    shown: Mask,
    clipped: Mask,
    ring: Mask,
    still: bool,
    exact: bool = False,
) -> View | str:
    cv2 = opencv()
    photo_grey = judge.grey(place.colours)
    both = place.known & shown
    seen = both & ring
    if not seen.any():
        return "does not show that place"
    other_grey = judge.grey(colours)
    noises = judge.noise(photo_grey, seen), judge.noise(other_grey, seen)
    level = float(np.hypot(*noises))
    bad = judge.differs(place.colours, colours, both, level)
    agrees = 1 - float(bad[seen].mean())
    good = both & ~bad
    hole = place.hole & shown
    changed = judge.differs(place.colours, colours, hole, level, judge.FAR_TONE)
    if changed.sum() < STAYED * hole.sum():
        return "shows the same there"
    shown = shown & ~judge.intruder(colours, hole, seen & ~bad, seen & bad)
    belief = judge.belief(seen & ~bad, seen & bad)
    inner = cv2.erode((seen & ~bad).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    ours, theirs = (
        judge.sharpness(one, inner, noise) for one, noise in zip((photo_grey, other_grey), noises, strict=True)
    )
    if ours > 4 * noises[0] ** 2 * 0.1 + 0.5 and theirs < SOFTEST * ours and agrees > 0.5:
        return "is less sharp there"
    if not exact and ours > 0.5 and theirs > 1.3 * ours:
        colours = _softened(colours, shown, inner, ours, noises[1])
    if not exact:
        colours = joined(place.colours, colours, good, shown & ~place.known)
    error = _error(place.colours, colours, seen & ~bad) if (seen & ~bad).any() else 255.0
    return View(number, colours, shown & ~place.known, clipped, good, belief, error, level, agrees, still, exact)


def _error(a: Colours, b: Colours, where: Mask) -> float:
    """Mean over channels of the median difference, in levels."""
    if not where.any():
        return 255.0
    return float(np.median(np.abs(a[where] - b[where]), axis=0).mean())


def _softened(colours: Colours, shown: Mask, where: Mask, wanted: float, noise: float) -> Colours:
    """Colours blurred until their fine detail is as strong as wanted."""
    cv2 = opencv()
    for width in (0.4, 0.5, 0.6, 0.7, 0.8, 0.95, 1.1, 1.3, 1.6, 2.0):
        soft = cv2.GaussianBlur(colours, (0, 0), width)
        if judge.sharpness(judge.grey(soft), where, noise / 2) <= wanted:
            break
    return np.asarray(soft)
