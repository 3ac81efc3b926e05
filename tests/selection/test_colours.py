"""Colours are told apart as OpenCV tells them, without the tables that its first call builds."""

from __future__ import annotations

import cv2
import numpy as np

from mlx_moebius.selection.colours import lab


def test_colours_are_those_of_opencv() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
    rgb[0, :3] = [[0, 0, 0], [255, 255, 255], [3, 3, 3]]
    differences = np.abs(lab(rgb) - cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB))
    assert differences.max() <= 1
    assert differences.mean() < 1e-3
