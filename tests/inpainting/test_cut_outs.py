"""Pictures with transparent parts: what is stored under them never reaches the network."""

from __future__ import annotations

import numpy as np
import pytest

from mlx_moebius.inpainting.prepare import prepare
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.photos.photo import Photo


@pytest.mark.parametrize("size", [96, 64])
def test_opaque_colours_continue_under_what_is_transparent(size: int) -> None:
    pixels = np.zeros((96, 96, 4), np.uint8)  # alpha 0 holding black
    pixels[:, :60] = (200, 120, 40, 255)
    mask = np.zeros((96, 96), bool)
    mask[40:50, 48:58] = True
    squares = prepare(Photo(pixels, "RGBA"), mask, size, Settings(whole_image=True, dilate=0, detail=False))
    (image,), (hole,) = squares.images, squares.masks
    assert np.abs(image.astype(int) - (200, 120, 40)).max() <= 2
    assert hole.mean() < 0.05  # they are not filled, though


def test_a_picture_that_is_transparent_all_over_keeps_its_colours() -> None:
    pixels = np.full((64, 64, 4), (200, 120, 40, 0), np.uint8)
    mask = np.zeros((64, 64), bool)
    mask[20:30, 20:30] = True
    squares = prepare(Photo(pixels, "RGBA"), mask, 64, Settings(whole_image=True, detail=False))
    assert np.abs(squares.images[0].astype(int) - (200, 120, 40)).max() <= 2
