"""Puts into a photo what other shots show of its hole, piece by piece, and says what was taken from where.

What no shot shows, or shows differently, stays in the hole: the network fills it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.alignment import judge
from mlx_moebius.alignment.blend import joined
from mlx_moebius.alignment.colours import Convert, converter, is_grey, rgb_levels
from mlx_moebius.alignment.features import Features, Homography, apply, homographies, match, moved_object
from mlx_moebius.alignment.shot import Shot, features_of
from mlx_moebius.alignment.tone import Curve, fit_curve
from mlx_moebius.alignment.view import View, look
from mlx_moebius.alignment.warp import Place, smaller
from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Colours, Mask, around, slices
from mlx_moebius.photos.masks import Part, components
from mlx_moebius.photos.photo import Photo

OBJECT_RIM = 200  # of a shot's side is the rim round an object that was found in it
VIEWS = 5  # of shots at a place that are compared with each other
PIECES = 48  # of a hole that are judged one by one
GAP = 24  # pixels: parts of a hole that are closer are one piece
NEAR = 80  # pixels round a piece that are compared with it as fine as they are: more than a ring
MARGIN, MOST_MARGIN = 96, 320  # pixels round a piece by which a shot is laid over it
LEAST = 0.5  # of a shot's belief, to take from it
AGREE = 0.25  # of the surroundings must look the same, at least
CLEAR = 0.12  # by which one shot must be believed more than another that shows something else
ENOUGH = 0.1  # of the hole must be shown, to come first
SMALLEST = 9  # pixels across what is taken, at least
HEAL = 7  # pixels along a seam between shots that do not agree, which the network draws


@dataclass(slots=True)
class Use:
    """What a shot gave: its `share` of the hole, and the `error` round the hole in levels (None: nothing taken).

    `why`: why it gave no more, in words; empty if it gave all that was wanted of it.
    """

    name: str
    sha256: str | None
    mask_sha256: str | None = None
    share: float = 0.0
    error: float | None = None
    noise: float | None = None
    still: bool = False
    why: str = ""

    def figures(self) -> dict[str, Any]:
        """What a file records."""
        return {
            "file": self.name,
            "sha256": self.sha256,
            "mask_sha256": self.mask_sha256,
            "share": round(self.share, 4),
            "error": None if self.error is None else round(self.error, 2),
            "noise": None if self.noise is None else round(self.noise, 2),
            "resampled": not self.still,
        }

    def line(self) -> str:
        """What people read."""
        if not self.share:
            return f"{self.name}: nothing taken, it {self.why or 'was not needed'}"
        text = f"{self.name}: {self.share:.0%} of the hole taken"
        text += f", error {self.error:.1f} levels beside a noise of {self.noise:.1f}"
        return f"{text}; the rest {self.why}" if self.why else text


def unused(uses: Sequence[Use]) -> list[str]:
    """One line for each shot that gave nothing, with the reason."""
    return [use.line() for use in uses if not use.share]


@dataclass(frozen=True, slots=True)
class Taken:
    """A photo with other shots' pixels where they are `taken`, bool [H, W], and what each shot gave."""

    photo: Photo
    taken: Mask
    uses: list[Use] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Aligned:
    shot: Shot
    matrices: list[Homography]
    curve: Curve
    convert: Convert | None


def take_from(photo: Photo, mask: Mask, shots: Sequence[Shot], opaque: bool = False) -> Taken:
    """Fill of the hole, `mask` [H, W], what the shots show.

    With `opaque`, what is taken becomes opaque. Raises MoebiusError where OpenCV is missing.
    """
    taken = np.zeros_like(mask)
    uses = [Use(shot.name, shot.sha256, shot.mask_sha256) for shot in shots]
    if not shots or not mask.any():
        return Taken(photo, taken, uses)
    our_features = features_of(photo)
    aligned: list[_Aligned | None] = [
        _align(photo, mask, our_features, shot, use) for shot, use in zip(shots, uses, strict=True)
    ]
    if not any(aligned):
        return Taken(photo, taken, uses)
    counts = np.zeros(len(shots))
    errors: list[list[tuple[float, float, float]]] = [[] for _ in shots]
    result = photo
    for piece in _pieces(mask):
        left, top, right, bottom = piece.box
        place = _place(photo, mask, piece, NEAR)
        wide = int(np.clip(0.35 * max(right - left, bottom - top), MARGIN, MOST_MARGIN))
        surroundings = _place(photo, mask, piece, wide).reduced()
        views = [
            view
            for number, one_aligned in enumerate(aligned)
            if one_aligned
            for view in _looked(place, surroundings, one_aligned, number, uses[number])
        ]
        views = sorted(views, key=lambda view: -view.shown[place.hole].mean() * view.agrees / (view.error + 1))[:VIEWS]
        colours, labels = _chosen(place, views)
        if not (labels >= 0).any():
            continue
        for view_number, view in enumerate(views):
            count = int((labels == view_number).sum())
            counts[view.number] += count
            if count:
                errors[view.number].append((count, view.error, view.noise))
                uses[view.number].still |= view.still
        own_weights = (labels >= 0).astype(np.float32)
        result = result.composite(colours, own_weights, place.box, opaque)
        taken[slices(place.box)] |= labels >= 0
    for number, use in enumerate(uses):
        use.share = counts[number] / mask.sum()
        if errors[number]:
            count, error, noise = np.array(errors[number]).T
            use.error, use.noise = float(np.average(error, weights=count)), float(np.average(noise, weights=count))
    return Taken(result, taken, uses)


