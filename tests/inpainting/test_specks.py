"""Specks: filled from what is round them, without the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlx_moebius import MoebiusPipeline
from mlx_moebius.generate import main
from mlx_moebius.inpainting.compose import prepare_crops
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.inpainting.specks import heal_specks
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.photo import Photo, photo_from_image
from tests.support.command import run

PHOTOS = Path(__file__).parents[2] / "examples" / "windows"


def dusty(name: str, radius: float = 4) -> tuple[Photo, Photo, Mask]:
    """A photograph, the same with white specks, and the specks."""
    photo = photo_from_image(Image.open(PHOTOS / f"{name}.jpg").convert("RGB"))
    mask = np.zeros((photo.height, photo.width), bool)
    rows, columns = np.mgrid[:31, :31] - 15
    for top, left in np.random.default_rng(1).integers(20, 970, (12, 2)):
        mask[top : top + 31, left : left + 31] |= rows**2 + columns**2 < radius**2
    pixels = photo.pixels.copy()
    pixels[mask] = 255
    return photo, photo_from_image(Image.fromarray(pixels)), mask


def gradient(pixels: np.ndarray, where: Mask) -> float:
    grey = pixels.astype(float).mean(axis=-1)
    return float(np.abs(np.diff(grey, axis=1))[where[:, 1:]].mean())


def test_specks_are_gone_and_the_rest_is_untouched() -> None:
    for name, most in (("steppe", 8), ("sand", 24)):
        truth, photo, mask = dusty(name)
        healed, rest = heal_specks(photo, mask)
        assert np.array_equal(healed.pixels[~mask], photo.pixels[~mask])
        done = mask & ~rest
        assert done.sum() > 0.75 * mask.sum()
        off = np.abs(healed.pixels.astype(int) - truth.pixels)[done]
        assert off.mean() < most
        assert 0.75 < gradient(healed.pixels, done) / gradient(truth.pixels, done) < 1.35


def test_an_edge_goes_on_through_a_speck() -> None:
    rows, columns = np.mgrid[:300, :640]
    sides = np.where(columns * 0.2 + 60 < rows, 200, 60)[..., None] * np.array([1, 0.9, 0.8])
    grain = np.random.default_rng(0).normal(0, 4, sides.shape)
    pixels = np.rint(sides + grain).clip(0, 255).astype(np.uint8)
    mask = (rows - 124) ** 2 + (columns - 320) ** 2 < 25
    photo = pixels.copy()
    photo[mask] = 255, 0, 0
    healed, rest = heal_specks(Photo(photo, "RGB"), mask)
    assert not rest.any()
    assert (np.abs(healed.pixels - sides)[mask].max(axis=-1) < 40).mean() > 0.85


def test_what_is_unlike_all_that_is_near_is_left_to_the_network() -> None:
    pixels = np.full((640, 640, 3), 128, np.uint8)
    pixels[:, ::2] = 60
    pixels[300:320, 300:320] = np.random.default_rng(0).integers(0, 256, (20, 20, 3))
    mask = np.zeros((640, 640), bool)
    mask[306:314, 306:314] = True
    photo, rest = heal_specks(Photo(pixels, "RGB"), mask)
    assert photo.pixels is pixels
    assert np.array_equal(rest, mask)


def test_a_photo_with_specks_alone_needs_no_network() -> None:
    _, photo, mask = dusty("wall")
    prepared = prepare_crops(photo, mask, 128, Settings(dilate=0))
    assert prepared.crops == []
    pipeline = MoebiusPipeline.from_pretrained("nano", "float32")
    steps: list[object] = []
    results = list(pipeline.variations(photo, mask, pipeline.settings(dilate=0), [0, 1], steps.append))
    assert steps == []
    for result in results:
        assert result.continued == 12
        assert not (result.photo.pixels[mask] == 255).all(axis=-1).any()
        assert result.weights is not None
        assert np.array_equal(result.weights > 0, mask)


@pytest.mark.slow
def test_the_command_line_says_so(tmp_path: Path) -> None:
    _, photo, mask = dusty("wall")
    Image.fromarray(photo.pixels).save(tmp_path / "wall.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    sheet: list[str | Path] = [tmp_path / "wall.png", "--mask", tmp_path / "mask.png", "--model", "nano", "-o"]
    shown = run(main, *sheet, tmp_path / "out.png", "-v").stdout
    assert "12 parts filled from what is round it, without the network" in shown
    assert "window" not in shown
    assert run(main, *sheet, tmp_path / "sheet.png", "--seeds", "2").returncode == 0
