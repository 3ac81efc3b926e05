"""Widening a frame."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mlx_moebius import MoebiusError, MoebiusPipeline
from mlx_moebius.inpainting.crops import plan
from mlx_moebius.inpainting.extend import Extension, extended, parse_aspect, parse_sides, passes
from mlx_moebius.inpainting.outpaint import finish_frame, meet
from mlx_moebius.inpainting.pipeline import Event
from mlx_moebius.networks.diffusion import Step
from mlx_moebius.photos.photo import Photo, photo_from_image
from tests.support.pictures import picture

EXAMPLES = Path(__file__).parents[2] / "examples" / "windows"


@pytest.fixture(scope="module")
def nano() -> MoebiusPipeline:
    return MoebiusPipeline.from_pretrained("nano", "float32")


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


@pytest.mark.slow
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


@pytest.mark.slow
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


def example(name: str, mode: str = "RGB") -> Photo:
    """A part of a photograph, small enough for a test."""
    image = Image.open(EXAMPLES / f"{name}.jpg").convert("RGB")
    return photo_from_image(image.crop((300, 300, 620, 540)).convert(mode))


def repeats(pixels: NDArray[np.uint8]) -> float:
    """The highest autocorrelation of a picture's fine structure [H, W, 3], beyond 16 pixels from its own place."""
    image = Image.fromarray(pixels).convert("L")
    fine = np.asarray(image, np.float32) - np.asarray(image.filter(ImageFilter.GaussianBlur(16)), np.float32)
    height, width = fine.shape
    shape = (2 * height, 2 * width)
    spectrum, squares, places = (np.fft.rfft2(a, shape) for a in (fine, fine**2, np.ones_like(fine)))
    energy = [np.fft.irfft2(a, shape).clip(1) for a in (squares * places.conj(), places * squares.conj())]
    likeness = np.fft.irfft2(np.abs(spectrum) ** 2, shape) / np.sqrt(energy[0] * energy[1])
    rows, columns = np.abs(np.fft.fftfreq(shape[0], 1 / shape[0])), np.abs(np.fft.fftfreq(shape[1], 1 / shape[1]))
    beyond = np.maximum(rows[:, None], columns) >= 16
    enough = (rows[:, None] < 0.3 * height) & (columns < 0.6 * width)
    return float(likeness[beyond & enough].max())


def steps_across(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean difference of each column of a picture from the next, in levels; grain averages out."""
    grey = pixels.astype(np.float64).mean(axis=2)
    rows = np.add.reduceat(grey, np.arange(0, len(grey), 16), axis=0) / 16
    return np.asarray(np.abs(np.diff(rows, axis=1)).mean(axis=0))


def edges(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How far each of these steps stands out from those around it."""
    steps = steps_across(pixels)
    around = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(steps, 4, "reflect"), 9), axis=1)
    return np.asarray(steps - around)


@pytest.mark.parametrize("name", ["lawn", "path", "sand"])
def test_a_wide_extension_is_no_film_strip(nano: MoebiusPipeline, name: str) -> None:
    source = example(name)
    result = nano.inpaint(source, None, nano.settings(extend=Extension(right=200)))
    pixels = result.photo.pixels
    assert np.array_equal(pixels[:, : source.width], source.pixels)
    assert repeats(pixels[:, source.width :]) < repeats(source.pixels[:, -200:]) + 0.1
    assert edges(pixels)[source.width - 1 :].max() < 1.5 * edges(source.pixels).max()
    far_end = steps_across(pixels)[-100:].mean() / steps_across(source.pixels).mean()
    assert 0.5 < far_end < 2  # as lively as the photo


def test_an_extension_is_one_hole(nano: MoebiusPipeline) -> None:
    source = example("lawn")
    hole = np.zeros((source.height, source.width + 200), bool)
    hole[:, source.width :] = True
    result = nano.inpaint(source, None, nano.settings(extend=Extension(right=200)))
    assert len(result.crops) <= 2 * len(plan(hole, nano.size))
    assert [detail.box for detail in result.details] == [(source.width, 0, source.width + 200, source.height)]


