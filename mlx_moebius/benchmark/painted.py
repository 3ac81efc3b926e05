"""Paints over photographs what a selection should find, at places that are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.selection.opencv import opencv

VISIBLE = 25  # levels by which a wire differs from what is behind it
FINE = 4  # the painting is drawn at so many times the photo's resolution, and reduced


@dataclass(frozen=True, eq=False)
class PaintedWire:
    """A photo uint8 [H, W, 3] with a wire.

    `points` is its middle line [N, 2] as x, y, `seen` says where it differs from what is behind it.
    """

    rgb: NDArray[np.uint8]
    points: NDArray[np.float64]
    seen: NDArray[np.bool_]
    width: float


def paint_wire(rgb: NDArray[np.uint8], width: float, generator: np.random.Generator) -> PaintedWire:
    """A hanging wire across the photo, darker than what is behind it or, where that is dark, lighter."""
    cv2 = opencv()
    height, across = rgb.shape[:2]
    ends = np.sort(generator.uniform(0.15, 0.85, 2))
    y = generator.uniform(0.15, 0.6, 2) * height
    x = np.array([-1.0, across]) if generator.random() < 0.5 else ends * across * [0.4, 1.1]
    share = np.linspace(0, 1, 4 * across)
    sag = generator.uniform(0.01, 0.06) * (x[1] - x[0])
    line = np.column_stack([x[0] + share * (x[1] - x[0]), y[0] + share * (y[1] - y[0]) + 4 * sag * share * (1 - share)])
    drawn = np.zeros((height * FINE, across * FINE), np.uint8)
    fixed = np.rint(((line + 0.5) * FINE - 0.5) * 16).astype(np.int32)
    cv2.polylines(drawn, [fixed], False, 255, max(1, round(width * FINE)), cv2.LINE_AA, 4)
    cover = cv2.resize(drawn, (across, height), interpolation=cv2.INTER_AREA)
    cover = cv2.GaussianBlur(cover, (0, 0), 0.6).astype(np.float32)[..., None] / 255
    behind = float(np.median(rgb[cover[..., 0] > 0.2].mean(axis=-1)))
    tone = behind - generator.uniform(50, 90) if behind > 80 else behind + generator.uniform(50, 90)
    colour = np.clip(tone + generator.uniform(-8, 8, 3), 0, 255)
    painted = np.rint(rgb * (1 - cover) + colour * cover).astype(np.uint8)
    line = line[((line > -0.5) & (line < (across - 0.5, height - 0.5))).all(axis=1)]
    at = np.rint(line).astype(int)
    calm = cv2.GaussianBlur(rgb, (0, 0), 2 * width)[at[:, 1], at[:, 0]].astype(float)
    seen = np.abs(calm - colour).max(axis=1) >= VISIBLE
    return PaintedWire(painted, line, seen, width)
