"""What of a fill the user is told to look at."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from mlx_moebius.inpainting.seam import measure_seam
from mlx_moebius.photos.geometry import Mask, Pixels

HOLE = np.zeros((160, 200), bool)
HOLE[50:110, 60:140] = True


def grain(strength: float, seed: int = 0) -> Pixels:
    noise = np.random.default_rng(seed).normal(128, strength, (*HOLE.shape, 1))
    return np.repeat(noise, 3, axis=-1).clip(0, 255).astype(np.uint8)


def told(result: Pixels, mask: Mask = HOLE, hidden: Mask | None = None) -> list[str]:
    seam = measure_seam(result, mask, hidden=hidden)
    assert seam is not None
    return [line.split(":")[0].split(",")[0] for line in seam.warnings()]


@pytest.mark.parametrize("strength", [0, 1, 5, 30])
def test_nothing_is_said_of_a_fill_like_the_rest(strength: float) -> None:
    assert told(grain(strength)) == []


def test_an_edge_that_is_many_times_the_photos_own_is_told() -> None:
    result = grain(1)
    result[HOLE] += 29
    assert told(result) == ["the edge of the fill shows"]
    busy = grain(60)
    busy[HOLE] = (busy[HOLE].astype(int) + 9).clip(0, 255)
    assert told(busy) == []  # lost among steps of the photo's own


def test_an_edge_to_what_is_transparent_is_no_edge_of_the_fill() -> None:
    result = grain(1)
    hidden = np.zeros_like(HOLE)
    hidden[:, 140:] = hidden[105:] = True
    result[hidden] = 0
    assert told(result, HOLE) == ["the edge of the fill shows"]
    assert told(result, HOLE, hidden) == []
    assert measure_seam(result, HOLE & hidden, hidden=hidden) is None


def test_a_fill_far_softer_than_all_round_it_is_told() -> None:
    sharp = grain(20)
    soft = np.asarray(Image.fromarray(sharp).filter(ImageFilter.GaussianBlur(4)))
    assert told(np.where(HOLE[..., None], soft, sharp)) == ["the fill is soft"]


def test_calm_beside_calm_is_right_though_things_stand_round_it() -> None:
    page = Image.new("RGB", (200, 160), "white")
    draw = ImageDraw.Draw(page)
    for y in (10, 25, 120, 135):
        draw.text((5, y), "The quick brown fox jumps over it", "black")
    assert told(np.asarray(page)) == []
