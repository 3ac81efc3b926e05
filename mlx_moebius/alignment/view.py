"""A part of a photo as another shot shows it: warped, matched in tone, and measured against what is round the hole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.alignment import judge
from mlx_moebius.alignment.blend import joined
from mlx_moebius.alignment.colours import Convert, rgb_levels
from mlx_moebius.alignment.features import Homography, apply
from mlx_moebius.alignment.opencv import opencv
from mlx_moebius.alignment.refine import Motion, flow, motion
from mlx_moebius.alignment.shot import Shot
from mlx_moebius.alignment.tone import CLIPPED, Curve, local_gain
from mlx_moebius.photos.geometry import Box, Colours, Mask

STILL = 0.12  # pixels: a shot that lies no farther off is taken over without resampling
HELPS = 0.93  # of the error is left by flow that is worth having
STAYED = 0.06  # of a hole must look otherwise in another shot: else what should go stands there, too
SAME = 0.3  # levels by which a tripod's shots may differ, so that their tones are the same
MARGIN = 6  # pixels round the part of a shot that is warped
RING = 64  # pixels round a hole by which a shot is judged
LEAST_RING = 0.25  # of what is round a hole must be seen in both shots
SOFTEST = 0.4  # of the photo's fine detail, squared, must be in the shot
AREA = 15  # pixels across
OWN_RIM = 5  # pixels round a shot's own mask that are not taken either


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a photo: its box, its colours [h, w, 3], the piece of the hole in it, and what of it is known."""

    box: Box
    colours: Colours
    hole: Mask
    known: Mask

    @property
    def ring(self) -> Mask:
        """What is known close round the piece."""
        cv2 = opencv()
        near = cv2.dilate(self.hole.astype(np.uint8), np.ones((2 * RING + 1, 2 * RING + 1), np.uint8)) > 0
        return self.known & near


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
    place: Place, shot: Shot, number: int, matrix: Homography, curve: Curve, convert: Convert | None
) -> View | str:
    """What a shot shows at a place by a homography; words where it cannot help there."""
    still = is_still(place, matrix)
    lanes = _lanes(place.box, matrix)
    colours, shown, clipped = _warped(place, shot, lanes, curve, convert, still)
    both = place.known & shown
    ring, photo_grey = place.ring, judge.grey(place.colours)
    if (both & ring).sum() < LEAST_RING * ring.sum() or not (shown & place.hole).any():
        return "does not show that place"
    gain = local_gain(place.colours, colours, both)
    exact = None if still else motion(photo_grey, judge.grey(colours * gain), both)
    if exact is not None:
        still = bool(np.abs(exact + _offset(place.box, matrix)).max() < STILL)
        nearer = _moved(lanes, exact)
        again, there, white = _warped(place, shot, nearer, curve, convert, still)
        common = place.known & there
        change = local_gain(place.colours, again, common)
        if still or _error(place.colours, again * change, common & ring) < _error(
            place.colours, colours * gain, both & ring
        ):
            lanes, colours, shown, clipped, both, gain = nearer, again, there, white, common, change
    colours = colours * gain
    if still and convert is None:
        plain = rgb_levels(shot.photo, place.box) if _covers(shot, place.box) else colours
        off = np.median((place.colours - plain)[both & ring], axis=0) if (both & ring).any() else np.full(3, 9)
        if np.abs(off).max() < SAME and _error(place.colours, plain, both & ring) <= SAME + _error(
            place.colours, colours, both & ring
        ):
            return _judged(place, number, plain, shown, clipped, ring, still, exact=True)
    before = _error(place.colours, colours, both & ring)
    if not still:
        more = flow(photo_grey, judge.grey(colours), both)
        if np.abs(more[both]).max(initial=0) > 0.05:
            again, there, white = _warped(place, shot, _moved(lanes, more), curve, convert, False)
            again = again * gain
            if _error(place.colours, again, place.known & there & ring) < HELPS * before:
                colours, shown, clipped, both = again, there, white, place.known & there
    return _judged(place, number, colours, shown, clipped, ring, still)


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
    own, theirs = (
        judge.sharpness(each, inner, noise) for each, noise in zip((photo_grey, other_grey), noises, strict=True)
    )
    if own > 4 * noises[0] ** 2 * 0.1 + 0.5 and theirs < SOFTEST * own and agrees > 0.5:
        return "is less sharp there"
    if not exact and own > 0.5 and theirs > 1.3 * own:
        colours = _softened(colours, shown, inner, own, noises[1])
    if not exact:
        colours = joined(place.colours, colours, good, shown & ~place.known)
    error = _error(place.colours, colours, seen & ~bad) if (seen & ~bad).any() else 255.0
    return View(number, colours, shown & ~place.known, clipped, good, belief, error, level, agrees, still, exact)


