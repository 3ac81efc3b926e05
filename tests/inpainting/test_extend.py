"""Widening a frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mlx_moebius import MoebiusError, MoebiusPipeline
from mlx_moebius.inpainting.extend import Extension, parse_aspect, parse_sides, passes
from mlx_moebius.inpainting.pipeline import Event
from mlx_moebius.networks.diffusion import Step
from mlx_moebius.photos.photo import Photo, photo_from_image


def photo(width: int, height: int) -> Photo:
    rng = np.random.default_rng(width)
    return photo_from_image(Image.fromarray(rng.integers(80, 160, (height, width, 3), dtype=np.uint8)))


def test_sides_in_pixels_and_per_cent() -> None:
    assert parse_sides("left=56,top=10%", photo(300, 200)) == Extension(left=56, top=20)
    assert parse_sides("right=50%", photo(300, 200)) == Extension(right=150)


@pytest.mark.parametrize(
    ("aspect", "gravity", "expected"),
    [
        ("2:1", "center", (50, 0, 50, 0)),
        ("2:1", "left", (0, 0, 100, 0)),
        ("2:1", "right", (100, 0, 0, 0)),
        ("1:1", "center", (0, 50, 0, 50)),
        ("1:1", "bottom", (0, 100, 0, 0)),
    ],
)
def test_aspect(aspect: str, gravity: str, expected: tuple[int, ...]) -> None:
    assert parse_aspect(aspect, gravity, photo(300, 200)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("left", "not like"),
        ("up=3", "not like"),
        ("left=-5", "not like"),
        ("left=301", "too far"),
        ("left=0", "nothing"),
    ],
)
def test_impossible_sides_are_refused(text: str, message: str) -> None:
    with pytest.raises(MoebiusError, match=message):
        parse_sides(text, photo(300, 200))


def test_impossible_aspects_are_refused() -> None:
    for aspect, gravity in (
        ("16/9", "center"),
        ("3:2", "center"),
        ("16:0", "center"),
        ("2:1", "north"),
        ("9:1", "left"),
    ):
        with pytest.raises(MoebiusError):
            parse_aspect(aspect, gravity, photo(300, 200))


@pytest.mark.parametrize("extension", [Extension(10, 0, 0, 0), Extension(0, 700, 3, 0), Extension(900, 900, 900, 899)])
def test_passes_add_up(extension: Extension) -> None:
    steps = passes(extension, photo(900, 901), 128)
    assert Extension(*(sum(sides) for sides in zip(*steps, strict=True))) == extension
    assert 1 <= len(steps) <= 8
    assert all(any(step) for step in steps)


def test_the_photo_stays_untouched_in_its_wider_frame() -> None:
    pipeline = MoebiusPipeline.from_pretrained("nano", "float32")
    source = photo(150, 120)
    settings = replace(pipeline.settings(num_steps=3), extend=(80, 0, 20, 40))
    result = pipeline.inpaint(source, None, settings)
    assert result.photo.pixels.shape == (160, 250, 3)
    assert np.array_equal(result.photo.pixels[:120, 80:230], source.pixels)
    outside = result.mask.copy()
    outside[:120, 80:230] = True
    assert outside.all()
    assert not result.mask[:120, 80:230].any()
    edge = np.pad(source.pixels, ((0, 40), (80, 20), (0, 0)), "edge")
    assert (result.photo.pixels != edge).any(axis=-1)[result.mask].mean() > 0.9  # it was filled, not just continued
    assert result.photo.pixels[result.mask].std() < source.pixels.std() * 2
    assert abs(result.photo.pixels[result.mask].mean() - source.pixels.mean()) < 20


def test_a_mask_is_filled_before_the_frame_is_widened() -> None:
    pipeline = MoebiusPipeline.from_pretrained("nano", "float32")
    source = photo(150, 120)
    mask = np.zeros((120, 150), bool)
    mask[50:70, 60:80] = True
    events: list[Event] = []
    settings = replace(pipeline.settings(num_steps=3, dilate=0), extend=(30, 0, 0, 0))
    result = pipeline.inpaint(source, mask, settings, events.append)
    inside = result.photo.pixels[:, 30:]
    changed = (inside != source.pixels).any(axis=-1)
    assert changed[mask].mean() > 0.5
    assert not changed[:40].any()
    numbers = [(event.number, event.total) for event in events if isinstance(event, Step)]
    assert numbers == [(i, len(numbers)) for i in range(1, len(numbers) + 1)]
