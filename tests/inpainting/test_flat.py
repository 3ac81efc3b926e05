"""Holes in graphics of flat colours: the borders between the colours go on across them."""

from __future__ import annotations

import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from mlx_moebius.inpainting.flat import continue_flat
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.photo import Photo, photo_from_image

PHOTOS = Path(__file__).parents[2] / "examples" / "windows"
SIZE, SCALE = 160, 4
SKY, ROOF, TREE, SUN = (135, 190, 235), (170, 50, 40), (40, 110, 50), (255, 210, 60)
Pixels = NDArray[np.uint8]


def drawn(smooth: bool) -> Pixels:
    """A roof and a tree before a sky, with or without smooth edges."""
    side = SIZE * SCALE if smooth else SIZE
    rows, columns = np.mgrid[:side, :side] * (SIZE / side)
    pixels = np.full((side, side, 3), SKY, np.uint8)
    pixels[rows > 20 + 0.8 * np.abs(columns - 60)] = ROOF
    pixels[(rows - 100) ** 2 + (columns - 110) ** 2 < 40**2] = TREE
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX) if smooth else image)


def line(slope: float, at: float, width: float = 7) -> Mask:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.abs(rows - at - slope * (columns - SIZE / 2)) < width / 2 * np.hypot(1, slope)


def disk(row: int, column: int, radius: int) -> Mask:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return (rows - row) ** 2 + (columns - column) ** 2 < radius**2


def wrong(truth: Pixels, mask: Mask) -> int:
    """How many pixels of the mask are off by more than 40 levels once a purple thing is removed."""
    pixels = truth.copy()
    pixels[mask] = 138, 43, 226
    photo, rest = continue_flat(Photo(pixels, "RGB"), mask)
    assert not rest.any()
    assert np.array_equal(photo.pixels[~mask], pixels[~mask])
    return int(np.count_nonzero(np.abs(photo.pixels.astype(int) - truth).max(axis=-1) > 40))


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("mask", [line(0.1, 70), line(-0.5, 90), line(0.6, 100, 12)])
def test_the_edges_of_roofs_and_circles_go_on_across_a_stroke(mask: Mask, smooth: bool) -> None:
    assert wrong(drawn(smooth), mask) < 0.03 * np.count_nonzero(mask)


@pytest.mark.parametrize("smooth", [False, True])
def test_two_edges_meet_in_a_corner(smooth: bool) -> None:
    assert wrong(drawn(smooth), disk(24, 60, 14)) < 25


def test_what_is_between_two_edges_is_as_wide_in_the_hole() -> None:
    truth = np.full((SIZE, SIZE, 3), (44, 44, 50), np.uint8)
    truth[70:80] = 30, 30, 34
    mask = line(0.33, 75, 9)
    photo, rest = continue_flat(Photo(np.where(mask[..., None], 200, truth).astype(np.uint8), "RGB"), mask)
    assert not rest.any()
    assert np.count_nonzero((photo.pixels != truth).any(axis=-1)) < 10


def test_only_colours_that_are_round_a_hole_come_into_hard_edges() -> None:
    truth, mask = drawn(False), line(-0.5, 90)
    photo, _ = continue_flat(Photo(truth, "RGB"), mask)
    assert {tuple(colour) for colour in photo.pixels[mask]} <= {SKY, ROOF, TREE}
    paletted = photo_from_image(Image.fromarray(truth).quantize(8))
    filled, rest = continue_flat(paletted, mask)
    assert not rest.any()
    assert len(np.unique(filled.rgb().reshape(-1, 3), axis=0)) <= 3


