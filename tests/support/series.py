"""Several shots of one scene, drawn: a thing stands in the first one, and is elsewhere in the others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 480, 360
SIZE = 90  # pixels across the thing
AT = 190, 130  # its left and top in the first shot
NOISE = 1.5

Levels = NDArray[np.float32]


@dataclass
class Series:
    """Files of a series, and the first shot without the thing, float32 [H, W, 3]."""

    photo: Path
    mask: Path
    others: list[Path]
    truth: Levels
    hole: NDArray[np.bool_]

    def psnr(self, path: Path) -> float:
        """How near a filled photo comes to the truth where the thing stood, in dB."""
        error = (np.asarray(Image.open(path).convert("RGB"), np.float32) - self.truth)[self.hole]
        return float(10 * np.log10(255**2 / max((error**2).mean(), 1e-9)))


def scene(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> Levels:
    """A drawn scene, [H, W, 3]: shapes of many sizes on uneven ground."""
    rng = np.random.default_rng(seed)
    ground = np.zeros((height, width, 3), np.float32)
    for step in (4, 12, 40, 120):
        cells = rng.normal(0, 14, (height // step + 2, width // step + 2, 3)).astype(np.float32)
        ground += cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    ground += rng.uniform(90, 150, 3).astype(np.float32)
    for _ in range(140):
        centre, size = rng.uniform(0, 1, 2) * (width, height), rng.uniform(3, 22)
        corners = centre + size * rng.normal(0, 1, (5, 2))
        cv2.fillPoly(ground, [np.rint(corners).astype(np.int32)], rng.uniform(30, 220, 3).tolist(), cv2.LINE_AA)
    return cv2.GaussianBlur(ground, (0, 0), 0.8).clip(5, 240)


def thing(seed: int = 1) -> tuple[Levels, NDArray[np.bool_]]:
    """What stands in the way: its colours [S, S, 3], and which of these pixels it covers."""
    rng = np.random.default_rng(seed)
    cells = rng.normal(0, 35, (SIZE // 6, SIZE // 6, 3)).astype(np.float32)
    colours = cv2.resize(cells, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) + np.array([200, 60, 40], np.float32)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    return colours.clip(0, 255), np.asarray(x**2 + y**2 < 0.95)


def by_hand(turn: float = 0.8, zoom: float = 1.012, across: float = 7.3, down: float = -4.6) -> NDArray[np.float64]:
    """A homography as a hand makes it between two shots: degrees, factor, pixels."""
    centre = np.array([[1, 0, WIDTH / 2], [0, 1, HEIGHT / 2], [0, 0, 1.0]])
    c, s = (zoom * float(f(np.deg2rad(turn))) for f in (np.cos, np.sin))
    return np.asarray(centre @ np.array([[c, -s, across], [s, c, down], [1e-5, -1e-5, 1]]) @ np.linalg.inv(centre))


def make_series(
    folder: Path,
    offsets: tuple[tuple[int, int], ...] = ((60, 0), (-60, 10)),
    tripod: bool = False,
    gain: float = 1.1,
    noise: float = NOISE,
    masks: bool = True,
    suffix: str = ".png",
    **how: Any,
) -> Series:
    """Draw a series into a folder. `offsets`: how far the thing has moved in each other shot; `gain`: exposure."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    whole, (colours, covers) = scene(), thing()
    files, truth, hole = [], whole, np.zeros((HEIGHT, WIDTH), bool)
    for number, (across, down) in enumerate([(0, 0), *offsets]):
        shown = whole.copy()
        if number and not tripod:
            matrix = by_hand(turn=0.8 * (-1) ** number, across=7.3 * (-1) ** number)
            shown = cv2.warpPerspective(whole, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LANCZOS4, borderMode=2)
        grain = rng.normal(0, noise, shown.shape).astype(np.float32)
        exposed = 255 * ((shown / 255).clip(0, 1) ** 2.2 * (gain if number else 1)) ** (1 / 2.2)
        if not number:
            truth = (exposed + grain).clip(0, 255)
        left, top = AT[0] + across, AT[1] + down
        exposed[top : top + SIZE, left : left + SIZE][covers] = colours[covers]
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[top : top + SIZE, left : left + SIZE][covers] = 255
        path = folder / f"{number}{suffix}"
        Image.fromarray(np.rint(exposed + grain).clip(0, 255).astype(np.uint8)).save(path, **how)
        files.append(path)
        if masks or not number:
            Image.fromarray(cv2.dilate(mask, np.ones((5, 5), np.uint8))).save(folder / f"{number}_mask.png")
        if not number:
            hole = mask > 0
    return Series(files[0], folder / "0_mask.png", files[1:], truth, hole)
