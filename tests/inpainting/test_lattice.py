"""Regular textures: the joints of a brick wall go on across a hole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.inpainting.push_pull import push_pull
from mlx_moebius.inpainting.synthesis import lattice
from mlx_moebius.inpainting.synthesis.grids import Scene
from mlx_moebius.inpainting.synthesis.grow import grow
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.masks import dilate

PHOTOS = Path(__file__).parents[2] / "examples" / "windows"
SIZE = 384
Pixels = NDArray[np.uint8]


def wall(course: int, length: int, joint: int) -> tuple[Pixels, Mask]:
    """Bricks in running bond, each of another tone, under uneven light, and where their joints are."""
    rng = np.random.default_rng(course)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    number = rows // course
    along = columns + number % 2 * (length // 2)
    joints = (rows % course < joint) | (along % length < joint)
    tones = rng.normal(0, 14, (SIZE, SIZE))[number, along // length][..., None]
    colours = np.where(joints[..., None], (196, 190, 180), np.array([160, 82, 62]) + tones)
    colours = colours + 20 * (columns / SIZE - 0.5)[..., None] + rng.normal(0, 5, (SIZE, SIZE, 1))
    return colours.clip(0, 255).astype(np.uint8), joints


def scene(photo: Pixels) -> Scene:
    """A round hole of 90 pixels in the middle, filled smoothly."""
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    hole = rows**2 + columns**2 < 45**2
    box = 140, 140, SIZE - 140, SIZE - 140
    smooth = push_pull(photo.astype(np.float32), ~hole)[140:-140, 140:-140]
    return Scene(photo, hole, hole, dilate(hole, 9), smooth, box)


@pytest.mark.parametrize(("course", "length", "joint"), [(30, 84, 6), (36, 90, 8)])
def test_the_joints_of_a_wall_go_on(course: int, length: int, joint: int) -> None:
    photo, joints = wall(course, length, joint)
    place = scene(photo)
    colours = grow(place, 0, seed=0)
    assert colours is not None
    inside = place.hole[140:-140, 140:-140]
    wrong = (colours[..., 2] > 120) != joints[140:-140, 140:-140]
    assert wrong[inside].mean() < 0.01


def test_the_offsets_are_the_walls_own() -> None:
    found = lattice.find(scene(wall(30, 84, 6)[0]).grid(128))  # cells of 3 pixels
    assert found is not None
    assert {(0, 28), (10, 14), (20, 0)} <= {tuple(offset) for offset in found.offsets}
    assert found.excess(np.array([[0, 28], [10, 14]])).max() < 0.2 * found.excess(np.array([[0, 14], [5, 0]])).min()


@pytest.mark.parametrize("name", ["bark", "lawn", "sunset", "wall", "waterfall"])
def test_what_is_not_regular_has_no_lattice(name: str) -> None:
    photo = np.asarray(Image.open(PHOTOS / f"{name}.jpg").convert("RGB"))[:SIZE, :SIZE]
    assert lattice.find(scene(photo).grid(128)) is None
