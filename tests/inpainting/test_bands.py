"""Fills have the grain of what is round them, in luma and chroma and in each band, and it is measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.inpainting.bands import flagged
from mlx_moebius.inpainting.pipeline import MoebiusPipeline
from mlx_moebius.inpainting.seam import Seam, measure_seam
from mlx_moebius.photos.geometry import Mask, Pixels
from mlx_moebius.photos.photo import photo_from_image

Values = NDArray[np.float64]
HEIGHT, WIDTH = 240, 320
HOLE = np.zeros((HEIGHT, WIDTH), bool)
HOLE[80:160, 110:210] = True


@pytest.fixture(scope="module")
def nano() -> MoebiusPipeline:
    return MoebiusPipeline.from_pretrained("nano", "float32")


def blurred(values: Values, radius: int) -> Values:
    """Means over squares, with wrapped edges."""
    steps = range(-radius, radius + 1)
    for axis in (0, 1):
        values = np.mean([np.roll(values, step, axis) for step in steps], axis=0)
    return values


def scene(busy: bool) -> Values:
    """A gradient, or one with soft things all over it, float [H, W, 3]."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    slope = 60 + 70 * rows / HEIGHT + 30 * columns / WIDTH
    colours = slope[..., None] * np.array([0.9, 1.0, 1.15])
    if busy:
        things = blurred(np.random.default_rng(1).normal(0, 1, (HEIGHT, WIDTH, 1)), 9)
        colours = colours + 18 * things / things.std()
    return colours


def high_iso(colours: Values, seed: int = 0) -> Pixels:
    """Grain in every pixel, and blotches of colour some pixels wide, as at ISO 6400."""
    rng = np.random.default_rng(seed)
    blotches = blurred(rng.normal(0, 1, colours.shape), 2)
    noisy = colours + rng.normal(0, 9, (HEIGHT, WIDTH, 1)) + 7 * blotches / blotches.std()
    return noisy.clip(0, 255).round().astype(np.uint8)


def denoised(colours: Values) -> Pixels:
    """No grain in single pixels: what a telephone leaves are faint, wide blotches."""
    blotches = blurred(np.random.default_rng(0).normal(0, 1, (HEIGHT, WIDTH, 1)), 3)
    return (colours + 1.5 * blotches / blotches.std()).clip(0, 255).round().astype(np.uint8)


def seam(result: Pixels, mask: Mask = HOLE) -> Seam:
    found = measure_seam(result, mask)
    assert found is not None
    return found


def test_a_fill_with_the_same_grain_is_not_flagged() -> None:
    found = seam(high_iso(scene(busy=False)))
    assert flagged(found.luma, found.chroma) == []
    assert all(ratio is not None for ratio in (*found.luma, *found.chroma))


def test_missing_grain_and_missing_colour_are_flagged_where_they_are_missing() -> None:
    noisy = high_iso(scene(busy=False))
    grey = np.repeat(noisy.mean(axis=-1, keepdims=True), 3, axis=-1).round().astype(np.uint8)
    found = seam(np.where(HOLE[..., None], grey, noisy))
    assert max(ratio or 1 for ratio in found.chroma) < 0.5
    assert all(" chroma " in f" {line}" for line in flagged(found.luma, found.chroma))
    weak = np.where(HOLE[..., None], blurred(noisy, 1), noisy).round().astype(np.uint8)
    assert flagged(seam(weak).luma, ())[0].startswith("luma of 1 pixel 0.")


def test_a_thin_fill_is_judged_in_the_bands_that_fit_into_it() -> None:
    thin = np.zeros_like(HOLE)
    thin[100:106, 20:300] = True
    found = seam(high_iso(scene(busy=False)), thin)
    assert found.luma[0] is not None
    assert found.luma[3] is None


@pytest.mark.slow
@pytest.mark.parametrize(("camera", "busy"), [(high_iso, False), (high_iso, True), (denoised, False)])
def test_grain_of_any_camera_goes_on_in_the_fill(
    nano: MoebiusPipeline, camera: Callable[[Values], Pixels], busy: bool
) -> None:
    photo = camera(scene(busy))
    photo[HOLE] = 255, 0, 0
    result = nano.inpaint(photo_from_image(Image.fromarray(photo)), HOLE, nano.settings(dilate=0))
    assert result.seam is not None
    assert flagged(result.seam.luma, result.seam.chroma) == []
