"""The planner by its properties, on random masks, and by what a photographer expects of a few known ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.crops import MAX_CROPS, Crop, plan
from mlx_moebius.photos.geometry import Box

Mask = NDArray[np.bool_]
Painter = Callable[[Mask, np.random.Generator], None]


def line(mask: Mask, start: tuple[float, float], end: tuple[float, float], width: int = 1) -> None:
    """A straight line from (x, y) to (x, y)."""
    height, length = mask.shape
    steps = int(max(abs(end[0] - start[0]), abs(end[1] - start[1]))) + 1
    xs, ys = (np.linspace(start[axis], end[axis], steps).astype(int) for axis in (0, 1))
    for down in range(width):
        for right in range(width):
            x, y = xs + right, ys + down
            inside = (x >= 0) & (x < length) & (y >= 0) & (y < height)
            mask[y[inside], x[inside]] = True


def disc(mask: Mask, x: float, y: float, radius: float) -> None:
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    mask |= (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def paint_blobs(mask: Mask, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 6)):
        disc(mask, rng.uniform(0, mask.shape[1]), rng.uniform(0, mask.shape[0]), rng.uniform(1, max(mask.shape) / 4))


def paint_lines(mask: Mask, rng: np.random.Generator) -> None:
    height, width = mask.shape
    for _ in range(rng.integers(1, 4)):
        start, end = ((rng.uniform(0, width), rng.uniform(0, height)) for _ in range(2))
        line(mask, start, end, int(rng.integers(1, 30)))


def paint_pixel(mask: Mask, rng: np.random.Generator) -> None:
    mask[rng.integers(mask.shape[0]), rng.integers(mask.shape[1])] = True


def paint_corners(mask: Mask, rng: np.random.Generator) -> None:
    size = rng.integers(1, 40)
    mask[:size, :size] = mask[-size:, -size:] = mask[:1, -1:] = True


def paint_border(mask: Mask, rng: np.random.Generator) -> None:
    width = rng.integers(1, 40)
    mask[:width] = mask[-width:] = mask[:, :width] = mask[:, -width:] = True


def paint_dust(mask: Mask, rng: np.random.Generator) -> None:
    mask |= rng.random(mask.shape) < 0.001


def paint_object_on_a_wire(mask: Mask, rng: np.random.Generator) -> None:
    height, width = mask.shape
    line(mask, (0, height / 3), (width, height / 2), 4)
    disc(mask, rng.uniform(0, width), height / 2.4, height / 5)


def paint_everything(mask: Mask, rng: np.random.Generator) -> None:
    mask[:] = True


PAINTERS: list[Painter] = [
    paint_blobs,
    paint_lines,
    paint_pixel,
    paint_corners,
    paint_border,
    paint_dust,
    paint_object_on_a_wire,
    paint_everything,
]


def extent(box: Box) -> int:
    return max(box[2] - box[0], box[3] - box[1])


def check(mask: Mask, crops: list[Crop], size: int) -> None:
    """Everything that must hold for any mask and any settings."""
    height, width = mask.shape
    assert bool(crops) == bool(mask.any())
    assert len(crops) <= MAX_CROPS
    covered = np.zeros_like(mask)
    for crop in crops:
        left, top, right, bottom = crop.box
        assert crop.size == size
        assert size <= crop.side <= max(size, width, height)
        covered[top:bottom, left:right] = True
        own = mask[top:bottom, left:right]  # a tight box: masked pixels along each of its edges
        assert own.shape == (bottom - top, right - left)
        assert all(edge.any() for edge in (own[0], own[-1], own[:, 0], own[:, -1]))
        for low, high, first, length in ((left, right, crop.left, width), (top, bottom, crop.top, height)):
            last = first + crop.side
            if crop.side <= length:
                assert 0 <= first <= last <= length
            else:
                assert first <= 0 < length <= last
            assert first <= 0 or low - first >= crop.side // 8
            assert last >= length or last - high >= crop.side // 8
        by = crop.side // 16  # the blend fits into the margin
        assert crop.reach(width, height) == (
            max(0, left - by),
            max(0, top - by),
            min(width, right + by),
            min(height, bottom + by),
        )
    assert not (mask & ~covered).any()


@pytest.mark.parametrize("paint", PAINTERS)
def test_any_mask_is_covered(paint: Painter) -> None:
    rng = np.random.default_rng(7)
    for _ in range(25):
        height, width = rng.integers(1, 900, 2)
        mask = np.zeros((height, width), bool)
        paint(mask, rng)
        size = int(rng.choice([64, 128, 512]))
        check(mask, plan(mask, size, context=float(rng.uniform(1, 4))), size)


@pytest.mark.parametrize("paint", PAINTERS)
def test_largest_crop_is_kept(paint: Painter) -> None:
    rng = np.random.default_rng(8)
    for _ in range(10):
        height, width = rng.integers(100, 900, 2)
        mask = np.zeros((height, width), bool)
        paint(mask, rng)
        largest = int(rng.integers(64, 400))
        pieces = -(-height // (largest * 3 // 4)) * -(-width // (largest * 3 // 4))
        if 2 * pieces > MAX_CROPS:
            largest = 400
        crops = plan(mask, 64, max_crop=largest)
        check(mask, crops, 64)
        assert all(crop.side <= largest for crop in crops)


def test_empty_mask_needs_no_window() -> None:
    empty = np.zeros((300, 400), bool)
    assert plan(empty, 128) == []
    assert plan(empty, 128, whole_image=True) == []


def test_small_objects_are_filled_at_native_detail() -> None:
    mask = np.zeros((2000, 3000), bool)
    disc(mask, 1500, 900, 100)
    (crop,) = plan(mask, 512)
    assert (crop.side, crop.enlargement) == (512, 1)
    assert crop.box == (1400, 800, 1601, 1001)
    assert (crop.left, crop.top) == (1244, 644)  # centred


def test_large_object_gets_the_context_asked_for() -> None:
    mask = np.zeros((3000, 4000), bool)
    disc(mask, 1500, 1500, 400)
    for context, side in ((1.5, 1202), (2.0, 1602), (3.0, 2403)):
        (crop,) = plan(mask, 512, context)
        assert crop.side == side
        assert crop.enlargement == side / 512


def test_window_at_an_edge_is_shifted_inside() -> None:
    mask = np.zeros((1000, 1500), bool)
    mask[990:, 1480:] = True
    (crop,) = plan(mask, 512)
    assert crop.frame == (988, 488, 1500, 1000)


def test_near_parts_share_a_window_and_far_ones_do_not() -> None:
    mask = np.zeros((1000, 3000), bool)
    disc(mask, 400, 500, 40)
    disc(mask, 520, 500, 40)
    disc(mask, 2500, 500, 40)
    near, far = sorted(plan(mask, 512), key=lambda crop: crop.left)
    assert near.box == (360, 460, 561, 541)
    assert far.box == (2460, 460, 2541, 541)


def test_power_line_is_followed_at_native_detail() -> None:
    mask = np.zeros((4000, 6000), bool)
    line(mask, (0, 500), (3000, 900), 10)
    line(mask, (3000, 900), (6000, 400), 10)
    crops = plan(mask, 512)
    assert {crop.side for crop in crops} == {512}
    assert len(crops) <= 16 + 1  # pieces of 384 pixels


def test_object_on_a_power_line_does_not_blur_the_line() -> None:
    mask = np.zeros((3000, 6000), bool)
    line(mask, (0, 1000), (6000, 1300), 10)
    disc(mask, 3000, 1150, 450)
    large = [crop for crop in plan(mask, 512) if crop.side > 512]
    assert len(large) == 1
    assert extent(large[0].box) <= 1100
    assert large[0].side <= 2200


def test_thick_band_is_cut_along_its_length() -> None:
    mask = np.zeros((4000, 6000), bool)
    mask[1500:1800] = True
    crops = plan(mask, 512)
    assert 4 <= len(crops) <= 8
    assert all(4 * 300 <= crop.side <= 6 * 300 for crop in crops)


def test_hole_across_the_frame_gets_the_whole_photo_once() -> None:
    mask = np.zeros((2000, 3000), bool)
    mask[200:1800, 100:2900] = True
    (crop,) = plan(mask, 512)
    assert crop.frame == (0, -500, 3000, 2500)
    assert crop.enlargement == 3000 / 512


def test_large_hole_stays_inside_the_short_side_while_it_can() -> None:
    mask = np.zeros((2000, 3000), bool)
    disc(mask, 1400, 1000, 700)
    (crop,) = plan(mask, 512)
    assert (crop.side, crop.top) == (2000, 0)


def test_image_smaller_than_the_model_is_centred_not_stretched() -> None:
    mask = np.zeros((100, 300), bool)
    mask[40:60, 10:290] = True
    (crop,) = plan(mask, 512)
    assert crop.frame == (-106, -206, 406, 306)
    assert crop.enlargement == 1


def test_whole_image() -> None:
    mask = np.zeros((600, 900), bool)
    mask[5, 5] = mask[590, 890] = True
    (crop,) = plan(mask, 128, whole_image=True)
    assert crop.frame == (0, -150, 900, 750)
    assert crop.box == (5, 5, 891, 591)


def test_dust_all_over_a_photo_is_bounded() -> None:
    mask = np.zeros((4000, 6000), bool)
    rng = np.random.default_rng(3)
    mask[rng.integers(0, 4000, 3000), rng.integers(0, 6000, 3000)] = True
    crops = plan(mask, 512)
    check(mask, crops, 512)
    assert max(crop.enlargement for crop in crops) < 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"context": 0.5}, "use 1 or more"),
        ({"max_crop": 100}, "smaller than the model's 128"),
        ({"max_crop": 256, "whole_image": True}, "choose one"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, float], said: str) -> None:
    with pytest.raises(MoebiusError, match=said):
        plan(np.ones((300, 300), bool), 128, **settings)  # type: ignore[arg-type]


def test_largest_crop_that_would_need_too_many_windows_is_refused() -> None:
    with pytest.raises(MoebiusError, match="allow larger"):
        plan(np.ones((2000, 2000), bool), 64, max_crop=64)
