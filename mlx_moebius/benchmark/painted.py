"""Paints over photographs what a selection should find, at places that are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.opencv import opencv
from mlx_moebius.selection.spot import Spot

NIGHT = 70  # levels: no specks are painted where it is darker; light ones there would be stars
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


@dataclass(frozen=True, eq=False)
class PaintedSpecks:
    """A photo [H, W, 3] with specks: their places [N, 2] as x, y, sizes in pixels and contrasts in levels.

    `seen` says which of them differ from their surroundings by three times as much as those differ in themselves.
    """

    rgb: NDArray[Any]
    places: NDArray[np.int64]
    sizes: NDArray[np.float64]
    contrasts: NDArray[np.float64]
    seen: NDArray[np.bool_]

    def found_by(self, spots: Sequence[Spot]) -> NDArray[np.bool_]:
        """Whether each of some spots [S] is where each of the specks [N] is, [S, N]."""
        at = np.array([(spot.x, spot.y) for spot in spots]).reshape(-1, 1, 2)
        return np.asarray(np.abs(at - self.places).max(axis=-1) <= np.maximum(3, self.sizes))


def paint_specks(rgb: NDArray[np.uint8], count: int, generator: np.random.Generator) -> PaintedSpecks:
    """Dust of a scan: `count` irregular specks of 1 to 12 pixels, 5 to 60 levels darker or lighter."""
    cv2 = opencv()
    height, width = rgb.shape[:2]
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    places: list[tuple[int, int]] = []
    for attempts in range(100 * count):
        if len(places) == count:
            break
        x, y = int(generator.integers(20, width - 20)), int(generator.integers(20, height - 20))
        apart = all(max(abs(x - a), abs(y - b)) > 40 for a, b in places)
        if apart and (grey[y, x] > NIGHT or attempts > 50 * count):
            places.append((x, y))
    sizes = np.exp(generator.uniform(0, np.log(12), len(places)))
    contrasts = generator.uniform(5, 60, len(places))
    detail = grey - cv2.GaussianBlur(grey, (0, 0), 4)
    texture = np.sqrt(cv2.blur(detail * detail, (31, 31)).clip(0))
    change = np.zeros((height, width), np.float32)
    for (x, y), size, contrast in zip(places, sizes, contrasts, strict=True):
        drawn = np.zeros((40 * FINE, 40 * FINE), np.uint8)
        axes = max(1, round(size * FINE / 2)), max(1, round(size * FINE / 2 * generator.uniform(0.6, 1)))
        cv2.ellipse(drawn, (20 * FINE, 20 * FINE), axes, generator.uniform(0, 180), 0, 360, 255, -1)
        cover = cv2.resize(drawn, (40, 40), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        cover = cv2.GaussianBlur(cover, (0, 0), 0.5)
        darker = grey[y, x] > (128 if generator.random() < 0.8 else 70)  # so that it is not cut off
        change[y - 20 : y + 20, x - 20 : x + 20] += cover / cover.max() * (-contrast if darker else contrast)
    painted = np.rint(rgb + change[..., None]).clip(0, 255).astype(np.uint8)
    at = np.array(places, np.int64).reshape(-1, 2)
    return PaintedSpecks(painted, at, sizes, contrasts, contrasts >= 3 * texture[at[:, 1], at[:, 0]])


@dataclass(frozen=True, eq=False)
class PaintedHairs:
    """A photo uint8 [H, W, 3] with hairs, the `lines` [H, W] of each, and which of them have calm surroundings."""

    rgb: NDArray[np.uint8]
    lines: list[NDArray[np.bool_]]
    calm: NDArray[np.bool_]


def paint_hairs(rgb: NDArray[np.uint8], count: int, generator: np.random.Generator) -> PaintedHairs:
    """Hairs and scratches: `count` bent lines of 50 to 260 pixels, 1 to 3 wide, 15 to 60 levels darker or lighter."""
    cv2 = opencv()
    height, width = rgb.shape[:2]
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    change = np.zeros((height, width), np.float32)
    lines, calm = [], []
    for _ in range(count):
        length, across = generator.uniform(50, 260), int(generator.integers(1, 4))
        angle, bend = generator.uniform(0, 2 * np.pi), generator.uniform(-1.5, 1.5) / length
        along = np.arange(0, length, 2)
        turned = angle + bend * along
        path = np.column_stack([np.cumsum(np.cos(turned)), np.sin(turned).cumsum()]) * 2
        path += generator.uniform((20, 20), (width - 20, height - 20)) - path.mean(axis=0)
        drawn = np.zeros((height, width), np.uint8)
        cv2.polylines(drawn, [np.rint(path * 16).astype(np.int32)], False, 255, across, cv2.LINE_AA, 4)
        cover = cv2.GaussianBlur(drawn, (0, 0), 0.5).astype(np.float32) / 255
        line = cover > 0.3
        contrast = generator.uniform(15, 60)
        change += cover / max(float(cover.max()), 0.01) * (-contrast if np.median(grey[line]) > 128 else contrast)
        near = cv2.dilate(line.astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
        detail = grey - cv2.GaussianBlur(grey, (0, 0), 4)
        lines.append(line)
        calm.append(contrast >= 6 * float(detail[near].std()))
    painted = np.rint(rgb + change[..., None]).clip(0, 255).astype(np.uint8)
    return PaintedHairs(painted, lines, np.array(calm, bool))


def dust_layer(size: tuple[int, int], count: int, generator: np.random.Generator) -> PaintedSpecks:
    """Dust of a sensor: what it leaves of the light, as a picture [H, W, 3] of float32, and its places."""
    cv2 = opencv()
    height, width = size
    light = np.ones((height, width), np.float32)
    places: list[tuple[int, int]] = []
    while len(places) < count:
        x, y = int(generator.integers(20, width - 20)), int(generator.integers(20, height - 20))
        if all(max(abs(x - a), abs(y - b)) > 40 for a, b in places):
            places.append((x, y))
    sizes = np.exp(generator.uniform(0, np.log(12), count))
    contrasts = generator.uniform(5, 60, count)
    for (x, y), across, contrast in zip(places, sizes, contrasts, strict=True):
        spot = np.zeros((40 * FINE, 40 * FINE), np.uint8)
        cv2.circle(spot, (20 * FINE, 20 * FINE), max(1, round(across * FINE / 2)), 255, -1)
        cover = cv2.GaussianBlur(cv2.resize(spot, (40, 40), interpolation=cv2.INTER_AREA), (0, 0), max(0.6, across / 6))
        share = cover.astype(np.float32) / max(1, int(cover.max()))
        light[y - 20 : y + 20, x - 20 : x + 20] *= 1 - contrast / 160 * share
    layer = light[..., None].repeat(3, axis=-1)
    return PaintedSpecks(layer, np.array(places), sizes, contrasts, np.ones(count, bool))