@pytest.mark.parametrize("quality", [95, 85])
@pytest.mark.parametrize("mask", [line(-0.5, 90), line(0.6, 100, 10), disk(44, 90, 11)])
def test_borders_go_on_in_drawings_that_were_saved_as_jpeg(mask: Mask, quality: int) -> None:
    truth = drawn(smooth=True)
    marked = np.where(mask[..., None], np.uint8(120), truth)
    file = BytesIO()
    Image.fromarray(marked).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    saved = np.asarray(Image.open(file).convert("RGB"))
    hole = np.asarray(Image.fromarray(mask).filter(ImageFilter.MaxFilter(5)))
    photo, rest = continue_flat(Photo(saved, "RGB"), hole)
    assert not rest.any()
    assert np.array_equal(photo.pixels[~hole], saved[~hole])
    off = np.abs(photo.pixels.astype(int) - truth).max(axis=-1) > 40
    assert np.count_nonzero(off & hole) < 0.04 * np.count_nonzero(hole)
    inside, colours = photo.pixels[hole], saved[~hole].reshape(-1, 3)
    # What is away from borders has colours that the file has, exactly.
    exact = (inside[:, None] == np.unique(colours, axis=0)).all(axis=-1).any(axis=1)
    assert exact.mean() > 0.8


def test_a_window_that_is_hardly_seen_in_a_jpeg_is_a_colour_too() -> None:
    truth = drawn(smooth=True).copy()
    truth[56:80, 50:68] = SUN
    mask = line(0.05, 67, 10)
    file = BytesIO()
    Image.fromarray(np.where(mask[..., None], np.uint8(120), truth)).save(file, "JPEG", quality=85)
    photo, rest = continue_flat(photo_from_image(Image.open(file)), mask)
    assert not rest.any()
    off = np.abs(photo.pixels.astype(int) - truth).max(axis=-1) > 40
    assert np.count_nonzero(off & mask) < 0.1 * np.count_nonzero(mask)


def test_a_cell_beside_lines_has_the_colour_of_its_row() -> None:
    truth = np.full((SIZE, 2 * SIZE, 3), 255, np.uint8)
    truth[60:94] = 240, 244, 248
    truth[26:130:34] = 200, 200, 205
    mask = np.zeros(truth.shape[:2], bool)
    mask[59:95, 90:225] = True
    photo, _ = continue_flat(Photo(truth, "RGB"), mask)
    assert (photo.pixels[62:92, 92:222] == truth[62, 0]).all()


def striped_table(rule: int, dark: bool) -> Pixels:
    """Rows of two tones, rules of some width between rows and columns, and words in most cells."""
    tones, ruled, words = [(24, 26, 30), (32, 34, 40)], (60, 62, 68), (220, 222, 226)
    if not dark:
        tones, ruled, words = [(255, 255, 255), (221, 235, 247)], (155, 194, 230), (0, 0, 0)
    image = Image.new("RGB", (3 * SIZE, SIZE))
    draw = ImageDraw.Draw(image)
    for row, top in enumerate(range(0, SIZE, 34)):
        draw.rectangle((0, top, 3 * SIZE, top + 33), fill=tones[row % 2])
        for column in range(0, 3 * SIZE, 150):
            if row not in (2, 3) or column != 150:
                draw.text((column + 12, top + 6), "Words", font=ImageFont.load_default(16), fill=words)
    for top in range(34, SIZE, 34):
        draw.rectangle((0, top, 3 * SIZE, top + rule - 1), fill=ruled)
    for column in range(150, 3 * SIZE, 150):
        draw.rectangle((column, 0, column + rule - 1, SIZE), fill=ruled)
    return np.asarray(image)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("rule", [1, 2])
