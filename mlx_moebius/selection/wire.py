"""A wire, followed from one place on it or two, to where it ends or leaves the photo.

Between two places a wire hangs in a curve close to a parabola: the one along which the photo has most of a ridge is
found first, then the best path near it (`strips.py`). From its ends the wire is followed in steps, as long as it stays
as distinct as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.errors import MoebiusError
from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.selection.strips import CLEAR, Floats, Strip, best_path, ridges, strip

Points = NDArray[np.float64]
"""[N, 2], x and y in pixels."""

DARK, LIGHT, EITHER = KINDS = (0, 1, 2)  # than what is behind it; or now darker and now lighter
REDUCTIONS = (1, 2, 4, 8)  # of the photo: a wire is looked for where it is one to eight pixels wide
CLICK = 5  # pixels: how far a click may miss the wire
FARTHER = 0.25  # how much clearer a wire has to be that is missed by so much
SAG = 0.12  # of a span: how far a wire may hang from the straight line
LEEWAY = 0.005  # of a span: how far it may be from a parabola
DEGREE = 3  # of the curve through a span: a parabola seen from aside
SOME = 4  # pixels along a long span: every so many decide which curve it is
ENOUGH = 0.5  # of perfect clarity: coarser photos need not be looked at
CLEARLY = 0.8  # a coarser photo has to show a wire so much better
HALF = 6.0  # levels: a ridge of this contrast counts half of a perfect one
ALIKE = 40.0  # levels by which the colour of a wire varies
BEND = 0.15  # what a step up or down costs, in perfect ridges
STEP = 64  # pixels by which a wire is followed
FAINT = 0.15  # of the contrast so far: less is no longer the wire
CLEARER = 3.0  # how much the wire stands out of what is beside it, in standard deviations
GAP = 2  # steps without the wire after which it has ended
SEED = 40  # pixels to either side of a single click, in which the direction is found
LEAST_CONTRAST = 2.0  # levels: fainter ridges are not followed
PIECE = 96  # pixels of a wire for which a width is measured
WIDEST = 24  # pixels, of the reduced photo
RIM = 1.0  # pixels of blur that belong to the wire on either side


@dataclass(frozen=True, eq=False)
class Wire:
    """A wire: its middle line `points` [N, 2] in pixels of the photo, its `widths` [N], how far the photo was
    reduced to see it best, and which of `KINDS` it is.
    """

    points: Points
    widths: NDArray[np.float64]
    reduction: int = 1
    kind: int = DARK

    def mask(self, size: tuple[int, int]) -> Mask:
        """The wire as bool [H, W], for a photo of (height, width)."""
        cv2 = opencv()
        drawn = np.zeros(size, np.uint8)
        fixed = np.rint(self.points * 16).astype(np.int32)
        for (a, b), width in zip(pairwise(fixed), self.widths, strict=False):
            thickness = max(1, round(width + 2 * RIM))
            cv2.line(drawn, a.tolist(), b.tolist(), 1, thickness, cv2.LINE_8, 4)
        return drawn > 0


@dataclass(frozen=True, eq=False)
class _Traced:
    """A piece of a wire in a reduced photo: points, ridge contrast in levels along them, and its kind of ridge.

    `clarity` says how much it stands out of what is beside it, at most 1.
    """

    points: Points
    contrast: Floats
    kind: int
    clarity: float

    @property
    def strength(self) -> float:
        return float(np.median(self.contrast))


def follow_wire(
    rgb: NDArray[np.uint8],
    places: Sequence[tuple[float, float]],
    reductions: Sequence[int] = REDUCTIONS,
    sag: float = SAG,
    kinds: Sequence[int] = KINDS,
) -> Wire:
    """The wire below one place or two (x, y), in a photo uint8 [H, W, 3].

    Args:
        rgb: the photo.
        places: where it is clicked on.
        reductions: of the photo, in which a wire is looked for.
        sag: how far it may hang from the straight line between two places, of their distance.
        kinds: of wires that are looked for between two places.

    Raises MoebiusError for places outside the photo, and where no wire is there.
    """
    cv2 = opencv()
    clicks = np.array(places, np.float64).reshape(-1, 2)
    height, width = rgb.shape[:2]
    if not 1 <= len(clicks) <= 2:
        raise MoebiusError("a wire is followed from one place or two")
    if (clicks < 0).any() or (clicks >= (width, height)).any():
        raise MoebiusError(f"a place is outside the photo ({width} x {height} pixels)")
    if len(clicks) == 2 and np.linalg.norm(clicks[1] - clicks[0]) < CLICK:
        clicks = clicks[:1]
    best: tuple[float, int, NDArray[np.uint8], _Traced] | None = None
    for reduction in reductions:
        size = max(1, width // reduction), max(1, height // reduction)
        image = rgb if reduction == 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        at = (clicks + 0.5) / reduction - 0.5
        found = _between(image, at[0], at[1], sag, kinds) if len(at) == 2 else _through(image, at[0])
        score = found.clarity * CLEARLY ** np.log2(reduction)
        if best is None or score > best[0]:
            best = score, reduction, image, found
        if score > ENOUGH:
            break
    assert best is not None
    _, reduction, image, found = best
    if found.strength < LEAST_CONTRAST:
        raise MoebiusError("there is no wire at that place: click on it, or at two places on it")
    points = _smooth(_followed(image, found))
    widths = _widths(image, points)
    return Wire((points + 0.5) * reduction - 0.5, widths * reduction, reduction, found.kind)


def _between(image: NDArray[np.uint8], a: Points, b: Points, sag: float, wanted: Sequence[int]) -> _Traced:
    """The wire from `a` to `b`, at most `sag` of their distance from the straight line."""
    most = int(sag * np.linalg.norm(b - a))
    here = strip(image, a, b, most + 2 * CLICK)
    share = np.linspace(0, 1, here.length)
    curves = np.rint(here.half + np.arange(-most, most + 1)[:, None] * 4 * share * (1 - share)).astype(np.int64)
    kinds = [(kind, contrast) for kind, contrast in enumerate(_kinds(here)) if kind in wanted]
    found = [_hanging(here, contrast, curves, kind) for kind, contrast in kinds]
    alike = _alike(here, max(found, key=lambda candidate: candidate.clarity))
    again = [_hanging(here, contrast * alike, curves, kind) for kind, contrast in kinds]
    return max(again, key=lambda candidate: candidate.clarity)


def _hanging(here: Strip, contrast: Floats, curves: NDArray[np.int64], kind: int) -> _Traced:
    """The wire near that of `curves` [N, length], rows of a strip, along which the contrast is highest."""
    some = np.arange(0, here.length, SOME if here.length > 100 * SOME else 1)
    near = _widened(contrast[:, some] / (contrast[:, some] + HALF), CLICK)
    best = int(near[curves[:, some], np.arange(len(some))].mean(axis=1).argmax())
    rough = _near_curve(contrast, curves[best], CLICK + int(LEEWAY * here.length))
    return _traced(here, contrast, _near_curve(contrast, _fitted(contrast, rough), 2), kind)


def _alike(here: Strip, wire: _Traced) -> Floats:
    """How much each pixel of a strip has the colour of a wire, where that is most distinct: 0 to 1."""
    rows = here.rows(wire.points)
    clear = wire.contrast >= np.median(wire.contrast)
    colour = np.median(here.pixels[rows, np.arange(here.length)][clear], axis=0)
    distance = np.linalg.norm(here.pixels - colour, axis=-1)
    return np.exp(-0.5 * (distance / ALIKE) ** 2)


def _through(image: NDArray[np.uint8], at: Points) -> _Traced:
    """The wire through `at`, for some pixels to either side."""
    best: tuple[float, Strip, Floats, int, int] | None = None
    nearness = 1 - FARTHER * np.abs(np.arange(-CLICK, CLICK + 1)) / CLICK
    for angle in np.arange(0, 180, 4) * (np.pi / 180):
        along = SEED * np.array([np.cos(angle), np.sin(angle)])
        here = strip(image, at - along, at + along, CLICK + 8)
        for kind, contrast in enumerate(ridges(here.pixels)):
            gain = contrast / (contrast + HALF)
            level = _widened(gain, 1).mean(axis=1)[here.half - CLICK : here.half + CLICK + 1]
            level = level * nearness
            row = int(level.argmax())
            if best is None or level[row] > best[0]:
                best = float(level[row]), here, contrast, here.half - CLICK + row, kind
    assert best is not None
    _, here, contrast, row, kind = best
    return _traced(here, contrast, _near_curve(contrast, np.full(here.length, float(row)), 4), kind)


def _kinds(here: Strip) -> tuple[Floats, Floats, Floats]:
    """Contrast of a dark wire, of a light one, and of one that is now darker and now lighter than what is behind."""
    dark, light = ridges(here.pixels)
    return dark, light, np.maximum(dark, light)


def _near_curve(contrast: Floats, curve: NDArray[np.float64], reach: int) -> NDArray[np.int64]:
    """The rows of the best path through a strip within `reach` rows of a curve."""
    columns = np.arange(contrast.shape[1])
    rows = np.rint(curve).astype(np.int64)[None] + np.arange(-reach, reach + 1)[:, None]
    local: Floats = np.where(
        (rows >= 0) & (rows < len(contrast)), contrast[rows.clip(0, len(contrast) - 1), columns], np.float32(0)
    )
    along: NDArray[np.int64] = rows[best_path(local / (local + HALF), BEND), columns]
    return along.clip(1, len(contrast) - 2)


def _fitted(contrast: Floats, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """A smooth curve through the rows where the contrast is high; it bridges what is hidden."""
    columns = np.arange(len(rows), dtype=np.float64)
    weight: Floats = contrast[rows, columns.astype(np.int64)]
    weight = weight / (weight + np.float32(HALF)) + np.float32(1e-3)
    curve = rows.astype(np.float64)
    for _ in range(5):
        fit = np.polynomial.Polynomial.fit(columns, rows, DEGREE, w=weight / (1 + np.abs(rows - curve)))
        curve = fit(columns)
    return np.asarray(curve)


def _traced(here: Strip, contrast: Floats, rows: NDArray[np.int64], kind: int) -> _Traced:
    """Rows of a strip as points of the photo, to a fraction of a pixel."""
    columns = np.arange(here.length)
    above, middle, below = (contrast[rows + step, columns] for step in (-1, 0, 1))
    bend = above - 2 * middle + below
    fine = np.where(bend < -1e-3, (above - below) / (2 * np.where(bend < -1e-3, bend, 1)), 0).clip(-0.5, 0.5)
    clear = contrast / (contrast + CLEAR)
    clarity = float(clear[rows, columns].mean() - _beside(clear, rows).mean())
    return _Traced(here.points(rows + fine), middle.astype(np.float32), kind, clarity)


def _beside(values: Floats, rows: NDArray[np.int64]) -> Floats:
    """Values [8, N] at eight distances from a path through a strip, which are too far for what belongs to it."""
    columns = np.arange(len(rows))
    shifts = (-13, -11, -9, -7, 7, 9, 11, 13)
    return np.stack([values[(rows + shift).clip(0, len(values) - 1), columns] for shift in shifts])


def _followed(image: NDArray[np.uint8], seed: _Traced) -> Points:
    """A traced piece with what follows at both of its ends."""
    before = list(_steps(image, seed.points[::-1], seed))
    after = list(_steps(image, seed.points, seed))
    return np.concatenate([*(piece[::-1] for piece in before[::-1]), seed.points, *after])


def _steps(image: NDArray[np.uint8], points: Points, seed: _Traced) -> Iterator[Points]:
    """What follows the last of `points`, step by step, to where the wire ends or leaves the photo."""
    height, width = image.shape[:2]
    missing: list[Points] = []
    while len(missing) <= GAP:
        start, along, turn = _ahead(points)
        here = strip(image, start, start + STEP * along, CLICK + 12)
        contrast = _kinds(here)[seed.kind]
        curve = here.half + turn * np.arange(here.length) ** 2 / 2
        rows = _near_curve(contrast, curve, CLICK if missing else 3)
        found = _traced(here, contrast, rows, seed.kind).points
        within = (found > -0.5) & (found < (width - 0.5, height - 0.5))
        inside: NDArray[np.bool_] = np.logical_and(within[:, 0], within[:, 1])
        count = len(inside) if inside.all() else int(inside.argmin())
        distinct = _distinct(contrast[:, :count], rows[:count], max(LEAST_CONTRAST, FAINT * seed.strength))
        step = found[1:count]
        points = np.concatenate([points, step])
        whole = distinct.mean() >= 0.7 if count else False
        ends = count if whole else _end_of(distinct)
        if ends > 1 and (whole or not missing):
            yield from missing
            missing = []
            yield step[: ends - 1]
        if count < len(inside):
            return
        if not whole:
            missing.append(step[max(0, ends - 1) :] if not missing else step)


def _distinct(contrast: Floats, rows: NDArray[np.int64], least: float) -> NDArray[np.bool_]:
    """Where a path through a strip stands out of the rows beside it, and has at least a contrast."""
    if not len(rows):
        return np.zeros(0, bool)
    columns = np.arange(len(rows))
    gain = contrast / (contrast + HALF)
    level = np.sort(_beside(gain, rows).mean(axis=1))[:-3]  # the others may be another wire beside it
    stands_out = (
        gain[rows, columns].mean() > level.mean() + CLEARER * max(float(level.std()), 0.03) if len(rows) else False
    )
    return np.asarray((contrast[rows, columns] >= least) & stands_out)


def _end_of(distinct: NDArray[np.bool_]) -> int:
    """How many pixels still belong to a wire that ends in this step."""
    if not len(distinct):
        return 0
    share = np.convolve(distinct, np.ones(9) / 9, "same")
    return len(share) if (share >= 0.5).all() else int((share < 0.5).argmax())


def _ahead(points: Points) -> tuple[Points, Points, float]:
    """Where a line ends, its direction there, and how it turns (per pixel), from its last pixels."""
    recent = points[-400:]
    chord = recent[-1] - recent[0]
    along = chord / max(float(np.linalg.norm(chord)), 1e-9)
    across = np.array([-along[1], along[0]])
    x, y = (recent - recent[-1]) @ along, (recent - recent[-1]) @ across
    degree = 2 if len(recent) >= 200 else 1
    fitted = np.polynomial.Polynomial.fit(x, y, degree).convert().coef
    fitted = np.pad(fitted, (0, 3 - len(fitted)))
    direction = along + fitted[1] * across
    return recent[-1] + fitted[0] * across, direction / np.linalg.norm(direction), float(2 * fitted[2])


def _smooth(points: Points) -> Points:
    """Points without the jitter of single pixels, one for each pixel of length."""
    ends = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.arange(0, ends[-1] + 1)
    even = np.column_stack([np.interp(at, ends, points[:, axis]) for axis in (0, 1)])
    return _blurred(even)


def _blurred(points: Points) -> Points:
    reach = min(12, len(points) - 1)
    mirrored = np.concatenate(
        [2 * points[0] - points[reach:0:-1], points, 2 * points[-1] - points[-2 : -reach - 2 : -1]]
    )
    weight = np.exp(-0.5 * (np.arange(-reach, reach + 1) / 5) ** 2)
    return np.column_stack([np.convolve(mirrored[:, axis], weight / weight.sum(), "valid") for axis in (0, 1)])


def _widths(image: NDArray[np.uint8], points: Points) -> NDArray[np.float64]:
    """The width at each point: where the mean profile across a piece of the wire is at half of its height."""
    cv2 = opencv()
    slope = np.gradient(points, axis=0)
    across = np.column_stack([-slope[:, 1], slope[:, 0]]) / np.linalg.norm(slope, axis=1)[:, None].clip(1e-9)
    reach = np.arange(-WIDEST, WIDEST + 0.25, 0.5)
    places = (points[:, None] + reach[:, None] * across[:, None]).astype(np.float32)
    widths = np.empty(len(points))
    for first in range(0, len(points), PIECE):
        piece = places[first : first + PIECE]
        pixels = cv2.remap(image, piece[..., 0], piece[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        profile = np.median(pixels.astype(np.float32), axis=0)
        widths[first : first + PIECE] = _half_width(profile) / 2
    usual = float(np.median(widths))
    return widths.clip(max(1.0, 0.7 * usual), 1.4 * usual)


def _half_width(profile: Floats) -> float:
    """Samples between the places where a profile [N, C] is half way from its middle to its surroundings."""
    middle = len(profile) // 2
    difference = np.abs(profile - profile[middle])  # rises on both sides of the wire
    channel = int(np.minimum(difference[:middle].max(axis=0), difference[middle:].max(axis=0)).argmax())
    rise = difference[:, channel]
    sides = rise[middle::-1], rise[middle:]
    steps = []
    for side in sides:
        most = float(side[: 2 * WIDEST // 2].max())
        steps.append(int((side >= most / 2).argmax()) if most > 0 else 1)
    return float(max(2, sum(steps) - 1))


def _widened(gain: Floats, reach: int) -> Floats:
    cv2 = opencv()
    return np.asarray(cv2.dilate(gain, np.ones((2 * reach + 1, 1), np.uint8)))