def _align(photo: Photo, mask: Mask, our_features: Features, shot: Shot, use: Use) -> _Aligned | None:
    """How a shot lies over the photo, and its tone; None, with the reason in `use`, where that is unknown."""
    if is_grey(shot.photo) and not is_grey(photo):
        use.why = "is black and white"
        return None
    matches = match(our_features, shot.features, mask, shot.hidden)
    matrices = homographies(matches, (photo.width, photo.height))
    if not matrices:
        use.why = "shows another scene, or too little of this one"
        return None
    moved = moved_object(our_features, shot.features, mask, matrices[0])
    if moved is not None:
        shot = Shot(shot.photo, shot.name, shot.sha256, _also_hidden(shot, mask, moved))
    convert = converter(shot.photo, photo)
    curve = _curve(photo, mask, shot, matrices[0], convert)
    if curve is None:
        use.why = "overlaps too little"
        return None
    return _Aligned(shot, matrices, curve, convert)


def _also_hidden(shot: Shot, mask: Mask, moved: NDArray[np.float64]) -> Mask:
    """What a shot hides with the photo's hole where the object in it has moved to."""
    cv2 = opencv()
    size = shot.photo.width, shot.photo.height
    there = cv2.warpAffine(mask.astype(np.uint8), moved, size, flags=cv2.INTER_NEAREST)
    rim = max(3, max(size) // OBJECT_RIM) | 1
    hidden = cv2.dilate(there, np.ones((rim, rim), np.uint8)) > 0
    return hidden if shot.hidden is None else hidden | shot.hidden


def _curve(photo: Photo, mask: Mask, shot: Shot, matrix: Homography, convert: Convert | None) -> Curve | None:
    """The tone curve from a shot to the photo, from reduced pictures."""
    cv2 = opencv()
    small, other = features_of(photo).small.astype(np.float32), shot.features.small
    scale, factor = small.shape[1] / photo.width, other.shape[1] / shot.photo.width
    height, width = small.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    there = apply(matrix, (x + 0.5) / scale - 0.5, (y + 0.5) / scale - 0.5)
    across, down = ((axis + 0.5) * factor - 0.5 for axis in there)
    both = (across >= 1) & (down >= 1) & (across < other.shape[1] - 2) & (down < other.shape[0] - 2)
    both &= ~smaller(mask, (width, height))
    warped = cv2.remap(other, across, down, cv2.INTER_LINEAR).astype(np.float32)
    if shot.hidden is not None:
        hidden = smaller(shot.hidden, other.shape[1::-1]).astype(np.float32)
        both &= cv2.remap(hidden, across, down, cv2.INTER_LINEAR) == 0
    return fit_curve(small, convert(warped) if convert else warped, both)


def _pieces(mask: Mask) -> list[Part]:
    """The pieces of a hole; what is near each other is one piece. They hold some of what is not in the hole, too."""
    cv2 = opencv()
    gap = GAP
    while True:
        near = cv2.dilate(mask.astype(np.uint8), np.ones((gap + 1, gap + 1), np.uint8)) > 0
        parts = components(near)
        if len(parts) <= PIECES or gap > max(mask.shape):
            return parts
        gap *= 2


def _place(photo: Photo, mask: Mask, piece: Part, margin: int) -> Place:
    """A piece of the hole with what is round it."""
    box = around(piece.box, margin, photo.width, photo.height)
    hole = np.zeros((box[3] - box[1], box[2] - box[0]), bool)
    hole[slices(piece.box, box[:2])] = piece.mask()
    hidden = mask[slices(box)]
    known = ~hidden
    if (alpha := photo.alpha()) is not None:
        known &= alpha[slices(box)] == 255
    return Place(box, rgb_levels(photo, box), hole & hidden, known)


def _looked(place: Place, surroundings: Place, aligned: _Aligned, number: int, use: Use) -> list[View]:
    """What a shot shows of a place, by each of its homographies that holds there."""
    views = []
    reasons = []
    for matrix in aligned.matrices:
        found = look(place, surroundings, aligned.shot, number, matrix, aligned.curve, aligned.convert)
        if isinstance(found, str):
            reasons.append(found)
        elif found.agrees < AGREE:
            reasons.append("differs round it (parallax, or something moved)")
        else:
            views.append(found)
    if not views and reasons:
        use.why = use.why or reasons[0]
    return views


def _chosen(place: Place, views: Sequence[View]) -> tuple[Colours, Any]:
    """The colours to put in, [h, w, 3], and whose they are, [h, w]: the number of a view, or -1 where none is taken."""
    labels = np.full(place.hole.shape, -1, np.int16)
    colours = place.colours.copy()
    if not views:
        return colours, labels
    believed = _believed(place, views)
    order = sorted(range(len(views)), key=lambda index: _worth(views[index], believed[index].sum() / place.hole.sum()))
    for clipped in (False, True):  # what is clipped is second choice
        for index in order:
            view = views[index]
            take = believed[index] & (labels < 0) & (clipped | ~view.clipped)
            take &= _opened(take | (labels >= 0))
            if take.any():
                shown = (
                    view.colours
                    if view.exact
                    else joined(colours, view.colours, view.good | ((labels >= 0) & view.shown), take)
                )
                colours[take] = shown[take]
                labels[take] = index
    labels[_torn(place, views, labels)] = -1
    return colours, labels


def _worth(view: View, share: float) -> float:
    """The less, the sooner a view is taken from: the closest to the photo first, if it shows enough of the hole."""
    return view.error / view.agrees + (0 if share > ENOUGH else 100)


def _opened(mask: Mask) -> Mask:
    """A mask without what is thinner than `SMALLEST`."""
    cv2 = opencv()
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((SMALLEST,) * 2, np.uint8)) > 0)


