"""Detail in the product: crops, modes, settings, records."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mlx_moebius import MoebiusPipeline
from mlx_moebius.generate import main
from mlx_moebius.inpainting.detail import Detail
from mlx_moebius.inpainting.prepare import prepare
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.photos.geometry import Colours, Mask
from mlx_moebius.photos.photo import Photo, photo_from_image, read_provenance
from tests.support.command import Ended, run
from tests.support.pictures import MODES, picture

PHOTOS = Path(__file__).parents[2] / "examples" / "windows"
SIZE = 128


def crop(name: str, mode: str = "RGB") -> Photo:
    image = Image.open(PHOTOS / f"{name}.jpg").convert("RGB").crop((200, 200, 700, 600))
    return photo_from_image(image.convert(mode))


def hole(photo: Photo) -> Mask:
    rows, columns = np.mgrid[: photo.height, : photo.width]
    return (rows - photo.height // 2) ** 2 + (columns - photo.width // 2) ** 2 < (photo.height // 5) ** 2


def fill_with(
    photo: Photo, mask: Mask, settings: Settings, fills: list[Colours] | None = None
) -> tuple[Photo, list[Detail]]:
    """The product without a network: the smooth filling, or the fills given, 0..1."""
    prepared = prepare(photo, mask, SIZE, settings)
    fills = fills or [image / np.float32(255) for image in prepared.images]
    levels = list(prepared.match_colours(fills, settings))
    grown = list(prepared.grow_details(levels, settings))
    return prepared.finish(levels, grown, settings).photo, grown


@pytest.mark.parametrize("mode", MODES)
def test_detail_comes_in_every_mode_and_the_rest_is_untouched(mode: str) -> None:
    photo = photo_from_image(picture(mode, 400, 300))
    mask = hole(photo)
    result, grown = fill_with(photo, mask, Settings(dilate=0))
    assert [detail.colours is not None for detail in grown] == [True]
    assert np.array_equal(result.pixels[~mask], photo.pixels[~mask])
    assert result.mode == mode
    soft, _ = fill_with(photo, mask, Settings(dilate=0, detail=False))
    assert not np.array_equal(result.pixels[mask], soft.pixels[mask])
    colours = [each.rgb().astype(np.float32)[mask].mean(axis=0) for each in (result, soft, photo)]
    assert np.abs(colours[0] - colours[2]).max() < np.abs(colours[1] - colours[2]).max() + 12
    if (alpha := photo.alpha()) is not None:
        assert np.array_equal(result.pixels[..., -1], alpha)


def test_colours_under_what_is_transparent_are_not_copied() -> None:
    photo = crop("sand", "RGBA")
    pixels = photo.pixels.copy()
    pixels[:, :180] = 255, 0, 0, 0
    photo = replace(photo, pixels=pixels)
    result, _ = fill_with(photo, hole(photo), Settings(dilate=0))
    own = result.pixels[hole(photo) & (photo.pixels[..., 3] > 0)].astype(int)
    assert (own[:, 0] - own[:, 1]).max() < 110


def test_a_fill_that_is_right_at_native_size_stays_bit_for_bit() -> None:
    image = Image.open(PHOTOS / "lawn.jpg").convert("RGB").crop((300, 300, 300 + SIZE, 300 + SIZE))
    photo = photo_from_image(image)
    mask = hole(photo)
    truth = [(photo.pixels / np.float32(255)).astype(np.float32)]
    with_detail, grown = fill_with(photo, mask, Settings(dilate=0), truth)
    without, _ = fill_with(photo, mask, Settings(dilate=0, detail=False), truth)
    assert grown[0].colours is None
    assert grown[0].cell == 1
    assert np.array_equal(with_detail.pixels, without.pixels)


@pytest.mark.slow
def test_a_power_line_across_a_plain_sky_leaves_no_trace() -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:700, :3000]
    sky = np.stack([90 + rows * 0.05, 140 + rows * 0.04 + columns * 0.005, 210 - rows * 0.03], axis=-1)
    photo = photo_from_image(Image.fromarray((sky + rng.normal(0, 3, sky.shape)).clip(0, 255).astype(np.uint8)))
    mask = np.abs(rows - 200 - columns * 0.1) < 8
    result, grown = fill_with(photo, mask, Settings(dilate=0))
    assert not grown  # the sky is plain, and needs no windows
    off = result.pixels.astype(np.float32) - sky
    spread = [off[:, start : start + 40][mask[:, start : start + 40]].std() for start in range(0, 3000, 40)]
    assert min(spread) > 2
    assert max(spread) < 4.5
    level_of = [off[:, start : start + 40][mask[:, start : start + 40]].mean() for start in range(0, 3000, 40)]
    assert np.abs(np.array(level_of)).max() < 2


@pytest.mark.slow
def test_a_power_line_across_clouds_shows_no_window_borders() -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:500, :1500]
    noise = Image.fromarray(rng.normal(128, 60, rows.shape).clip(0, 255).astype(np.uint8))
    clouds = np.asarray(noise.filter(ImageFilter.GaussianBlur(3)), np.float32) - 128
    sky = np.stack([90 + rows * 0.05, 140 + rows * 0.04, 210 - rows * 0.03], axis=-1) + 3 * clouds[..., None]
    truth = (sky + rng.normal(0, 3, sky.shape)).clip(0, 255).astype(np.uint8)
    mask = np.abs(rows - 200 - columns * 0.1) < 8
    result, grown = fill_with(photo_from_image(Image.fromarray(truth)), mask, Settings(dilate=0))
    assert len(grown) > 10  # windows
    within = mask[:, 1:] & mask[:, :-1]

    def steps(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The mean step from each column to the next within the line."""
        across = np.abs(np.diff(pixels.astype(np.float64), axis=1)).mean(axis=-1)
        return np.asarray((across * within).sum(axis=0) / within.sum(axis=0))

    assert steps(result.pixels).max() < steps(truth).max()  # nowhere does a column stand out
    assert 0.8 < steps(result.pixels).mean() / steps(truth).mean() < 1.1


