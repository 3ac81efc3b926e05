"""Holes in plain surroundings: the answer is known, and given exactly."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius import MoebiusPipeline
from mlx_moebius.inpainting.plain import continue_plain
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.photo import Photo

HEIGHT, WIDTH = 200, 300
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH].astype(float)
PURPLE = (138, 43, 226)
Truth = NDArray[np.float64]


def disk(row: float = 100, column: float = 150, radius: float = 40) -> Mask:
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 < radius**2


def flat(*colour: float) -> Truth:
    return np.ones((HEIGHT, WIDTH, 3)) * np.array(colour)


def grey(values: Truth) -> Truth:
    return np.repeat(values[..., None], 3, axis=-1)


def off(truth: Truth, mask: Mask, shape: Mask | None = None, quality: int | None = None) -> NDArray[np.int64]:
    """How far each pixel of the mask is off once a purple shape is removed; all of it has to be answered."""
    right = np.rint(truth).clip(0, 255).astype(np.uint8)
    pixels = right.copy()
    pixels[mask if shape is None else shape] = PURPLE
    if quality:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        pixels = np.asarray(Image.open(file).convert("RGB"))
    photo, rest = continue_plain(Photo(pixels, "RGB"), mask)
    assert not rest.any()
    assert np.array_equal(photo.pixels[~mask], pixels[~mask])
    return np.abs(photo.pixels.astype(int) - right).max(axis=-1)[mask]


def left_alone(truth: Truth, mask: Mask) -> bool:
    pixels = np.rint(truth).clip(0, 255).astype(np.uint8)
    photo, rest = continue_plain(Photo(pixels, "RGB"), mask)
    return photo.pixels is pixels and rest is mask


@pytest.mark.parametrize(("period", "dot"), [(6, 3), (8, 3), (5, 2), (10, 4)])
def test_a_screentone_is_no_plain_white(period: int, dot: int) -> None:
    dots = ((ROWS + COLUMNS) % period < dot) & ((ROWS - COLUMNS) % period < dot)
    assert left_alone(grey(np.where(dots, 0.0, 255.0)), disk())


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (127, 127, 127), (23, 97, 200)])
@pytest.mark.parametrize("where", [(100, 150), (100, 10), (5, 5), (190, 150)])
def test_one_colour_all_round_is_the_answer_to_the_level(colour: tuple[int, int, int], where: tuple[int, int]) -> None:
    assert off(flat(*colour), disk(*where)).max() == 0
    assert off(flat(*colour), disk(*where, radius=3)).max() == 0


@pytest.mark.parametrize("angle", [0, 35, 90, 200])
def test_a_gradient_in_any_direction_goes_on(angle: float) -> None:
    along = (COLUMNS - 150) * np.cos(np.radians(angle)) + (ROWS - 100) * np.sin(np.radians(angle))
    truth = np.stack([120 + 0.5 * along, 130 - 0.3 * along, 140 + 0.1 * along], axis=-1)
    assert off(truth, disk()).max() <= 1
    assert off(truth, disk(column=20)).max() <= 1  # at the photo's edge


@pytest.mark.parametrize("centre", [(100, 150), (60, 100), (-50, 150)])
def test_a_round_gradient_goes_on(centre: tuple[int, int]) -> None:
    apart = np.hypot(ROWS - centre[0], COLUMNS - centre[1])
    assert off(grey(30 + 200 * np.exp(-((apart / 150) ** 2) / 2)), disk()).max() <= 1


def test_a_corner_of_a_vignette_is_as_dark_as_it_was() -> None:
    away = ((ROWS - 100) / 100) ** 2 + ((COLUMNS - 150) / 150) ** 2
    corner = (ROWS > 150) & (COLUMNS > 220)
    assert off(grey(225 - 60 * away), corner).max() <= 2


@pytest.mark.parametrize("quality", [95, 85, 70])
def test_what_jpeg_leaves_of_the_removed_does_not_spread(quality: int) -> None:
    shape, mask = disk(radius=36), disk(radius=40)
    assert off(flat(255, 255, 255), mask, shape, quality).max() == 0
    assert off(flat(23, 97, 200), mask, shape, quality).max() <= 1


def test_noise_of_a_level_on_white_is_no_reason_for_anything_else() -> None:
    rng = np.random.default_rng(3)
    assert off(255 - np.abs(rng.normal(0, 0.7, (HEIGHT, WIDTH, 1))) * np.ones(3), disk()).max() <= 3


def test_grain_goes_on_with_its_strength() -> None:
    rng = np.random.default_rng(3)
    mask = disk()
    ramp = grey(80 + 0.2 * COLUMNS)
    pixels = np.rint(ramp + rng.normal(0, 4, ramp.shape)).astype(np.uint8)
    pixels[mask] = PURPLE
    photo, rest = continue_plain(Photo(pixels, "RGB"), mask)
    assert not rest.any()
    added = (photo.pixels - ramp)[mask]
    assert added.std() == pytest.approx(4, rel=0.1)
    assert np.abs(added.mean(axis=0)).max() < 0.6
    assert np.corrcoef(added.T)[0, 1] < 0.2  # of each channel its own


def test_text_in_a_table_cell_leaves_nothing() -> None:
    rng = np.random.default_rng(3)
    table = flat(255, 255, 255)
    table[ROWS // 46 % 2 == 0] = 246, 248, 250
    table[ROWS % 46 == 0] = 210
    words = (np.abs(ROWS - 115) < 12) & (np.abs(COLUMNS - 150) < 90)
    near_the_rules = (np.abs(ROWS - 115) < 20) & (np.abs(COLUMNS - 150) < 96)
    assert off(table, near_the_rules, words & (rng.random(words.shape) < 0.4)).max() == 0
    across_a_rule = (np.abs(ROWS - 125) < 20) & (np.abs(COLUMNS - 150) < 96)
    assert left_alone(table, across_a_rule)


def test_what_touches_the_hole_on_a_short_stretch_does_not_count() -> None:
    truth = flat(250, 250, 250)
    truth[(np.abs(ROWS - 100) < 3) & (COLUMNS > 191)] = 10
    assert off(truth, disk()).max() == 0


def line(angle: float, width: float, soft: float = 0.0) -> Truth:
    """A dark line through the middle of a light picture, `soft` pixels of it at its edges."""
    slope = np.deg2rad(angle)
    across = np.abs((ROWS - 100.5) * np.cos(slope) - (COLUMNS - 150.5) * np.sin(slope))
    cover = ((width / 2 + soft / 2 - across) / soft).clip(0, 1) if soft else (across < width / 2).astype(float)
    return flat(230, 225, 215) - cover[..., None] * np.array([190, 180, 160])


@pytest.mark.parametrize("angle", [0, 90, 17, -50])
def test_a_line_goes_on_across_the_hole(angle: float) -> None:
    assert (off(line(angle, 4), disk()) > 40).mean() < 0.01
    assert off(line(angle, 4, soft=1.5), disk()).max() < 60
    assert off(line(angle, 4, soft=1.5), disk(), disk(radius=32), quality=92).mean() < 3
    if angle in (0, 90):
        assert off(line(angle, 4), disk()).max() == 0


def test_the_lines_of_squared_paper_go_on_and_those_at_the_rim_too() -> None:
    paper = flat(252, 252, 248)
    paper[11::20] = paper[:, 7::20] = 190, 210, 230
    assert off(paper, (np.abs(ROWS - 100) < 45) & (np.abs(COLUMNS - 137) < 51)).max() == 0


def test_a_line_bends_on_in_the_hole() -> None:
    away = np.abs(np.hypot(ROWS + 60, COLUMNS - 150) - 160) - 1.5
    arc = grey(255 - 200 * (0.5 - away).clip(0, 1))
    mask = disk(radius=24)
    photo, _ = continue_plain(Photo(np.rint(np.where(mask[..., None], PURPLE, arc)).astype(np.uint8), "RGB"), mask)
    drawn = photo.pixels[75:125, 127:174, 0]
    assert (drawn.min(axis=0) < 120).all()
    assert np.abs(drawn.argmin(axis=0) - arc[75:125, 127:174, 0].argmin(axis=0)).max() <= 3


def test_a_line_that_was_masked_itself_does_not_come_back() -> None:
    wire = line(0, 4)
    mask = (np.abs(ROWS - 100) < 9) & (np.abs(COLUMNS - 150) < 40)
    pixels = np.rint(wire).astype(np.uint8)
    photo, rest = continue_plain(Photo(pixels, "RGB"), mask)
    assert not rest.any()
    assert (photo.pixels[mask] == (230, 225, 215)).all()


def test_two_lines_that_do_not_belong_together_end_at_the_hole() -> None:
    truth = flat(250, 250, 250)
    truth[(np.abs(ROWS - 85) < 3) & (COLUMNS < 111)] = 10
    truth[(np.abs(ROWS - 115) < 3) & (COLUMNS > 189)] = 10
    other = truth.copy()
    other[(np.abs(ROWS - 85) < 3) & (COLUMNS > 189)] = 250, 30, 30
    for drawn in (truth, other):
        assert off(drawn, disk(radius=42)).max() == 0


def test_a_wire_over_a_sky_in_several_stretches() -> None:
    mask = np.abs(ROWS - 20 - 0.5 * COLUMNS) < 5
    sky = np.stack([90 + ROWS * 0.2, 140 + 40 * np.sin(COLUMNS / 80), 220 - ROWS * 0.2], axis=-1)
    assert off(sky, mask).max() <= 1


def test_a_wire_is_answered_as_far_as_its_surroundings_are_plain() -> None:
    rng = np.random.default_rng(3)
    mask = np.abs(ROWS - 100) < 3
    truth = np.where((COLUMNS > 180)[..., None], rng.normal(120, 40, (HEIGHT, WIDTH, 3)), 200)
    pixels = truth.clip(0, 255).astype(np.uint8)
    pixels[mask] = PURPLE
    photo, rest = continue_plain(Photo(pixels, "RGB"), mask)
    assert not rest[:, :64].any()
    assert np.array_equal(photo.pixels[mask & ~rest], np.full((np.count_nonzero(mask & ~rest), 3), 200))
    assert rest[mask & (COLUMNS > 200)].all()


@pytest.mark.parametrize("kind", ["two colours", "two skies along the hole", "stripes", "texture"])
def test_where_it_is_not_known_nothing_is_answered(kind: str) -> None:
    truth = {
        "two colours": np.where((COLUMNS + 0.3 * ROWS > 185)[..., None], flat(30, 30, 200), flat(240, 240, 240)),
        "two skies along the hole": grey(np.where(ROWS > 100, 180.0, 200.0)),
        "stripes": grey(np.where((ROWS + COLUMNS) // 12 % 2 == 0, 40.0, 240.0)),
        "texture": np.random.default_rng(0).normal(128, 30, (HEIGHT, WIDTH, 3)),
    }[kind]
    wide = (np.abs(ROWS - 100) < 12) & (np.abs(COLUMNS - 150) < 130)
    assert left_alone(truth, wide if "along" in kind else disk())


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK", "I;16", "RGB;16", "RGBA;16"])
def test_the_photos_own_colours_and_depth(mode: str) -> None:
    mask = disk()
    deep = mode.endswith(";16")
    plain = "L" if mode == "I;16" else mode.removesuffix(";16")
    own = np.array(
        {"L": [100], "LA": [100, 200], "RGB": [9, 90, 250], "RGBA": [9, 90, 250, 77]}.get(plain, [9, 8, 7, 6])
    )
    values = np.broadcast_to(own * 256 + 17 if deep else own, (HEIGHT, WIDTH, len(own)))
    truth = values.astype(np.uint16 if deep else np.uint8)
    pixels = truth.copy()
    colours = slice(0, -1) if plain in ("LA", "RGBA") else slice(None)
    pixels[mask, colours] = 0
    if plain == "L":
        truth, pixels = truth[..., 0], pixels[..., 0]
    photo, rest = continue_plain(Photo(pixels, mode), mask)
    assert not rest.any()
    assert photo.pixels.dtype == truth.dtype
    assert np.array_equal(photo.pixels, truth)
    if plain in ("LA", "RGBA"):
        opaque, _ = continue_plain(Photo(pixels, mode), mask, opaque=True)
        assert (opaque.pixels[mask, -1] == np.iinfo(pixels.dtype).max).all()
        assert np.array_equal(opaque.pixels[~mask], truth[~mask])


def test_colours_under_what_is_transparent_are_no_surroundings() -> None:
    mask = disk()
    pixels = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    pixels[..., :3] = 200, 120, 40
    pixels[:, 160:] = 0
    pixels[mask, :3] = PURPLE
    photo, rest = continue_plain(Photo(pixels, "RGBA"), mask)
    assert not rest.any()
    assert (photo.pixels[mask, :3] == (200, 120, 40)).all()
    assert np.array_equal(photo.pixels[..., 3], pixels[..., 3])


def test_a_shape_on_white_through_the_product() -> None:
    pixels = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    pixels[disk(radius=36)] = PURPLE
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    texture = np.random.default_rng(0).integers(60, 190, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    pixels[(columns > 240)] = texture[columns > 240]
    mask = disk(radius=38) | ((columns > 270) & (rows > 150))
    pipeline = MoebiusPipeline.from_pretrained("nano")
    result = pipeline.inpaint(Photo(pixels, "RGB"), mask, pipeline.settings(dilate=0))
    assert (result.photo.pixels[disk(radius=38)] == 255).all()
    assert result.photo.pixels[mask & (columns > 270)].std() > 15  # the rest is grown as ever
    assert np.array_equal(result.photo.pixels[~mask], pixels[~mask])
    assert np.array_equal(result.mask, mask)


def test_a_net_over_a_grainy_sky_that_leaves_no_tile_of_grain() -> None:
    truth = flat(120, 150, 200) + np.random.default_rng(1).normal(0, 4, (HEIGHT, WIDTH, 1))
    mask = ((ROWS + COLUMNS) % 24 < 8) | ((ROWS - COLUMNS) % 24 < 8)
    pixels, mask = np.rint(truth).astype(np.uint8)[:96, :96], mask[:96, :96]
    photo, _ = continue_plain(Photo(pixels, "RGB"), mask)
    assert np.array_equal(photo.pixels[~mask], pixels[~mask])


def test_a_grainy_sky_goes_on_far_beyond_the_edge() -> None:
    rows = np.mgrid[:400, :800][0]
    sky = np.stack([90 + 90 * rows / 400, 130 + 70 * rows / 400, 210 + 20 * rows / 400], axis=-1)
    grain = np.random.default_rng(5).normal(0, 3.5, (400, 800, 1))
    mask = np.zeros((400, 800), bool)
    mask[:, 560:] = True
    pixels = np.rint(np.where(mask[..., None], 0, sky + grain)).astype(np.uint8)
    photo, rest = continue_plain(Photo(pixels, "RGB"), mask)
    assert not rest.any()
    off = (photo.pixels - sky)[:, 560:]
    assert 3 < off.std() < 4
    places = off.reshape(20, 20, 12, 20, 3).mean(axis=(1, 3))  # over which the grain averages out
    assert np.abs(places).max() < 1.5
