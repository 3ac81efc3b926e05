"""Detail grown from the photo round a hole: on photographs where the truth is known, and on made-up pictures."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.inpainting.push_pull import push_pull
from mlx_moebius.inpainting.synthesis import offsets
from mlx_moebius.inpainting.synthesis.assembly import Guide, assemble
from mlx_moebius.inpainting.synthesis.grids import Scene, resize
from mlx_moebius.inpainting.synthesis.grow import grow
from mlx_moebius.inpainting.synthesis.trust import reliable_resolution
from mlx_moebius.photos.geometry import Colours, Mask
from mlx_moebius.photos.masks import dilate

PHOTOS = Path(__file__).parents[2] / "examples" / "windows"
TRUNK = Path(__file__).parents[1] / "data" / "trunk"
Pixels = NDArray[np.uint8]


def photograph(name: str) -> Pixels:
    return np.asarray(Image.open(PHOTOS / f"{name}.jpg").convert("RGB"))


def person() -> Mask:
    return np.asarray(Image.open(PHOTOS / "hole.png").convert("L")) > 127


def disk(height: int = 300, width: int = 400, radius: int = 60) -> Mask:
    rows, columns = np.mgrid[:height, :width]
    return (rows - height // 2) ** 2 + (columns - width // 2) ** 2 < radius**2


def smooth(photo: Pixels, hole: Mask) -> Colours:
    return push_pull(photo.astype(np.float32), ~hole)


def reduced(photo: Pixels | Colours, cells: int) -> Colours:
    """What a network of so many cells would know of the truth."""
    small = resize(photo.astype(np.float32), (cells, cells))
    return resize(small, photo.shape[:2], Image.Resampling.BICUBIC)


def scene(photo: Pixels, hole: Mask, fill: Colours | None = None, excluded: Mask | None = None) -> Scene:
    rows, columns = np.nonzero(hole)
    box = int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
    fill = smooth(photo, hole) if fill is None else fill
    others = hole if excluded is None else hole | excluded
    return Scene(photo, hole, others, dilate(others, 9), fill[box[1] : box[3], box[0] : box[2]], box)


def grown(photo: Pixels, hole: Mask, fill: Colours | None = None, trusted: float = 0, seed: int = 0) -> Colours:
    """The photo with its hole filled, float32."""
    asked = scene(photo, hole, fill)
    colours = grow(asked, trusted, seed)
    assert colours is not None
    result = photo.astype(np.float32)
    left, top, right, bottom = asked.box
    here = np.s_[top:bottom, left:right]
    result[here] = np.where(hole[here][..., None], colours, result[here])
    return result


def seen(name: str, side: int) -> tuple[Colours, Mask]:
    """The window that the product plans round the person, as a network of that side sees it."""
    window = np.s_[42:1024, 22:1004]
    hole = np.asarray(Image.fromarray(person()[window]).resize((side, side))) > 0
    return resize(photograph(name)[window].astype(np.float32), (side, side)), hole


def gradient(picture: NDArray[np.generic], where: Mask) -> float:
    values = picture.astype(np.float32)
    steps = np.abs(np.diff(values, axis=0))[:, :-1].mean(-1) + np.abs(np.diff(values, axis=1))[:-1].mean(-1)
    return float(steps[where[:-1, :-1]].mean())


def psnr(picture: Colours, truth: Pixels, hole: Mask) -> float:
    return float(10 * np.log10(255**2 / ((picture - truth) ** 2)[hole].mean()))


def slowly(*names: str) -> list[Any]:
    """These in the long tests only."""
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", ["sand", "sunset", "wall", *slowly("bark", "lawn", "path", "steppe", "waterfall")])
def test_a_smooth_fill_becomes_as_sharp_as_the_photo_was(name: str) -> None:
    photo, hole = photograph(name), person()
    inner = ~dilate(~hole, 15)
    result = grown(photo, hole)
    assert 0.6 < gradient(result, inner) / gradient(photo, inner) < 1.3
    assert gradient(smooth(photo, hole), inner) / gradient(photo, inner) < 0.2
    assert (
        psnr(result, photo, hole) > psnr(smooth(photo, hole), photo, hole) - 3.5
    )  # invented texture is not the lost one


@pytest.mark.parametrize("name", ["sand", "wall", *slowly("bark", "sunset")])
@pytest.mark.parametrize("cells", [48, 128])
def test_a_trusted_fill_keeps_its_say_and_gets_the_photos_detail(name: str, cells: int) -> None:
    photo, hole = photograph(name), person()
    inner = ~dilate(~hole, 15)
    fill = reduced(photo, cells)
    result = grown(photo, hole, fill, trusted=cells)
    assert 0.6 < gradient(result, inner) / gradient(photo, inner) < 1.3
    low, own = (resize(picture.astype(np.float32), (cells, cells)) for picture in (result, photo))
    inside = resize(inner.astype(np.float32), (cells, cells)) == 1
    off = np.abs(low - own)[inside].mean()
    assert off < 0.35 * np.abs(resize(smooth(photo, hole), (cells, cells)) - own)[inside].mean()


@pytest.mark.parametrize("name", ["lawn", "sand", "sunset", "wall"])
@pytest.mark.parametrize(("side", "cells"), [(128, 16), (128, 32), (128, 64), (128, 128), (512, 128), (512, 256)])
def test_the_truth_reduced_is_trusted_to_about_that_scale(name: str, side: int, cells: int) -> None:
    photo, hole = seen(name, side)
    trusted = reliable_resolution(photo, reduced(photo, cells) if cells < side else photo, hole)
    assert cells / 2 <= trusted < cells * 1.5


@pytest.mark.parametrize("name", ["sand", "sunset", "wall", *slowly("bark", "lawn", "path", "steppe", "waterfall")])
def test_a_smooth_fill_is_not_trusted(name: str) -> None:
    photo, hole = seen(name, 128)
    assert reliable_resolution(photo, push_pull(photo, ~hole), hole) < 24


def test_nothing_is_copied_from_the_hole_other_parts_or_a_rim() -> None:
    photo, hole = photograph("lawn")[:400, :500].copy(), disk(400, 500)
    other = np.zeros_like(hole)
    other[20:80, 30:400] = True
    photo[hole] = 255, 0, 255
    photo[dilate(other, 9)] = 255, 120, 0
    fill = smooth(photograph("lawn")[:400, :500], hole)
    asked = scene(photo, hole, fill, other)
    for trusted in (0, 48, 120):
        colours = grow(asked, trusted, seed=0)
        assert colours is not None
        own = colours[hole[asked.box[1] : asked.box[3], asked.box[0] : asked.box[2]]]
        lawn = photograph("lawn")[:400, :500].reshape(-1, 3).astype(np.float32)
        redness = np.percentile(own[:, 0] - own[:, 1], 99.9)  # of magenta 255, of orange 135
        assert redness < (lawn[:, 0] - lawn[:, 1]).max() + 20


def test_what_is_flat_stays_flat() -> None:
    photo = np.full((300, 400, 3), (90, 140, 200), np.uint8)
    assert np.abs(grown(photo, disk()) - photo).max() < 0.5


def test_a_plain_gradient_gets_no_noise() -> None:
    rows, columns = np.mgrid[:300, :400]
    photo = np.stack([40 + columns * 0.4, 200 - columns * 0.3 + rows * 0.1, 60 + rows * 0.5], -1).astype(np.uint8)
    result = grown(photo, disk())
    assert np.abs(result - photo)[disk()].max() < 12
    assert gradient(result, disk()) < 1.5 * gradient(photo, disk())


def test_a_drawing_without_grain_stays_one_and_its_bands_go_on() -> None:
    photo = np.full((300, 400, 3), (200, 220, 240), np.uint8)
    photo[120:180] = 30, 80, 30
    result = grown(photo, disk())
    assert np.abs(result - photo)[disk()].mean() < 3


def test_stripes_that_run_into_the_hole_go_on() -> None:
    rows, columns = np.mgrid[:300, :400]
    photo = np.repeat(np.where((rows + columns) // 12 % 2 == 0, 40, 240)[..., None], 3, axis=-1).astype(np.uint8)
    wrong = np.abs(grown(photo, disk()) - photo)[disk()].mean(axis=-1) > 100
    assert wrong.mean() < 0.05


def test_grain_comes_back_with_its_strength() -> None:
    rng = np.random.default_rng(0)
    photo = (128 + rng.normal(0, 6, (300, 400, 3))).round().astype(np.uint8)
    result = grown(photo, disk())
    assert result[disk()].std() == pytest.approx(photo.std(), rel=0.15)


@pytest.mark.parametrize("kind", ["wire", "scratch", "dot"])
def test_thin_holes_are_filled_from_beside_them(kind: str) -> None:
    photo = photograph("lawn")[:400, :500]
    rows, columns = np.mgrid[:400, :500]
    hole = {
        "wire": np.abs(rows - 100 - columns * 0.3) < 4,
        "scratch": (np.abs(rows - 200) < 1) & (np.abs(columns - 250) < 180),
        "dot": (rows == 200) & (columns == 250),
    }[kind]
    result = grown(photo, hole)
    assert 0.6 < gradient(result, dilate(hole, 3)) / gradient(photo, dilate(hole, 3)) < 1.3
    assert psnr(result, photo, hole) > psnr(smooth(photo, hole), photo, hole) - 0.6


@pytest.mark.parametrize("slope", [-0.2, 0.25, 0.35])
def test_edges_that_cross_a_thin_hole_go_on_straight(slope: float) -> None:
    rows, columns = np.mgrid[:200, :200]
    brow = np.clip(10 - np.abs(rows - 100 - slope * (columns - 100)), 0, 4)[..., None] / 4
    grain = np.random.default_rng(0).normal(0, 2, (200, 200, 1))
    photo = (np.array([215, 170, 145]) * (1 - brow) + np.array([70, 45, 40]) * brow + grain).astype(np.uint8)
    hole = np.abs(rows - 100 - 2 * (columns - 100)) < 14
    off = np.abs(grown(photo, hole) - photo)[hole].max(axis=-1)
    assert np.count_nonzero(off > 40) < 6


def net() -> Mask:
    rows, columns = np.mgrid[:400, :400]
    return ((rows + columns) % 46 < 10) | ((rows - columns) % 46 < 10)


def test_what_lies_between_the_wires_of_a_net_is_enough_to_copy_from() -> None:
    photo, hole = photograph("path")[300:460, 300:460], net()[:160, :160]
    result = grown(photo, hole)
    assert 0.7 < gradient(result, hole) / gradient(photo, hole) < 1.2
    assert psnr(result, photo, hole) > psnr(smooth(photo, hole), photo, hole) - 1.5


def test_the_fill_of_a_net_is_not_believed_against_its_rims() -> None:
    photo = photograph("steppe")[300:700, 300:700].astype(np.float32)
    truth = reduced(photo, 200)
    assert reliable_resolution(photo, truth, net()) > 100
    drawn = truth + np.where(net(), 40, 0)[..., None]  # as a network that works on cells with wires in them does
    assert reliable_resolution(photo, drawn.astype(np.float32), net()) == 0


def test_a_hole_smaller_than_a_cell_is_filled_beside_a_trusted_fill() -> None:
    photo = photograph("lawn")[:400, :500]
    hole = np.zeros((400, 500), bool)
    hole[200, 250] = True
    assert np.isfinite(grown(photo, hole, trusted=60)).all()


@pytest.mark.parametrize("trusted", [0, 120])
def test_where_there_is_too_little_to_copy_from_nothing_is_grown(trusted: float) -> None:
    photo = photograph("lawn")[:300, :400]
    hole = np.ones((300, 400), bool)
    hole[:14] = False
    assert grow(scene(photo, hole), trusted, seed=0) is None


@pytest.mark.parametrize("trusted", [0, 40, 100])
def test_holes_at_the_edge_and_in_small_and_narrow_windows(trusted: float) -> None:
    photo = photograph("lawn")
    for height, width in ((40, 60), (90, 400), (333, 64)):
        hole = np.zeros((height, width), bool)
        hole[height // 2 :, : width // 3] = True
        result = grown(photo[:height, :width], hole, trusted=min(trusted, width))
        assert np.isfinite(result).all()
        assert np.abs(result[hole].mean() - photo[:height, :width][~hole].mean()) < 25


@pytest.mark.slow
@pytest.mark.parametrize("trusted", [0, 48, 128])
def test_the_same_seed_gives_the_same_bytes(trusted: float) -> None:
    photo, hole = photograph("path")[:500, :500], person()[300:800, 250:750]
    first, again = (grown(photo, hole, trusted=trusted, seed=3) for _ in range(2))
    assert np.array_equal(first, again)


def test_no_place_is_copied_again_and_again() -> None:
    """A leaf beside the hole must not become a row of leaves: red blobs in the hole are few."""
    rng = np.random.default_rng(1)
    photo = (90 + rng.normal(0, 12, (400, 600, 3))).clip(0, 255).astype(np.uint8)
    rows, columns = np.mgrid[:400, :600]
    photo[(rows - 200) ** 2 + (columns - 80) ** 2 < 15**2] = 220, 40, 30
    hole = (np.abs(rows - 200) < 60) & (np.abs(columns - 350) < 170)
    red = (grown(photo, hole)[..., 0] > 180) & hole
    assert red.sum() < 3 * np.pi * 15**2


def test_a_meadow_does_not_become_wallpaper() -> None:
    """Few places are copied more than three times, although those beside the hole fit well again and again."""
    photo = np.asarray(Image.open(TRUNK / "photo.jpg"))
    grid = scene(photo, dilate(np.asarray(Image.open(TRUNK / "hole.png")), 5)).grid(128)
    known = offsets.repeats(grid, 60, np.random.default_rng(0))
    found = np.unique(np.concatenate([known, offsets.rings(4, 8, 16, 32)]), axis=0)
    copied = assemble(grid, found, Guide(grid.colours, grid.colours, 0.02))[grid.hole.ravel()]
    assert (np.bincount(copied)[copied] > 3).mean() < 0.25


@pytest.mark.slow
@pytest.mark.parametrize("trusted", [0, 200])
def test_a_window_of_4000_pixels_takes_less_than_600_mb(trusted: float) -> None:
    photo = np.asarray(Image.fromarray(photograph("sand")).resize((4000, 4000), Image.Resampling.BICUBIC))
    hole = np.zeros((4000, 4000), bool)
    hole[1200:2700, 1200:2700] = True
    asked = scene(photo, hole)
    tracemalloc.start()
    assert grow(asked, trusted, seed=0) is not None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 600e6


def test_a_trunk_that_touches_the_hole_does_not_spread_over_the_meadow() -> None:
    photo = np.asarray(Image.open(TRUNK / "photo.jpg"))
    hole = dilate(np.asarray(Image.open(TRUNK / "hole.png")), 5)
    red, green, blue = np.moveaxis(grown(photo, hole), -1, 0)
    bark = (2 * green - red - blue) / (red + green + blue + 60) < 0.02  # grass is greener
    rows, columns = np.mgrid[: hole.shape[0], : hole.shape[1]]
    assert bark[hole & (columns > 130) & (rows < 210)].mean() < 0.11  # leaves lie there, too
