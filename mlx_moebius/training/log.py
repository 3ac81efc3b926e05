"""What a run tells: lines of `log.jsonl`, and a picture of its losses."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import replacing

LOG_NAME, CURVE_NAME, SHEET_NAME = "log.jsonl", "loss.png", "held_out.png"
WIDTH, HEIGHT, MARGIN = 800, 400, 50
SMOOTHING = 0.05  # share of the curve that a point is the mean of
COLOURS = {"training": (150, 170, 200), "training, smoothed": (30, 80, 160), "held out": (200, 60, 30)}


class Log:
    """The lines of a run so far, each a dictionary with its "step"; appended to the file one by one."""

    def __init__(self, folder: Path, step: int) -> None:
        """Goes on after `step`: what an ended run logged beyond its last save is forgotten."""
        self.path = folder / LOG_NAME
        self.lines = [line for line in _read(self.path) if line["step"] <= step]
        with replacing(self.path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in self.lines).encode())

    def add(self, line: dict[str, Any]) -> None:
        """Append a line. Raises MoebiusError where the disk is full."""
        self.lines.append(line)
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise MoebiusError(f"cannot write {self.path}: {error.strerror or error}; --resume goes on") from None

    def draw(self) -> None:
        """Write the picture of the losses."""
        training = [(line["step"], line["loss"]) for line in self.lines if "loss" in line]
        held_out = [
            (line["step"], float(np.mean(list(line["bands"].values())))) for line in self.lines if "bands" in line
        ]
        with replacing(self.path.with_name(CURVE_NAME)) as file:
            draw_curve(training, held_out).save(file, "PNG")


def _read(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, but for a last one that was cut short."""
    lines = []
    with suppress(FileNotFoundError):
        for text in path.read_text().splitlines():
            with suppress(ValueError):
                lines.append(json.loads(text))
    return lines


def smooth(values: Iterable[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A mean over a window that shrinks towards both ends."""
    array = np.array(list(values))
    reach = int(len(array) * SMOOTHING / 2)
    sums = np.concatenate([[0.0], array.cumsum()])
    index = np.arange(len(array))
    own = np.minimum(reach, np.minimum(index, len(array) - 1 - index))
    return (sums[index + own + 1] - sums[index - own]) / (2 * own + 1)


def draw_curve(training: list[tuple[int, float]], held_out: list[tuple[int, float]]) -> Image.Image:
    """Losses over steps, from (step, loss) each; the vertical axis is logarithmic."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    steps, losses = [step for step, _ in training], [loss for _, loss in training]
    curves = {
        "training": training,
        "training, smoothed": list(zip(steps, smooth(losses), strict=True)),
        "held out": held_out,
    }
    points = training + held_out
    if not points:
        return image
    last = max(step for step, _ in points) or 1
    logs = np.log([max(loss, 1e-9) for _, loss in curves["training, smoothed"] + held_out])
    low, high = float(logs.min()) - 0.1, float(logs.max()) + 0.1

    def place(step: float, loss: float) -> tuple[float, float]:
        y = (np.log(max(loss, 1e-9)) - low) / (high - low)
        return MARGIN + (WIDTH - 2 * MARGIN) * step / last, HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * float(
            np.clip(y, 0, 1)
        )

    for share in np.linspace(0, 1, 5):
        level = float(np.exp(low + share * (high - low)))
        y = place(0, level)[1]
        draw.line([(MARGIN, y), (WIDTH - MARGIN, y)], fill=(225, 225, 225))
        draw.text((4, y - 6), f"{level:.4f}", fill="black")
        draw.text((place(share * last, 1)[0] - 12, HEIGHT - MARGIN + 8), f"{share * last:.0f}", fill="black")
    for row, (name, curve) in enumerate(curves.items()):
        placed = [place(step, loss) for step, loss in curve]
        if len(placed) > 1:
            draw.line(placed, fill=COLOURS[name], width=1 if name == "training" else 2)
        if name == "held out":
            for x, y in placed:
                draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=COLOURS[name])
        draw.text((WIDTH - MARGIN - 130, 8 + 13 * row), name, fill=COLOURS[name])
    return image
