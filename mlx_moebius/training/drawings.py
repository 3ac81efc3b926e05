"""Pictures of a run: its losses over its steps, and held-out crops before it and now."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 900, 480
LEFT, TOP, RIGHT, BOTTOM = 90, 56, 24, 64  # margins of the curve, in pixels
SMOOTHING = 0.05  # share of the curve that a point is the mean of
COLOURS = {"training": (150, 170, 200), "training, smoothed": (30, 80, 160), "held out": (200, 60, 30)}
GRID, INK = (225, 225, 225), (40, 40, 40)
LABEL = 28  # pixels above a sheet
LEAST_CROP = 160  # pixels of a crop on a sheet, so that its label fits

Curve = list[tuple[int, float]]
"""(step, loss) in the order of the steps."""


def smooth(values: Iterable[float]) -> NDArray[np.float64]:
    """A mean over a window that shrinks towards both ends."""
    array = np.array(list(values))
    reach = int(len(array) * SMOOTHING / 2)
    sums = np.concatenate([[0.0], array.cumsum()])
    index = np.arange(len(array))
    around = np.minimum(reach, np.minimum(index, len(array) - 1 - index))
    return (sums[index + around + 1] - sums[index - around]) / (2 * around + 1)


def draw_curve(training: Curve, held_out: Curve) -> Image.Image:
    """Losses over steps; the vertical axis is logarithmic."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    points = training + held_out
    if not points:
        return image
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    smoothed = list(zip([step for step, _ in training], smooth([loss for _, loss in training]), strict=True))
    curves = {"training": training, "training, smoothed": smoothed, "held out": held_out}
    last = max(step for step, _ in points) or 1
    logs = np.log([max(loss, 1e-9) for _, loss in smoothed + held_out])
    low, high = float(logs.min()) - 0.1, float(logs.max()) + 0.1

    def place(step: float, loss: float) -> tuple[float, float]:
        y = float(np.clip((np.log(max(loss, 1e-9)) - low) / (high - low), 0, 1))
        return LEFT + (WIDTH - LEFT - RIGHT) * step / last, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y

    for share in np.linspace(0, 1, 5):
        loss = float(np.exp(low + share * (high - low)))
        x, y = place(share * last, loss)
        draw.line([(LEFT, y), (WIDTH - RIGHT, y)], fill=GRID)
        draw.line([(x, TOP), (x, HEIGHT - BOTTOM)], fill=GRID)
        draw.text((LEFT - 8, y), f"{loss:.3g}", fill=INK, font=font, anchor="rm")
        draw.text((x, HEIGHT - BOTTOM + 8), f"{share * last:g}", fill=INK, font=font, anchor="mt")
    draw.line([(LEFT, TOP), (LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, HEIGHT - BOTTOM)], fill=INK)
    draw.text(((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12), "step", fill=INK, font=font, anchor="mb")
    draw.text((12, 12), "loss (mean squared error, logarithmic)", fill=INK, font=font)
    for name, curve in curves.items():
        placed = [place(step, loss) for step, loss in curve]
        if len(placed) > 1:
            draw.line(placed, fill=COLOURS[name], width=1 if name == "training" else 2)
        if name == "held out":
            for x, y in placed:
                draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=COLOURS[name])
    right = float(WIDTH - RIGHT)
    for name in reversed(curves):
        draw.text((right, 34), name, fill=COLOURS[name], font=font, anchor="rt")
        right -= draw.textlength(name, font) + 24
    return image


def draw_sheet(columns: dict[str, NDArray[np.uint8]]) -> Image.Image:
    """Crops [N, S, S, 3] under the names of their columns, a crop a row; from four crops on in two halves."""
    count, side = next(iter(columns.values())).shape[:2]
    scale = max(1, -(-LEAST_CROP // side))
    side *= scale
    rows = (count + 1) // 2 if count >= 4 else count
    halves = -(-count // rows)
    width = len(columns) * side
    image = Image.new("RGB", (halves * width + (halves - 1) * LABEL, LABEL + rows * side), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(15)
    for half in range(halves):
        for column, (name, crops) in enumerate(columns.items()):
            left = half * (width + LABEL) + column * side
            draw.text((left + side / 2, LABEL / 2), name, fill=INK, font=font, anchor="mm")
            for row, crop in enumerate(crops[half * rows : (half + 1) * rows]):
                shown = Image.fromarray(crop).resize((side, side), Image.Resampling.NEAREST)
                image.paste(shown, (left, LABEL + row * side))
    return image