@pytest.mark.slow
def test_overlapping_windows_know_what_was_grown_before() -> None:
    photo = crop("lawn")
    rows, columns = np.mgrid[: photo.height, : photo.width]
    mask = np.abs(rows - columns * 0.7 - 30) < 6
    result, grown = fill_with(photo, mask, Settings(dilate=0))
    assert len(grown) > 2
    owned = np.zeros(mask.shape, int)
    for detail in grown:
        left, top, right, bottom = detail.box
        owned[top:bottom, left:right] += detail.hole
    assert (owned[mask] == 1).all()
    assert not owned[~mask].any()
    assert np.array_equal(result.pixels[~mask], photo.pixels[~mask])


@pytest.mark.slow
def test_seeds_and_batches() -> None:
    pipeline = MoebiusPipeline.from_pretrained("nano", "float32")
    image = Image.open(PHOTOS / "sand.jpg").convert("RGB").crop((200, 200, 440, 400))
    photo = photo_from_image(image)
    rows, columns = np.mgrid[: photo.height, : photo.width]
    mask = np.abs(rows - columns * 0.7 - 30) < 6
    grown, fills = [], []
    for batch_size in (1, 4):
        pipeline.batch_size = batch_size
        fills.append(pipeline.inpaint(photo, mask, pipeline.settings(num_steps=2, detail=False)).photo.pixels)
    for _ in range(2):
        grown.append(pipeline.inpaint(photo, mask, pipeline.settings(num_steps=2)).photo.pixels)
    assert np.array_equal(grown[0], grown[1])
    # The last bits of a matrix product depend on its shape, so another batch may round a few pixels differently.
    difference = np.abs(fills[0].astype(int) - fills[1])
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


def command(*arguments: str | Path) -> Ended:
    ended = run(main, *arguments, "--model", "nano", "--steps", "2")
    assert ended.returncode == 0, ended.stderr
    return ended


@pytest.mark.slow
def test_the_command_line_has_it_on_records_it_and_repeats_it(tmp_path: Path) -> None:
    photo, mask = tmp_path / "sand.png", tmp_path / "mask.png"
    Image.fromarray(crop("sand").pixels).save(photo)
    Image.fromarray(hole(crop("sand"))).save(mask)
    sharp, soft, again = tmp_path / "sharp.png", tmp_path / "soft.png", tmp_path / "again.png"
    shown = command(photo, "--mask", mask, "-o", sharp, "-v").stdout
    assert "detail grown" in shown
    command(photo, "--mask", mask, "-o", soft, "--no-detail")
    command(photo, "--mask", mask, "-o", again, "--from-metadata", soft)
    record = read_provenance(sharp)
    assert record is not None
    assert record["settings"]["detail"] is True
    assert record["detail"][0]["gain"] > 2
    assert read_provenance(soft)["detail"] == []  # type: ignore[index]
    assert soft.read_bytes() == again.read_bytes()
    assert soft.read_bytes() != sharp.read_bytes()


@pytest.mark.slow
def test_the_ledger_tells_scale_gain_and_seconds(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(crop("sand").pixels).save(tmp_path / "in" / "sand.png")
    Image.fromarray(hole(crop("sand"))).save(tmp_path / "in" / "sand_mask.png")
    command(tmp_path / "in", "-o", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "moebius.jsonl").read_text().splitlines()[-1])
    assert set(record["detail"][0]) == {"cell", "gain", "seconds"}
    assert record["seconds"]["detail"] > 0


def test_the_reference_and_whole_squares_stay_without(tmp_path: Path) -> None:
    photo = crop("sand")
    for settings in (Settings(paste=False), Settings(detail=False)):
        assert fill_with(photo, hole(photo), settings)[1] == []
    image = photo_from_image(Image.fromarray(photo.pixels).resize((SIZE, SIZE)))
    assert fill_with(image, hole(image), Settings(reference=True))[1] == []


@pytest.mark.slow
def test_a_fence_that_leaves_nothing_to_copy_is_filled_from_its_rim() -> None:
    rows, columns = np.mgrid[:160, :160]
    waves = np.sin(columns / 14) * np.cos(rows / 18)
    truth = np.stack([110 + 60 * waves, 120 + 50 * waves, 80 + 40 * waves], axis=-1).astype(np.uint8)
    fence = ((rows + columns) % 34 < 4) | ((rows - columns) % 34 < 4)
    photo = truth.copy()
    photo[fence] = 180
    result = MoebiusPipeline.from_pretrained("nano")(Image.fromarray(photo), Image.fromarray(fence))
    off = np.abs(np.asarray(result).astype(int) - truth).max(axis=-1)
    assert off[20:-20, 20:-20].mean() < 3  # away from the frame, beyond which nothing is known
