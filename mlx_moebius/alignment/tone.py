"""Tone: what exposure, white balance and vignette have changed between two shots.

A curve a channel for the whole photo, from pixels that both shots show; then a gain that changes slowly round a hole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Colours, Mask

STEP = 8  # levels between the curve's knots
FINE = 64  # places of a table in a level: finer than any noise
MOST_PIXELS = 60_000  # from which a curve or a gain is learnt
ENOUGH = 40  # pixels at a knot
BRIGHT, CLIPPED = 240.0, 252.0  # levels: above, a shot has no more highlights
WHITE = 255.0
LOST = 14.0  # levels (standard deviation) of the photo where the other shot is clipped: more, and too much is lost
FLOOR = 6.0  # levels under a ratio, so that noise in the dark does not count
MOST_GAIN = 1.6
ODD = 0.5  # of the logarithm of a ratio: what differs more from the usual one is not tone


@dataclass(frozen=True, slots=True)
class Curve:
    """The photo's level, `values` [K, 3], at each of the `knots` [K] of the other shot's.

    Colours near white have lost highlights in some channels. What they were is guessed from all channels by a linear
    map, `highlights` [4, 3] (None: nothing is that bright in both shots), which misses by `spread` levels.
    """

    knots: NDArray[np.float32]
    values: NDArray[np.float32]
    highlights: NDArray[np.float32] | None
    spread: float

    def __call__(self, colours: Colours) -> Colours:
        """The other shot's colours [h, w, 3] as the photo shows them."""
        inside = colours.clip(0, self.knots[-1])
        places = np.rint(inside * FINE).astype(np.int32)
        result = colours - inside  # beyond the curve
        axis = np.arange(int(self.knots[-1]) * FINE + 1, dtype=np.float32) / FINE
        for channel in range(3):
            table = np.interp(axis, self.knots, self.values[:, channel]).astype(np.float32)
            result[..., channel] += table[places[..., channel]]
        if self.highlights is not None:
            share = ((brightest(colours) - BRIGHT) / (CLIPPED - BRIGHT)).clip(0, 1)
            some = share > 0
            guessed = colours[some] @ self.highlights[:3] + self.highlights[3]
            result[some] += share[some, None] * (guessed - result[some])
        return result

    def with_highlights(self, photo: Colours, other: Colours, both: Mask) -> Curve:
        """The curve with highlights as in these pictures [h, w, 3], if they show some; `other` before the curve."""
        cv2 = opencv()
        smooth = cv2.GaussianBlur(other, (0, 0), 1.5)
        bright = both & (brightest(smooth) >= (BRIGHT + CLIPPED) / 2)
        if bright.sum() < 5 * ENOUGH:
            return self
        target = cv2.GaussianBlur(photo, (0, 0), 1.5)[bright]
        known = np.append(smooth[bright], np.full((len(target), 1), WHITE, np.float32), axis=1)
        normal = known.T @ known
        fitted = np.linalg.solve(normal + np.eye(4) * 1e-4 * np.trace(normal), known.T @ target)
        spread = 1.4826 * float(np.median(np.abs(target - known @ fitted), axis=0).max())
        fitted[3] *= WHITE
        return replace(self, highlights=fitted.astype(np.float32), spread=spread)

    @property
    def loses(self) -> bool:
        """Whether what is clipped in the other shot is not so in the photo, and cannot be guessed."""
        return self.spread > LOST


