"""How much a spot is like dust: measures of the spot and of what is round it, weighed by a small network.

Its 300 weights lie beside this file. They were learnt from specks painted over photographs
(`benchmark/learn_dust.py`), which it tells from what lies in the photographs themselves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.opencv import opencv
from mlx_moebius.selection.spot import Spot

Floats = NDArray[np.float32]
WEIGHTS = Path(__file__).with_name("dust_weights.json")
FARTHEST = 4.0  # standard deviations
REACH = 20  # pixels round a spot, besides twice its size, that are measured
OWN = 0.4  # of a spot's difference: what differs more, and hangs together with it, belongs to it
NEAR = 60  # pixels: other spots as near are company


@dataclass(frozen=True, eq=False)
class Likeness:
    """A network with one hidden layer of H units, above M measures less their `mean` [M], divided by `scale` [M]."""

    mean: Floats
    scale: Floats
    hidden: Floats
    hidden_bias: Floats
    output: Floats
    output_bias: float

    def of(self, rows: Floats) -> Floats:
        """How much spots of measures [N, M] are like dust, [N]: logarithms of the odds."""
        inner = np.tanh(self.scaled(rows, self.mean, self.scale) @ self.hidden.T + self.hidden_bias)
        return np.asarray(inner @ self.output + np.float32(self.output_bias))

    @staticmethod
    def scaled(rows: Floats, mean: Floats, scale: Floats) -> Floats:
        """What the network is given; measures far from the usual count as less far."""
        return ((rows - mean) / scale).clip(-FARTHEST, FARTHEST)

    def as_lists(self) -> dict[str, Any]:
        """The weights as JSON values."""
        return {
            name: [[round(float(v), 4) for v in row] for row in value]
            if np.ndim(value) == 2
            else np.round(np.asarray(value, np.float64), 4).tolist()
            for name, value in vars(self).items()
        }


@cache
def learnt() -> Likeness:
    """The weights that belong to the program."""
    values = json.loads(WEIGHTS.read_text())
    bias = float(values.pop("output_bias"))
    return Likeness(**{name: np.array(value, np.float32) for name, value in values.items()}, output_bias=bias)


def likeness(rgb: NDArray[np.uint8], spots: Sequence[Spot]) -> Floats:
    """How much spots of a photo uint8 [H, W, 3] are like dust: logarithms of the odds, [N]."""
    return learnt().of(measures(rgb, spots)) if spots else np.zeros(0, np.float32)


def measures(rgb: NDArray[np.uint8], found: Sequence[Spot]) -> Floats:
    """Measures [N, M] of spots in a photo uint8 [H, W, 3]. They depend on all the spots, which are company."""
    spots = np.array([(s.x, s.y, s.size, s.difference, s.clarity) for s in found], np.float32).reshape(-1, 5)
    cv2 = opencv()
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    steps = _gradient(cv2, grey)
    sharpest = float(np.percentile(steps[::3, ::3], 99)) + 1
    grain = float(np.median(steps[::3, ::3])) + 0.2
    rows = [_of_spot(cv2, rgb, grey, steps, (sharpest, grain), spot) for spot in spots]
    own = np.array(rows, np.float32).reshape(len(spots), -1)
    return np.column_stack([own, *_company(spots)]).astype(np.float32)


def _of_spot(
    cv2: Any, rgb: NDArray[np.uint8], grey: Floats, steps: Floats, photo: tuple[float, float], spot: Floats
) -> list[float]:
    x, y, size = (int(value) for value in spot[:3])
    difference, clarity = float(spot[3]), float(spot[4])
    most = abs(difference)
    reach = 2 * size + REACH
    top, left = max(0, y - reach), max(0, x - reach)
    here = np.s_[top : y + reach + 1, left : x + reach + 1]
    near = grey[here]
    rows, columns = np.ogrid[top - y : top - y + near.shape[0], left - x : left - x + near.shape[1]]
    distance = np.sqrt(rows * rows + columns * columns, dtype=np.float32)
    ring = (distance > size / 2 + 2) & (distance <= size / 2 + 6)
    far = distance > size / 2 + 4
    inside = distance <= max(1.0, size / 2)
    level = near[ring]
    middle = float(np.median(level))
    differences = (near - middle) * np.sign(difference)
    part = differences > OWN * most
    _, numbers = cv2.connectedComponents(part.astype(np.uint8), connectivity=8)
    own = numbers == numbers[y - top, x - left] if part[y - top, x - left] else distance <= 1
    area = float(own.sum())
    extent = max(float(np.ptp(np.flatnonzero(own.any(axis=axis)))) + 1 for axis in (0, 1))
    apart = far & ~own
    others = np.abs(cv2.blur(near - middle, (max(1, size // 2 * 2 + 1),) * 2))[apart]
    blurred = steps[here]
    halves = [
        abs(float(near[ring & side].mean() - near[ring & ~side].mean()))
        for side in (rows + 0 * columns > 0, columns + 0 * rows > 0)
    ]
    colours = rgb[here].astype(np.float32)
    tint = colours[inside].mean(axis=0) - np.median(colours[ring], axis=0)
    peak = float(np.abs(near[inside] - middle).max()) + 0.5
    return [
        _log(most),
        _log(clarity),
        _log(float(level.std()) / most),
        _log(float(near[apart].std()) / most),
        float((np.abs(near[apart] - middle) > 0.7 * most).mean()) ** 0.5,
        float((np.abs(near[apart] - middle) > 0.35 * most).mean()) ** 0.5,
        _log(area / size**2),
        area / extent**2,
        float(blurred[inside | ring].max()) / peak,
        _log(float(blurred[inside | ring].max()) / photo[0]),
        _log(float(blurred[apart].mean()) / most),
        _log(float(np.percentile(others, 98)) / most),
        _log(float(others.max()) / most),
        max(halves) / most,
        float(np.ptp(tint)) / (most + 2),
        _log(photo[1] / most),
        middle / 255,
        float(difference > 0),
        _log(float(size)),
        _log(peak / most),
    ]


def _company(spots: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """How many spots are near each that are half as clear, and as clear; and that differ half as much."""
    x, y, clarity, most = spots[:, 0], spots[:, 1], spots[:, 4], np.abs(spots[:, 3])
    counts = np.zeros((3, len(spots)))
    for index in range(len(spots)):
        near = (np.abs(x - x[index]) <= NEAR) & (np.abs(y - y[index]) <= NEAR)
        near[index] = False
        counts[0, index] = (clarity[near] >= 0.5 * clarity[index]).sum()
        counts[1, index] = (clarity[near] >= clarity[index]).sum()
        counts[2, index] = (most[near] >= 0.5 * most[index]).sum()
    return [*np.log1p(counts)]


def _gradient(cv2: Any, grey: Floats) -> Floats:
    return np.asarray(
        np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=0.125))
    )


def _log(value: float) -> float:
    return float(np.log(max(value, 1e-3)))