def _covers(shot: Shot, box: Box) -> bool:
    return box[2] <= shot.photo.width and box[3] <= shot.photo.height


def is_still(place: Place, matrix: Homography) -> bool:
    """Whether a homography leaves a place where it is."""
    return bool(np.abs(_offset(place.box, matrix)).max() < STILL)


def _offset(box: Box, matrix: Homography) -> Motion:
    """How far right and down a homography moves each pixel of a box, [h, w, 2]."""
    x, y = _grid(box)
    return np.stack([there - here for there, here in zip(apply(matrix, x, y), (x, y), strict=True)], axis=-1)


def _grid(box: Box) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    x, y = np.meshgrid(np.arange(box[0], box[2], dtype=np.float32), np.arange(box[1], box[3], dtype=np.float32))
    return x, y


@dataclass(frozen=True, slots=True)
class _Lanes:
    """Where in the other shot each pixel of a box lies: a homography of the pixel plus a motion."""

    box: Box
    matrix: Homography
    motion: Motion | None

    def places(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        x, y = _grid(self.box)
        if self.motion is not None:
            x, y = x + self.motion[..., 0], y + self.motion[..., 1]
        across, down = apply(self.matrix, x, y)
        return across, down


def _lanes(box: Box, matrix: Homography) -> _Lanes:
    return _Lanes(box, matrix, None)


def _moved(lanes: _Lanes, more: Motion) -> _Lanes:
    """The lanes with a motion before them: content of the box lies `more` beyond where it was looked for."""
    if lanes.motion is None:
        return _Lanes(lanes.box, lanes.matrix, more)
    cv2 = opencv()
    height, width = more.shape[:2]
    x, y = _grid((0, 0, width, height))
    before = cv2.remap(
        lanes.motion, x + more[..., 0], y + more[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return _Lanes(lanes.box, lanes.matrix, more + before)


def _warped(
    place: Place, shot: Shot, lanes: _Lanes, curve: Curve, convert: Convert | None, still: bool
) -> tuple[Colours, Mask, Mask]:
    """The shot's colours at a place, as the photo's tone has them, where it shows any, and where they are clipped."""
    cv2 = opencv()
    height, width = place.hole.shape
    photo = shot.photo
    if still:
        x, y = _grid(lanes.box)
    else:
        x, y = lanes.places()
    inside = (x >= 0) & (y >= 0) & (x <= photo.width - 1) & (y <= photo.height - 1) & np.isfinite(x + y)
    colours = np.zeros((height, width, 3), np.float32)
    if not inside.any():
        return colours, inside, inside
    left, top = (max(0, int(each[inside].min()) - MARGIN) for each in (x, y))
    right = min(photo.width, int(x[inside].max()) + MARGIN + 1)
    bottom = min(photo.height, int(y[inside].max()) + MARGIN + 1)
    part = (left, top, right, bottom)
    source = rgb_levels(photo, part)
    here = np.clip(x - left, -1, right - left).astype(np.float32), np.clip(y - top, -1, bottom - top).astype(np.float32)
    colours = cv2.remap(source, *here, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
    hidden = np.zeros(source.shape[:2], np.uint8)
    if shot.hidden is not None:
        rim = np.ones((2 * OWN_RIM + 1, 2 * OWN_RIM + 1), np.uint8)
        hidden |= cv2.dilate(shot.hidden[top:bottom, left:right].astype(np.uint8), rim)
    if (alpha := photo.alpha()) is not None:
        hidden |= (alpha[top:bottom, left:right] < 255).astype(np.uint8)
    hidden = cv2.remap(hidden * 255, *here, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) > 0
    if convert is not None:
        colours = convert(colours)
    clipped = _area(np.asarray((colours >= CLIPPED).any(axis=-1)))
    shown = inside & ~hidden
    curve = curve.with_highlights(place.colours, colours, place.known & shown)
    return curve(colours), shown & ~clipped if curve.loses else shown, clipped


def _area(mask: Mask) -> Mask:
    """Where a mask is set in some of the pixels round: noise makes it a matter of chance in each of them."""
    share = opencv().boxFilter(mask.astype(np.float32), -1, (AREA, AREA))
    return np.asarray(share > 0.1)


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