@pytest.mark.slow
@pytest.mark.parametrize(("sides", "parts"), [(Extension(30, 0, 30, 0), 2), (Extension(30, 20, 10, 10), 1)])
def test_opposite_sides_are_two_holes_and_corners_join(nano: MoebiusPipeline, sides: Extension, parts: int) -> None:
    source = photo(120, 90)
    result = nano.inpaint(source, None, nano.settings(extend=sides))
    assert len(result.details) == parts
    assert sum(detail.hole.sum() for detail in result.details) == result.mask.sum()


def test_without_detail_the_passes_show_no_edge(nano: MoebiusPipeline) -> None:
    source = example("sunset")
    result = nano.inpaint(source, None, nano.settings(extend=Extension(right=200), detail=False))
    assert result.details == []
    assert edges(result.photo.pixels)[source.width - 1 :].max() < 1.5  # levels


@pytest.mark.parametrize("mode", ["I;16", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("LA", "CMYK"))])
def test_every_mode_keeps_its_photo(nano: MoebiusPipeline, mode: str) -> None:
    source = photo_from_image(picture(mode, 120, 90))
    result = nano.inpaint(source, None, nano.settings(extend=Extension(30, 20, 0, 15)))
    assert result.photo.mode == mode
    assert np.array_equal(result.photo.pixels[20:110, 30:], source.pixels)
    if (alpha := result.photo.alpha()) is not None:
        assert (alpha[result.mask] == 255).all()


@pytest.mark.slow
def test_what_the_network_drew_is_not_copied(nano: MoebiusPipeline) -> None:
    """Nor what is transparent: only the photo is."""
    source = example("sand", "RGBA")
    pixels = source.pixels.copy()
    pixels[:100, :200] = 0, 255, 0, 0
    source = replace(source, pixels=pixels)
    wide, _ = extended(source, Extension(right=200))
    drawn = wide.pixels.copy()
    drawn[:, source.width :] = 255, 0, 255, 255
    inner = (0, 0, source.width, source.height)
    result, _ = finish_frame(replace(wide, pixels=drawn), wide, inner, inf, nano.settings())
    new = result.pixels[:, source.width :].astype(int)
    assert np.ptp(new[..., :3], axis=-1).max() <= np.ptp(example("sand").pixels.astype(int), axis=-1).max() + 20


def test_the_new_part_meets_the_photo() -> None:
    grey = photo_from_image(Image.new("RGB", (200, 150), (100, 120, 140)))
    wide, _ = extended(grey, Extension(20, 30, 40, 50))
    off = np.full((wide.height, wide.width, 3), 90, np.float32)
    inner = (20, 30, 220, 180)
    meet(off, wide.box, wide, inner, 16)
    assert np.allclose(off[30:180, 19], (100, 120, 140))
    assert np.allclose(off[30:180, 220], (100, 120, 140))
    assert np.allclose(off[29, 20:220], (100, 120, 140))
    assert np.allclose(off[180, 20:220], (100, 120, 140))
    assert (np.abs(np.diff(off[100, 220:], axis=0)) < 4).all()
    assert np.allclose(off[100, 240:], 90)


def test_flat_colours_and_a_plain_background_go_on_exactly(nano: MoebiusPipeline) -> None:
    wide = np.full((96, 160, 3), (135, 190, 235), np.uint8)
    wide[64:] = 90, 150, 70
    wide[30:70, 75:100] = 170, 50, 40
    photo = Photo(wide[:, 50:130], "RGB")
    result = nano.inpaint(photo, None, nano.settings(extend=(50, 0, 30, 0)))
    assert len(result.crops) == 0
    assert np.array_equal(result.photo.pixels, wide)
    assert result.warnings == []


def test_black_and_white_stays_so(nano: MoebiusPipeline) -> None:
    grey = photo_from_image(picture("L", 120, 90).convert("RGB"))
    for detail in (True, False):
        result = nano.inpaint(grey, None, nano.settings(extend=Extension(right=40), detail=detail))
        assert not np.ptp(result.photo.pixels, axis=-1).any()
