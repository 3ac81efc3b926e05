"""A smooth surface through the surroundings of a hole, if one fits: a polynomial, fitted robustly.

What touches the hole on a short stretch, such as a rule or a shadow's corner, does not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.inpainting.synthesis.grids import Floats

Exact = NDArray[np.float64]
Points = NDArray[np.int64]
"""Rows and columns in pixels, [N, 2]."""

DEGREES = (0, 1, 2, 3, 4)
TOUCH = 0.15  # share of a hole's outline along which something else may touch it
TOGETHER = 4  # places: where the rest has not one colour, what is farther apart may be an edge that runs through
FEW = 0.1  # of the surroundings: an edge may run into the hole there
STEEPER = 1.6  # times the steepest slope round a hole: what is steeper inside joins two things
HOPELESS = 0.4
FRINGE = 16.0  # 8-bit levels that JPEG may be off by beside what was removed
RAGGED = 1.5  # what is off by about the same everywhere is another colour, not a fringe
FAR = 0.5  # share of the places farther out that must be as the surface has it
DOT, DOTTED = 44.0, 0.5  # 8-bit levels: if such a share of the places hold what is off by more, it is a pattern
GRAIN = 10.0  # 8-bit levels of noise: what is more is no grain
LEVEL = 1.0  # 8-bit levels that places round the hole may be off by
ROUNDS = 8  # of reweighted least squares, at most
SETTLED = 0.02  # levels by which a round changes less than matters
RIDGE = 1e-12
MOST, MOST_ROBUST = 4000, 500  # samples of one fit, and of the reweighted ones that say which of them are good
SAMPLES_EACH = 3  # places per coefficient
ROUNDING = 0.3  # levels: the deviation of what is rounded to whole ones
DEVIATION = 1.4826  # a normal's standard deviation over its median deviation


@dataclass(frozen=True, slots=True)
class Surface:
    """A polynomial of `degree` in (points - centre) / scale; `noise` [C] is what deviates from it, pixel by pixel."""

    degree: int
    centre: Exact
    scale: float
    coefficients: Exact
    noise: Floats

    def at(self, points: Points) -> Floats:
        """Values [N, C] in 8-bit levels."""
        basis = _basis((points - self.centre) / self.scale, self.degree)
        values: Floats = (basis @ self.coefficients).astype(np.float32)
        return values

    def steepness(self, points: Points, share: float) -> float:
        """The largest difference from a pixel to the next, but for a share of the points."""
        here = self.at(points)
        steps = [np.abs(self.at(points + step) - here).max(axis=1) for step in ([0, 1], [1, 0])]
        return float(np.quantile(np.maximum(*steps), 1 - share))


def fit(values: Floats, points: Points, close: NDArray[np.bool_], size: int, inside: Points) -> Surface | None:
    """The simplest surface that explains samples round a hole to within a level; None where none does.

    Noise averages out over places of `size` pixels. Along the outline, where JPEG leaves a fringe of what was removed,
    more is forgiven.

    Args:
        values: [N, C], in 8-bit levels.
        points: where they are.
        close: bool [N], whether a sample lies along the hole's outline.
        size: pixels along a place's side.
        inside: points of the hole, at which the surface must be certain to a level.
    """
    if len(values) > MOST:
        kept = np.sort(np.random.default_rng(0).permutation(len(values))[:MOST])
        values, points, close = values[kept], points[kept], close[kept]
    samples = values.astype(np.float64)
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    scale = max(1.0, float(np.abs(points - centre).max()))
    at, target = (points - centre) / scale, (inside - centre) / scale
    places = _Places(points, close, size)
    found: list[tuple[float, Surface]] = []
    for degree in DEGREES[::-1]:
        basis = _basis(at, degree)
        if degree and len(places.counts) < SAMPLES_EACH * basis.shape[1]:
            continue
        coefficients = _robust(basis, samples)
        good, wrong = places.explained(samples - basis @ coefficients)
        share = places.share(wrong)
        if share > HOPELESS:
            break  # a simpler surface explains no more
        if share > TOUCH or (degree and places.apart(places.close & ~good) > TOGETHER * size):
            continue
        if good.sum() < SAMPLES_EACH * basis.shape[1]:
            continue
        sound = good[places.number]
        if degree:
            coefficients = np.asarray(np.linalg.lstsq(basis[sound], samples[sound], rcond=None)[0])
        else:
            coefficients = np.asarray(np.median(samples[sound], axis=0, keepdims=True))
        off, noise = places.off(samples - basis @ coefficients, good)
        if off is None or noise.max() > GRAIN or places.dotted(samples - basis @ coefficients, good) > DOTTED:
            continue
        if (
            degree
            and _doubt(_basis((places.middles[good] - centre) / scale, degree), _basis(target, degree))
            * max(ROUNDING, off)
            > LEVEL
        ):
            continue
        surface = Surface(degree, centre, scale, coefficients, noise.astype(np.float32))
        if surface.steepness(inside, 0) <= STEEPER * surface.steepness(points[sound], FEW) + 0.05:
            found.append((off, surface))
    if not found:
        return None
    best = min(off for off, _ in found)
    return next(surface for off, surface in found[::-1] if off <= 1.25 * best + 0.05)


class _Places:
    """Small places round a hole, over which noise averages out. `number` [N] is the place of a sample; `counts` [K]."""

    def __init__(self, points: Points, close: NDArray[np.bool_], size: int) -> None:
        rows, columns = ((points - points.min(axis=0)) // size).astype(np.int64).T
        key = (rows * (columns.max(initial=0) + 1) + columns) * 2 + close
        _, self.number, self.counts = np.unique(key, return_inverse=True, return_counts=True)
        self.order = np.argsort(self.number, kind="stable")
        self.firsts = np.cumsum(self.counts) - self.counts
        self.close = close[self.order][self.firsts]
        self.middles = self.means(points.astype(np.float64))

    def means(self, values: Exact) -> Exact:
        """[N, C] -> [K, C]."""
        means: Exact = np.add.reduceat(values[self.order], self.firsts, axis=0) / self.counts[:, None]
        return means

    def medians(self, values: Exact) -> Exact:
        """[N, C] -> [K, C]."""
        # Places are moved so far apart that one sort keeps them apart.
        shift = self.number * (np.ptp(values) + 1)
        ranked = np.sort(values.T + shift, axis=1)
        middle = ranked[:, self.firsts + (self.counts - 1) // 2] + ranked[:, self.firsts + self.counts // 2]
        return (middle / 2 - shift[self.order][self.firsts]).T

    def explained(self, rest: Exact) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """From residuals [N, C]: which places the surface explains, and which places of the outline it does not.

        Both are [K]. Where the outline has a fringe but the places farther out are as they should be, the fringe is
        neither.
        """
        middle = self.medians(rest)
        noise = DEVIATION * np.median(np.abs(rest - middle[self.number]), axis=0)
        good = np.all(np.abs(middle) <= LEVEL + 3 * self._error(noise), axis=1)
        wrong = self.close & ~good
        fringe = np.all(np.abs(middle) <= FRINGE, axis=1) & wrong
        if fringe.any() and good[~self.close].sum() >= FAR * (~self.close).sum():
            off, spread = middle[fringe].mean(axis=0), middle[fringe].std(axis=0).max()
            if np.all(np.abs(off) <= 2 * LEVEL + RAGGED * spread):
                wrong = wrong & ~fringe
        return good, wrong

    def share(self, wrong: NDArray[np.bool_]) -> float:
        """The share of the outline that some of its places [K] make up."""
        return float(self.counts[wrong].sum() / self.counts[self.close].sum())

    def apart(self, places: NDArray[np.bool_]) -> float:
        """How many pixels some places [K] lie apart."""
        return float(np.ptp(self.middles[places], axis=0).max()) if places.any() else 0.0

    def off(self, rest: Exact, good: NDArray[np.bool_]) -> tuple[float | None, Exact]:
        """How far off good places are, in levels (None: more than noise and a level explain), and the noise [C]."""
        middle = self.medians(rest)
        noise = DEVIATION * np.median(np.abs(rest - middle[self.number])[good[self.number]], axis=0)
        off = np.sqrt((middle[good] ** 2).mean(axis=0))
        expected = np.sqrt((self._error(noise)[good] ** 2).mean(axis=0))
        return (None if (off > LEVEL / 2 + 1.3 * expected).any() else float(off.max())), noise

    def dotted(self, rest: Exact, good: NDArray[np.bool_]) -> float:
        """The share of good places away from the outline in which something is off by far more than grain."""
        most = np.maximum.reduceat(np.abs(rest).max(axis=1)[self.order], self.firsts)
        away = most[good & ~self.close]
        return float((away > DOT).mean()) if len(away) else 0.0

    def _error(self, noise: Exact) -> Exact:
        """The standard error of the places' medians, [K, C]."""
        return 1.25 * noise / np.sqrt(self.counts)[:, None]


