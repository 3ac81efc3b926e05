"""Windows cut, levelled and blended back, on drawn images whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mlx_moebius.inpainting.crops import Crop, plan
from mlx_moebius.inpainting.seam import measure_seam
from mlx_moebius.inpainting.stitch import blend, enlarge, extract, feather, feather_width, match_colour, prefill
from mlx_moebius.photos.geometry import Box

Mask = NDArray[np.bool_]
Colours = NDArray[np.float32]


def landscape(height: int, width: int, texture: float = 0.0, seed: int = 0) -> NDArray[np.uint8]:
    """A colour gradient, with noise of that standard deviation."""
    rows, columns = np.mgrid[:height, :width]
    gradient = np.stack([60 + 100 * rows / height, 90 + 80 * columns / width, 160 - 70 * rows / height], axis=-1)
    noise = np.random.default_rng(seed).normal(0, texture, (height, width, 1)) if texture else 0
    return (gradient + noise).clip(0, 255).astype(np.uint8)


def disc(height: int, width: int, x: float, y: float, radius: float) -> Mask:
    rows, columns = np.ogrid[:height, :width]
    inside: Mask = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    return inside


def whole(mask: Mask) -> Box:
    return 0, 0, mask.shape[1], mask.shape[0]


def distance_to(mask: Mask) -> NDArray[np.int64]:
    """Distance to the nearest masked pixel along the farther axis, by trying them all."""
    masked = np.argwhere(mask)
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]]
    apart = np.maximum(np.abs(rows[..., None] - masked[:, 0]), np.abs(columns[..., None] - masked[:, 1]))
    nearest: NDArray[np.int64] = apart.min(axis=-1)
    return nearest


# Cutting out


def test_native_window_is_the_photo_itself() -> None:
    photo, mask = landscape(300, 400, 20), disc(300, 400, 200, 150, 30)
    image, hole = extract(photo, mask, Crop(100, 90, 128, 128, (170, 120, 231, 181)))
    assert (image == photo[90:218, 100:228]).all()
    assert (hole == mask[90:218, 100:228]).all()


def test_small_photo_is_mirrored_around_itself() -> None:
    photo, mask = landscape(50, 70, 20), np.zeros((50, 70), bool)
    mask[:10] = True
    (crop,) = plan(mask, 128)
    image, hole = extract(photo, mask, crop)
    assert image.shape == (128, 128, 3)
    top, left = -crop.top, -crop.left
    inside = np.s_[top : top + 50, left : left + 70]
    assert (image[inside] == photo).all()
    assert (hole[inside] == mask).all()
    assert (image[top - 1] == image[top]).all()
    assert (image[top - 10] == image[top + 9]).all()
    assert hole[top - 10 : top + 10].all()  # a hole at the edge goes on outside, so that no object looks in


@pytest.mark.parametrize("side", [129, 300, 1000, 2600])
def test_thin_line_survives_reduction(side: int) -> None:
    mask = np.zeros((2600, 2600), bool)
    mask[np.arange(side), np.arange(side)] = True
    image, hole = extract(np.zeros((2600, 2600, 3), np.uint8), mask, Crop(0, 0, side, 128, (0, 0, side, side)))
    assert image.shape == (128, 128, 3)
    assert hole.diagonal().all()
    assert hole.mean() < 0.06


@pytest.mark.parametrize("side", [128, 200, 640])
def test_reduced_and_enlarged_photo_is_where_it_was(side: int) -> None:
    photo = landscape(700, 800)
    crop = Crop(60, 40, side, 128, (100, 80, 140, 120))
    image, _ = extract(photo, np.zeros((700, 800), bool), crop)
    box = (crop.left + 20, crop.top + 30, crop.left + side - 25, crop.top + side - 35)
    back = enlarge(image.astype(np.float32), crop, box)
    assert np.abs(back - photo[box[1] : box[3], box[0] : box[2]]).max() <= 2


def test_enlarging_a_part_is_part_of_enlarging_the_whole() -> None:
    fill = np.random.default_rng(0).uniform(0, 255, (64, 64, 3)).astype(np.float32)
    crop = Crop(10, 20, 301, 64, (50, 60, 100, 110))
    everything = enlarge(fill, crop, crop.frame)
    assert everything.shape == (301, 301, 3)
    np.testing.assert_allclose(enlarge(fill, crop, (47, 81, 203, 99)), everything[61:79, 37:193], atol=0.01)


# Feather


@pytest.mark.parametrize("width", [0, 1, 2, 3, 5, 8, 13])
def test_feather_is_exact_on_the_mask_and_beyond_its_width(width: int) -> None:
    rng = np.random.default_rng(width)
    for _ in range(8):
        mask = rng.random(rng.integers(1, 50, 2)) < 0.004
        mask[rng.integers(mask.shape[0]), 0] = True
        weight, distance = feather(mask, width), distance_to(mask)
        assert (weight[mask] == 1).all()
        assert (weight[distance > width] == 0).all()
        assert ((weight >= 0) & (weight <= 1)).all()


def test_feather_falls_smoothly() -> None:
    mask = np.zeros((5, 100), bool)
    mask[:, :30] = True
    profile = feather(mask, 16)[2]
    steps = np.diff(profile)
    assert (steps <= 0).all()
    assert np.abs(steps).max() < 0.2
    assert profile[44] > 0
    assert profile[37] == pytest.approx(0.5, abs=0.2)


def test_feather_scales_with_the_window() -> None:
    assert [feather_width(Crop(0, 0, side, 512, (0, 0, 1, 1))) for side in (128, 512, 2048)] == [2, 8, 32]


# Colour


def tinted(photo: NDArray[np.uint8], tint: Colours) -> Colours:
    return photo.astype(np.float32) + tint


def with_object(photo: NDArray[np.uint8], mask: Mask) -> NDArray[np.uint8]:
    return np.where(mask[..., None], np.array([250, 10, 10], np.uint8), photo)


@pytest.mark.parametrize("size", [128, 512])
def test_even_tint_is_taken_off(size: int) -> None:
    photo, mask = landscape(size, size), disc(size, size, size * 0.6, size * 0.4, size / 6)
    fill = tinted(photo, np.array([30, -20, 12], np.float32))
    levelled = match_colour(fill, with_object(photo, mask), mask)
    assert np.abs(levelled - photo)[mask].max() < 0.1


def test_tint_that_changes_across_the_hole_is_taken_off() -> None:
    photo, mask = landscape(128, 128), disc(128, 128, 64, 64, 25)
    tint = np.linspace(-40, 40, 128, dtype=np.float32)[None, :, None] * np.array([1, -0.5, 0.3], np.float32)
    fill = tinted(photo, tint)
    levelled = match_colour(fill, with_object(photo, mask), mask)
    one_for_all = fill + (photo - fill)[~mask].mean(axis=0)
    assert np.abs(levelled - photo)[mask].mean() < 0.4 * np.abs(one_for_all - photo)[mask].mean()


def test_strong_texture_does_not_mislead_the_match() -> None:
    photo, mask = landscape(512, 512, texture=45), disc(512, 512, 256, 256, 100)
    fill = tinted(landscape(512, 512, texture=45, seed=9), np.array([25, 0, -25], np.float32))
    offset = match_colour(fill, with_object(photo, mask), mask) - fill
    assert np.abs(offset[mask].mean(axis=0) - [-25, 0, 25]).max() < 3
    assert offset[mask].std(axis=0).max() < 3  # noise of 64 levels in the differences


def test_rest_of_the_object_beside_the_mask_does_not_colour_the_fill() -> None:
    photo, mask = landscape(128, 128, texture=4), disc(128, 128, 64, 64, 20)
    seen = photo.copy()
    seen[86:92, 55:70] = 0  # a shadow that the mask left out
    levelled = match_colour(photo.astype(np.float32), seen, mask)
    assert np.abs(levelled - photo)[mask].mean() < 3


def test_nothing_to_compare_with_leaves_the_fill() -> None:
    fill = np.full((64, 64, 3), 99, np.float32)
    assert (match_colour(fill, np.zeros((64, 64, 3), np.uint8), np.ones((64, 64), bool)) == fill).all()


# Blending


def line_mask() -> Mask:
    mask = np.zeros((400, 900), bool)
    columns = np.arange(900)
    for down in range(6):
        mask[100 + columns // 5 + down, columns] = True
    return mask | disc(400, 900, 600, 330, 60)


def test_weights_are_one_on_the_mask_and_zero_beyond_the_feather() -> None:
    rng = np.random.default_rng(5)
    for _ in range(10):
        height, width = (int(side) for side in rng.integers(20, 400, 2))
        mask = np.zeros((height, width), bool)
        for _ in range(rng.integers(1, 4)):
            mask |= disc(height, width, rng.uniform(0, width), rng.uniform(0, height), rng.uniform(1, 60))
        crops = plan(mask, 64)
        colours, weights = blend([np.zeros((64, 64, 3), np.float32)] * len(crops), crops, mask, whole(mask))
        assert (weights[mask] == 1).all()
        widest = max((feather_width(crop) for crop in crops), default=0)
        assert (weights[feather(mask, 2 * widest) == 0] == 0).all()
        assert colours.shape == (*mask.shape, 3)


def test_even_fills_blend_to_the_same_colour() -> None:
    mask = line_mask()
    crops = plan(mask, 64)
    assert len(crops) > 10
    colours, weights = blend([np.full((64, 64, 3), 200, np.float32)] * len(crops), crops, mask, whole(mask))
    assert np.abs(colours[weights > 0] - 200).max() < 0.01


def test_right_fills_give_the_photo_back() -> None:
    photo, mask = landscape(400, 900), line_mask()
    crops = plan(mask, 64)
    fills = [extract(photo, mask, crop)[0].astype(np.float32) for crop in crops]
    colours, weights = blend(fills, crops, mask, whole(mask))
    assert np.abs(colours - photo)[weights > 0].max() <= 2


def test_windows_that_disagree_fade_into_each_other() -> None:
    mask = np.zeros((128, 600), bool)
    mask[60:68] = True
    crops = plan(mask, 128)
    fills = [np.full((128, 128, 3), 100 * (index % 2), np.float32) for index in range(len(crops))]
    colours, _ = blend(fills, crops, mask, whole(mask))
    along = colours[64, :, 0]
    assert along.min() == 0
    assert along.max() == 100
    assert np.abs(np.diff(along)).max() < 20


def test_window_that_answers_for_all_of_itself_shows_its_whole_fill() -> None:
    fill = np.random.default_rng(1).uniform(0, 255, (64, 64, 3)).astype(np.float32)
    crop = Crop(30, 20, 64, 64, (30, 20, 94, 84))
    colours, weights = blend([fill], [crop], np.ones((200, 300), bool), (0, 0, 300, 200))
    np.testing.assert_allclose(colours[20:84, 30:94], fill, rtol=1e-6)
    assert weights.sum() == 64 * 64


def test_bands_are_the_whole() -> None:
    rng, mask = np.random.default_rng(6), line_mask()
    crops = plan(mask, 64)
    fills = [rng.uniform(0, 255, (64, 64, 3)).astype(np.float32) for _ in crops]
    colours, weights = blend(fills, crops, mask, whole(mask))
    for top in range(0, 400, 90):
        bottom = min(400, top + 90)
        band_colours, band_weights = blend(fills, crops, mask, (0, top, 900, bottom))
        np.testing.assert_array_equal(band_weights, weights[top:bottom])
        np.testing.assert_allclose(band_colours, colours[top:bottom], atol=0.01)


# Seam


def test_untouched_photo_has_no_seam() -> None:
    seam = measure_seam(landscape(200, 200, texture=15), disc(200, 200, 100, 100, 40), gap=2)
    assert seam is not None
    assert 0.85 < seam.colour_ratio < 1.15
    assert 0.85 < seam.gradient_ratio < 1.15


def test_tint_shows_in_the_colour_step() -> None:
    photo, mask = landscape(200, 200), disc(200, 200, 100, 100, 40)
    result = photo + np.where(mask[..., None], 20, 0)
    seam, untouched = measure_seam(result, mask, depth=4), measure_seam(photo, mask, depth=4)
    assert seam is not None
    assert untouched is not None
    assert seam.colour_step == pytest.approx(20, abs=2)
    assert seam.colour_ratio > 8
    assert seam.gradient_ratio == pytest.approx(untouched.gradient_ratio, abs=0.01)


def test_blurred_fill_shows_in_the_gradient_step() -> None:
    photo, mask = landscape(200, 200, texture=15), disc(200, 200, 100, 100, 40)
    seam = measure_seam(np.where(mask[..., None], landscape(200, 200), photo), mask)
    assert seam is not None
    assert seam.gradient_step > 10
    assert seam.gradient_ratio > 2


def test_gap_leaves_the_feather_out() -> None:
    photo, mask = landscape(200, 200), disc(200, 200, 100, 100, 40)
    feathered = photo + 20 * feather(mask, 8)[..., None]
    seam = measure_seam(feathered, mask, gap=8, depth=4)
    assert seam is not None
    assert seam.colour_step == pytest.approx(20, abs=4)


@pytest.mark.parametrize("value", [False, True])
def test_no_border_has_no_seam(value: bool) -> None:
    assert measure_seam(landscape(60, 60), np.full((60, 60), value)) is None


def test_prefill_continues_the_surroundings_and_forgets_the_object() -> None:
    y, x = np.mgrid[:96, :96]
    background = np.stack([60 + x, 200 - y, np.full_like(x, 90)], axis=-1).astype(np.uint8)
    hole = np.zeros((96, 96), bool)
    hole[30:60, 40:55] = True
    hole[80:, 90:] = True
    image = np.where(hole[..., None], np.uint8(255), background)
    filled = prefill(image, hole)
    assert np.array_equal(filled[~hole], image[~hole])
    assert np.abs(filled[hole].astype(int) - background[hole]).max() <= 20
    assert np.array_equal(filled, prefill(np.where(hole[..., None], np.uint8(0), background), hole))


def test_a_blurred_fill_is_measured_as_less_sharp() -> None:
    photo, mask = landscape(200, 200, texture=15), disc(200, 200, 100, 100, 40)
    blurred = np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(4)))
    sharp, soft = measure_seam(photo, mask), measure_seam(np.where(mask[..., None], blurred, photo), mask)
    assert sharp is not None
    assert soft is not None
    assert 0.9 < sharp.sharpness < 1.1
    assert soft.sharpness < 0.5