def fit_curve(photo: Colours, other: Colours, both: Mask) -> Curve | None:
    """The curve from the other shot to the photo, [h, w, 3] reduced and aligned, where `both` show the scene.

    Medians of the photo's levels at each level of the other's; straight on beyond them. None without pixels.
    """
    cv2 = opencv()
    smooth, target = cv2.GaussianBlur(other, (0, 0), 1.5), cv2.GaussianBlur(photo, (0, 0), 1.5)
    steep = np.abs(cv2.Laplacian(smooth, cv2.CV_32F, ksize=3)).mean(axis=-1)
    usable = both & (steep <= np.percentile(steep[both], 70)) if both.any() else both
    if usable.sum() < 4 * ENOUGH:
        return None
    some = np.flatnonzero(usable)
    some = some[:: max(1, len(some) // MOST_PIXELS)]
    levels, targets = smooth.reshape(-1, 3)[some], target.reshape(-1, 3)[some]
    knots = np.append(np.arange(0, WHITE - STEP / 2, STEP, dtype=np.float32), np.float32(WHITE))
    values = np.empty((len(knots), 3), np.float32)
    for channel in range(3):
        level, wanted = levels[:, channel], targets[:, channel]
        inner = (level < CLIPPED) & (wanted < CLIPPED)
        ratio = np.log((wanted + FLOOR) / (level + FLOOR))  # what moved has any
        inner &= np.abs(ratio - np.median(ratio)) < ODD
        order = np.argsort(level[inner], kind="stable")
        level, wanted = level[inner][order], wanted[inner][order]
        x, y = [], []
        for knot in knots:
            first, last = np.searchsorted(level, [knot - STEP, knot + STEP])
            if last - first >= ENOUGH:
                x.append(float(np.median(level[first:last])))
                y.append(float(np.median(wanted[first:last])))
        if not x:
            return None
        values[:, channel] = _through(np.array(x), np.array(y), knots)
    return Curve(knots, values, None, float(max(0, WHITE - values[-1].min()))).with_highlights(photo, other, both)


def _through(x: NDArray[np.float64], y: NDArray[np.float64], knots: NDArray[np.float32]) -> NDArray[np.float64]:
    """Values at the knots: rising, through (x, y), with the outermost ratios beyond them."""
    if len(y) >= 3:
        y = np.convolve(np.pad(y, 1, "edge"), [0.25, 0.5, 0.25], "valid")
        y[0], y[-1] = 2 * y[1] - y[2] if len(y) > 3 else y[0], 2 * y[-2] - y[-3] if len(y) > 3 else y[-1]
    y = np.maximum.accumulate(y)
    inside = np.interp(knots, x, y)
    low, high = knots < x[0], knots > x[-1]
    inside[low] = knots[low] * (y[0] / max(x[0], 1.0)) if x[0] > 0 else y[0]
    inside[high] = knots[high] * (y[-1] / max(x[-1], 1.0))
    return np.maximum.accumulate(inside)


def brightest(colours: Colours) -> NDArray[np.float32]:
    """The largest channel of each pixel, [h, w]."""
    return np.maximum(np.maximum(colours[..., 0], colours[..., 1]), colours[..., 2])


def local_gain(photo: Colours, other: Colours, both: Mask) -> Colours:
    """What to multiply the other shot's colours by, [h, w, 3]: a plane a channel, fitted where `both` show the same."""
    height, width = both.shape
    gain = np.ones((height, width, 3), np.float32)
    rows, columns = np.nonzero(both)
    if len(rows) < ENOUGH:
        return gain
    step = max(1, len(rows) // MOST_PIXELS)
    rows, columns = rows[::step], columns[::step]
    x, y = (columns / width - 0.5).astype(np.float32), (rows / height - 0.5).astype(np.float32)
    basis = np.stack([np.ones_like(x), x, y], axis=1)
    across, down = (np.arange(length, dtype=np.float32) / length - 0.5 for length in (width, height))
    for channel in range(3):
        a, b = photo[rows, columns, channel], other[rows, columns, channel]
        usable = (a > FLOOR) & (b > FLOOR) & (a < CLIPPED) & (b < CLIPPED)
        if usable.sum() < ENOUGH:
            continue
        ratio = np.log(a[usable] / b[usable])
        weight, usable_basis = np.sqrt(b[usable]), basis[usable]
        fit = np.zeros(3, np.float32)
        fit[0] = np.median(ratio)
        for _ in range(6):
            error = ratio - usable_basis @ fit
            limit = 2.5 * 1.4826 * np.median(np.abs(error)) + 1e-3
            robust = weight * (np.abs(error) < limit)
            pull = np.diag([0, 1, 1]) * robust.sum() * 1e-3
            fit = np.linalg.solve(
                (usable_basis * robust[:, None]).T @ usable_basis + pull, (usable_basis * robust[:, None]).T @ ratio
            )
        plane = np.exp(fit[0] + fit[2] * down)[:, None] * np.exp(fit[1] * across)
        gain[..., channel] = plane.clip(1 / MOST_GAIN, MOST_GAIN)
    return gain