def _believed(place: Place, views: Sequence[View]) -> list[Mask]:
    """Where each view is to be taken: it is believed, and other shots do not show something else.

    More shots decide against fewer; among as many, the one that what is round the hole speaks for.
    """
    numbers = sorted({view.number for view in views})
    shape = (len(views), len(numbers), *place.hole.shape)
    agree, against, most = np.zeros(shape, bool), np.zeros(shape, bool), np.zeros(shape, np.float32)
    for a, one in enumerate(views):
        for b, other in enumerate(views[:a]):
            if one.number == other.number:
                continue
            both = place.hole & one.shown & other.shown
            different = judge.differs(one.colours, other.colours, both, max(one.noise, other.noise), judge.FAR_TONE)
            for ours, their, belief in ((a, other.number, other.belief), (b, one.number, one.belief)):
                at = ours, numbers.index(their)
                agree[at] |= both & ~different
                against[at] |= both & different
                most[at] = np.where(both & different, np.maximum(most[at], belief), most[at])
    result = []
    for index, view in enumerate(views):
        votes = agree[index].sum(axis=0) + 1
        opposed = against[index] & ~agree[index] & (most[index] >= LEAST)
        stronger = np.where(opposed, most[index], 0).max(axis=0) < view.belief - CLEAR
        count = opposed.sum(axis=0)
        wins = (count == 0) | (votes > count) | ((votes == count) & stronger)
        result.append(place.hole & view.shown & (view.belief >= LEAST) & wins)
    return result


def _torn(place: Place, views: Sequence[View], labels: Any) -> Mask:
    """Pixels along seams between views that do not show the same there."""
    cv2 = opencv()
    torn = np.zeros_like(place.hole)
    kernel = np.ones((3, 3), np.uint8)
    for a in range(len(views)):
        for b in range(a):
            edge = cv2.dilate((labels == a).astype(np.uint8), kernel) & cv2.dilate(
                (labels == b).astype(np.uint8), kernel
            )
            if edge.any():
                both = views[a].shown & views[b].shown
                different = judge.differs(views[a].colours, views[b].colours, both, views[a].noise, judge.FAR_TONE)
                torn |= (edge > 0) & different
    if torn.any():
        torn = cv2.dilate(torn.astype(np.uint8), np.ones((HEAL, HEAL), np.uint8)) > 0
    return torn & place.hole
