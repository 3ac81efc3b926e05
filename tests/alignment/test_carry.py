"""A selection moves along with the scene to another shot, or it is said why not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mlx_moebius.alignment.carry import carried
from mlx_moebius.photos.photo import Photo, read_photo
from tests.selection.scenes import overlap

SCENE = Path(__file__).parents[2] / "examples" / "landscape.png"
CAMERA = np.array([[1.01, 0.02, -26], [-0.015, 1.0, -8], [1e-6, 0, 1]])


def scene(ball: tuple[int, int]) -> np.ndarray:
    rgb = cv2.resize(np.asarray(Image.open(SCENE).convert("RGB")), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    cv2.circle(rgb, ball, 24, (200, 40, 40), -1)
    cv2.line(rgb, (20, 40), (740, 92), (30, 30, 30), 2)
    return rgb


def saved(folder: Path, name: str, rgb: np.ndarray, exposure: float = 1) -> Photo:
    Image.fromarray((rgb * exposure).clip(0, 255).astype(np.uint8)).save(folder / name)
    return read_photo(folder / name)


def from_elsewhere(picture: np.ndarray) -> np.ndarray:
    size = picture.shape[1], picture.shape[0]
    return np.asarray(cv2.warpPerspective(picture, CAMERA, size, borderMode=cv2.BORDER_REFLECT))


@pytest.mark.slow
def test_a_selection_moves_with_the_camera_and_stops_where_the_scene_does_not_stand_still(tmp_path: Path) -> None:
    rgb = scene((330, 200))
    photo = saved(tmp_path, "a.png", rgb)
    shot = saved(tmp_path, "b.png", from_elsewhere(rgb), exposure=0.85)
    ball, wire = (np.zeros(rgb.shape[:2], np.uint8) for _ in range(2))
    cv2.circle(ball, (330, 200), 26, 1, -1)
    cv2.line(wire, (20, 40), (740, 92), 1, 4)
    for thing, least in ((ball, 0.97), (wire, 0.85)):
        found = carried(photo, thing > 0, shot)
        assert not isinstance(found, str), found
        assert overlap(found, from_elsewhere(thing * 255) > 127) > least

    gone = carried(photo, ball > 0, saved(tmp_path, "c.png", from_elsewhere(scene((330, 420)))))
    assert "looks otherwise at that place" in str(gone)
    fish = np.asarray(Image.open(SCENE.parent / "fish.jpg").resize((768, 512)))
    assert "does not show the same scene" in str(carried(photo, ball > 0, saved(tmp_path, "d.png", fish)))