def _basis(points: Exact, degree: int) -> Exact:
    """Monomials, [N, K]."""
    rows, columns = points.T
    return np.stack([rows**i * columns**j for i in range(degree + 1) for j in range(degree + 1 - i)], axis=1)


def _robust(basis: Exact, values: Exact) -> Exact:
    """Coefficients [K, C] of the least sum of distances, by reweighted least squares."""
    if basis.shape[1] == 1:
        return np.median(values, axis=0, keepdims=True)
    step = -(-len(basis) // MOST_ROBUST)
    basis, values = basis[::step], values[::step]
    weighted = basis
    fitted: Exact | None = None
    for _ in range(ROUNDS):
        square = weighted.T @ basis
        square.flat[:: len(square) + 1] += RIDGE * square.trace()  # points may lie on a line
        coefficients = np.linalg.solve(square, weighted.T @ values)
        before, fitted = fitted, basis @ coefficients
        if before is not None and np.abs(fitted - before).max() < SETTLED:
            break
        off = values - fitted
        weighted = basis / np.maximum.reduce(np.abs(off).T)[:, None].clip(LEVEL / 2)
    return coefficients


def _doubt(basis: Exact, target: Exact) -> float:
    """The largest standard error of what is predicted at `target`, for samples that deviate by 1."""
    inverse = np.linalg.pinv(basis.T @ basis)
    return float(np.sqrt(np.einsum("nk,kl,nl->n", target, inverse, target).max(initial=0)))
