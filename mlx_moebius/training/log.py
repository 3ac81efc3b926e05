"""What a run tells: lines of `log.jsonl`, and a picture of its losses."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mlx_moebius.errors import Change, MoebiusError
from mlx_moebius.files import replacing
from mlx_moebius.training.drawings import draw_curve

LOG_NAME, CURVE_NAME, SHEET_NAME = "log.jsonl", "loss.png", "held_out.png"


class Log:
    """The lines of a run so far, dictionaries with a "step". They are appended to the file one by one."""

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
            raise MoebiusError(
                f"cannot write {self.path} ({error.strerror or error})", Change("resume", True, "to go on")
            ) from None

    def draw(self) -> None:
        """Write the picture of the losses."""
        training = [(line["step"], line["loss"]) for line in self.lines if "loss" in line]
        held_out = [
            (line["step"], float(np.mean(list(line["bands"].values())))) for line in self.lines if "bands" in line
        ]
        with replacing(self.path.with_name(CURVE_NAME)) as file:
            draw_curve(training, held_out).save(file, "PNG")


def _read(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, without what is no line of one: one may have been cut short."""
    lines = []
    with suppress(OSError):
        for text in path.read_bytes().splitlines():
            with suppress(ValueError, RecursionError):
                line = json.loads(text)
                if _is_sound(line):
                    lines.append(line)
    return lines


def _is_sound(line: Any) -> bool:
    """Whether a line has a step, and a loss or the losses of a judgement."""
    if not isinstance(line, dict) or type(line.get("step")) is not int:
        return False
    bands: Any = line.get("bands", {"": line.get("loss")})
    if not isinstance(bands, dict) or not bands:
        return False
    return all(type(loss) in (int, float) and 0 <= loss < math.inf for loss in bands.values())