@pytest.mark.parametrize("box", [(158, 66, 292, 106), (140, 80, 200, 120), (284, 72, 308, 132)])
def test_rules_of_a_striped_table_go_on_and_words_beside_a_hole_do_not(
    rule: int, dark: bool, box: tuple[int, int, int, int]
) -> None:
    truth = striped_table(rule, dark)
    mask = np.zeros(truth.shape[:2], bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    photo, rest = continue_flat(Photo(np.where(mask[..., None], np.uint8(200), truth), "RGB"), mask)
    assert not rest.any()
    assert np.array_equal(photo.pixels, truth)


def test_a_border_goes_on_to_just_before_a_corner() -> None:
    truth = np.full((SIZE, 2 * SIZE, 3), SKY, np.uint8)
    truth[80:, :280] = ROOF
    mask = np.zeros(truth.shape[:2], bool)
    mask[40:84, 60:272] = True
    photo, _ = continue_flat(Photo(truth, "RGB"), mask)
    assert np.array_equal(photo.pixels, truth)


@pytest.mark.parametrize("quality", [None, 85])
def test_another_colour_beside_a_long_stroke_is_not_overlooked(quality: int | None) -> None:
    truth = np.full((SIZE, 6 * SIZE, 3), SKY, np.uint8)
    truth[80:] = ROOF
    truth[70:100, 700:716] = SUN
    if quality is not None:
        file = BytesIO()
        Image.fromarray(truth).save(file, "JPEG", quality=quality)
        truth = np.asarray(Image.open(file).convert("RGB"))
    rows, columns = np.mgrid[:SIZE, : 6 * SIZE]
    mask = np.abs(rows - 80 - 0.1 * (columns - 660)) < 3
    photo = Photo(truth, "RGB")
    filled, _ = continue_flat(photo, mask)
    assert filled is photo or (filled.rgb()[mask] == SUN).all(axis=-1).any()


@pytest.mark.slow
@pytest.mark.parametrize("quality", [None, 85])
def test_long_strokes_across_a_large_drawing_are_filled_as_in_a_small_one(quality: int | None) -> None:
    truth = drawn(smooth=False).repeat(5, axis=0).repeat(5, axis=1)
    if quality is not None:
        file = BytesIO()
        Image.fromarray(truth).save(file, "JPEG", quality=quality)
        truth = np.asarray(Image.open(file).convert("RGB"))
    rows, columns = np.mgrid[: 5 * SIZE, : 5 * SIZE]
    for mask in (np.abs(rows - 300 - 0.3 * (columns - 400)) < 6, np.abs(rows - 560) < 5, np.abs(columns - 290) < 5):
        photo, rest = continue_flat(Photo(truth, "RGB"), mask)
        assert not rest.any()
        off = np.abs(photo.pixels.astype(int) - truth).max(axis=-1) > 40
        assert np.count_nonzero(off) < 0.02 * np.count_nonzero(mask)


def test_a_photo_with_a_long_wire_takes_hardly_any_memory() -> None:
    pixels = np.random.default_rng(0).integers(100, 120, (1200, 1800, 3), np.uint8)
    rows, columns = np.mgrid[:1200, :1800]
    mask = np.abs(rows - columns * (2 / 3)) < 5
    tracemalloc.start()
    _, rest = continue_flat(Photo(pixels, "RGB"), mask)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rest is mask
    assert peak < 2 * pixels.size


def text() -> Pixels:
    pixels = np.full((SIZE, SIZE, 3), 255, np.uint8)
    pixels[20:150:6, 20:140] = 0
    pixels[:, 20:140:9] = 0
    return pixels


@pytest.mark.parametrize(
    "pixels",
    [text(), np.asarray(Image.open(PHOTOS / "sunset.jpg").convert("RGB"))[:SIZE, :SIZE]],
    ids=["lines", "photo"],
)
def test_lines_letters_and_photos_are_left_to_others(pixels: Pixels) -> None:
    photo = Photo(pixels, "RGB")
    filled, rest = continue_flat(photo, line(0.1, 70))
    assert filled is photo
    assert np.array_equal(rest, line(0.1, 70))


def test_a_cloud_before_the_sky_is_no_drawing() -> None:
    photo = photo_from_image(Image.open(PHOTOS / "steppe.jpg").convert("RGB").crop((700, 290, 900, 410)))
    rows, columns = np.mgrid[: photo.height, : photo.width]
    mask = ((columns - 97) / 31) ** 2 + ((rows - 61) / 10) ** 2 < 1
    assert continue_flat(photo, mask)[0] is photo


def test_a_sky_keeps_its_grain() -> None:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    grain = np.random.default_rng(0).normal(0, 0.6, (SIZE, SIZE, 3))
    sky = np.array([150, 180, 220]) + 8 * np.tanh((rows - 70) / 6)[..., None] / 2 + grain
    photo = Photo(np.rint(sky).astype(np.uint8), "RGB")
    assert continue_flat(photo, line(0.1, 70))[0] is photo
    same = Photo(np.rint(np.array([150, 180, 220]) + grain).astype(np.uint8), "RGB")
    assert continue_flat(same, line(0.1, 70))[0] is same
