"""Shapes of holes: strokes and boxes as the official trainer draws them (LaMa's generators), and outlines of things."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.masks import dilate

LARGEST = 0.6  # share of the window that a hole may take
STROKES_OVER_BOXES = 1 / 1.3  # official odds, 1 to 0.3


@dataclass(frozen=True, slots=True)
class Style:
    """Ranges (least, most) of one generator, in pixels of a 512 window."""

    strokes: tuple[int, int]
    width: int
    length: int
    boxes: tuple[int, int]
    box_side: tuple[int, int]


STYLES = (
    Style((4, 12), 100, 200, (1, 5), (30, 150)),  # medium_512
    Style((1, 5), 250, 450, (1, 4), (30, 300)),  # thick_512
    Style((4, 70), 20, 100, (0, 0), (0, 0)),  # thin_512
)


def draw_hole(rng: np.random.Generator, side: int, outlines: list[Mask] | None = None) -> Mask:
    """A hole [side, side], True = fill: strokes, boxes, or the outline of a thing; grown a little, as masks are.

    `outlines` are masks of real objects, cut to their boxes; without them, outlines are made up.
    """
    while True:
        if rng.random() < 0.5:
            hole = _outline(rng, side, outlines)
        else:
            style = STYLES[rng.integers(len(STYLES))]
            boxes = style.boxes[1] and rng.random() > STROKES_OVER_BOXES
            hole = _boxes(rng, side, style) if boxes else _strokes(rng, side, style)
        hole = grow_as_official(rng, hole, side)
        if 0 < hole.mean() <= LARGEST:
            return hole


def grow_as_official(rng: np.random.Generator, hole: Mask, side: int) -> Mask:
    """With probability 0.99 dilated once or twice by 3, 5 or 7 pixels of a 512 window."""
    if rng.random() < 0.99:
        kernel = max(1, round(int(rng.choice([3, 5, 7])) * side / 512))
        for _ in range(rng.integers(1, 3)):
            hole = dilate(hole, kernel)
    return hole


def _strokes(rng: np.random.Generator, side: int, style: Style) -> Mask:
    """Polylines with round joints."""
    scale = side / 512
    image = Image.new("L", (side, side))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(style.strokes[0], style.strokes[1] + 1)):
        x, y = rng.uniform(0, side, 2)
        for segment in range(rng.integers(1, 6)):
            angle = 0.01 + int(rng.integers(4))
            angle = 2 * math.pi - angle if segment % 2 == 0 else angle
            length = (10 + rng.uniform(0, style.length)) * scale
            width = max(1.0, (5 + rng.uniform(0, style.width)) * scale)
            to_x = float(np.clip(x + length * math.sin(angle), 0, side))
            to_y = float(np.clip(y + length * math.cos(angle), 0, side))
            draw.line([(x, y), (to_x, to_y)], fill=255, width=round(width))
            for joint_x, joint_y in ((x, y), (to_x, to_y)):
                r = width / 2
                draw.ellipse([joint_x - r, joint_y - r, joint_x + r, joint_y + r], fill=255)
            x, y = to_x, to_y
    return np.asarray(image) > 127


def _boxes(rng: np.random.Generator, side: int, style: Style) -> Mask:
    """Upright rectangles."""
    hole = np.zeros((side, side), bool)
    for _ in range(rng.integers(style.boxes[0], style.boxes[1] + 1)):
        width, height = (max(1, round(s * side / 512)) for s in rng.uniform(*style.box_side, 2))
        left, top = rng.integers(0, max(1, side - width)), rng.integers(0, max(1, side - height))
        hole[top : top + height, left : left + width] = True
    return hole


def _outline(rng: np.random.Generator, side: int, outlines: list[Mask] | None) -> Mask:
    """An object's outline at a random place and size, or a made-up one: a few lobes with wavy rims."""
    canvas = Image.new("L", (side, side))
    extent = side * rng.uniform(0.15, 0.7)
    if outlines:
        chosen = outlines[rng.integers(len(outlines))]
        scale = extent / max(chosen.shape)
        size = [max(1, round(n * scale)) for n in chosen.shape[::-1]]
        shape = Image.fromarray(chosen).convert("L").resize(size)
        shape = shape.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else shape
        canvas.paste(shape, [int(rng.integers(-n // 2, side - n // 2)) for n in size])  # type: ignore[arg-type]
        return np.asarray(canvas) > 127
    draw = ImageDraw.Draw(canvas)
    centre = rng.uniform(0.1 * side, 0.9 * side, 2)
    for _ in range(rng.integers(1, 4)):
        radius, stretch, turn = extent / 2 * rng.uniform(0.4, 1), rng.uniform(0.35, 1), rng.uniform(0, math.pi)
        angles = np.linspace(0, 2 * math.pi, 72, endpoint=False)
        rim = np.ones_like(angles)
        for waves in range(2, 7):
            rim += rng.normal(0, 0.25 / waves) * np.cos(waves * angles + rng.uniform(0, 2 * math.pi))
        x, y = radius * rim * np.cos(angles), radius * stretch * rim * np.sin(angles)
        points = (
            np.stack([x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)], 1) + centre
        )
        draw.polygon([(float(px), float(py)) for px, py in points], fill=255)
        centre = centre + rng.normal(0, extent / 4, 2)
    return np.asarray(canvas) > 127
