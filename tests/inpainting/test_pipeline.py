"""PIL in, PIL out: the official pipeline to the letter, and whole photos with the bundled model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

from mlx_moebius import MoebiusError, MoebiusPipeline
from mlx_moebius.inpainting.compose import Result, widest_feather
from mlx_moebius.inpainting.detail import Growth
from mlx_moebius.inpainting.pipeline import Event
from mlx_moebius.models import find_model
from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.networks.diffusion import Diffusion, Step
from mlx_moebius.photos.masks import dilate
from mlx_moebius.photos.photo import Photo, photo_from_image
from tests.networks.test_diffusion import golden_noise
from tests.support.golden import golden, golden_unet, golden_vae, nchw, relative_error
from tests.support.tiny import tiny as model_folder

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def tiny() -> MoebiusPipeline:
    vae, vae_config = golden_vae("tiny")
    unet = golden_unet("tiny")
    return MoebiusPipeline(Diffusion(unet, vae, ModelConfig(unet=unet.config, vae=vae_config)), "tiny")


@pytest.fixture(scope="module")
def nano() -> MoebiusPipeline:
    return MoebiusPipeline.from_pretrained("nano", "float32")


def images(data: dict[str, Array], name: str, count: int) -> list[Image.Image]:
    return [Image.fromarray(data[f"{name}{i}"]) for i in range(count)]


def within_one_level(actual: Image.Image, expected: Array) -> float:
    return float((np.abs(np.asarray(actual, np.int16) - expected) <= 1).mean())


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("paste", {}),
        pytest.param("raw", {"paste": False}, marks=pytest.mark.slow),
        pytest.param("compensate", {"compensate": True}, marks=pytest.mark.slow),
        pytest.param("dilate", {"dilate": 7}, marks=pytest.mark.slow),
    ],
)
def test_reference_equals_the_official_pipeline(tiny: MoebiusPipeline, kind: str, settings: dict[str, Any]) -> None:
    data = golden("pipeline.npz")
    filled = tiny(
        images(data, "image", 2),
        images(data, "mask", 2),
        reference=True,
        guidance_scale=2.0,
        noise=golden_noise("pipe", 2),
        **settings,
    )
    for index, image in enumerate(filled):
        assert within_one_level(image, data[f"{kind}/{index}"]) >= 0.999


def test_guidance_is_refused_for_a_model_that_knows_none(nano: MoebiusPipeline, tiny: MoebiusPipeline) -> None:
    with pytest.raises(MoebiusError, match="trained without guidance, which cannot be 2: guidance_scale=1"):
        nano.settings(guidance_scale=2.0)
    assert nano.settings(guidance_scale=1.0) == nano.settings()
    assert tiny.settings(guidance_scale=1.0).guidance_scale == 1
    photo, mask = scene(150, 100)
    with pytest.raises(MoebiusError, match="trained without guidance"):
        nano.inpaint(photo, mask, replace(nano.settings(), guidance_scale=3.0))


@pytest.mark.slow
def test_latents_out_whatever_the_batching(tiny: MoebiusPipeline) -> None:
    data = golden("pipeline.npz")
    inputs = images(data, "image", 2), images(data, "mask", 2)
    settings: dict[str, Any] = {"reference": True, "guidance_scale": 2.0, "output": "latents"}
    for tiny.batch_size in (1, 4):
        latents = tiny(*inputs, noise=golden_noise("pipe", 2), **settings)
        assert relative_error(nchw(latents), data["paste/latents"]) <= 1e-4


def test_injected_latents_are_where_sampling_starts(tiny: MoebiusPipeline) -> None:
    data, noise = golden("pipeline.npz"), golden_noise("pipe", 1)
    inputs = images(data, "image", 1)[0], images(data, "mask", 1)[0]
    settings: dict[str, Any] = {"reference": True, "noise": noise, "output": "latents", "num_steps": 4}
    from_noise = tiny(*inputs, strength=1.0, **settings)
    injected = tiny(*inputs, strength=1.0, latents=noise.start, **settings)
    other = tiny(*inputs, strength=1.0, latents=mx.zeros_like(noise.start), **settings)
    assert np.array_equal(from_noise, injected)
    assert relative_error(other, np.asarray(from_noise)) > 0.1


def scene(width: int, height: int, seed: int = 0) -> tuple[Photo, Array]:
    """Noise on a gradient, and a mask of a few rectangles."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(60, 200, width)[None, :, None] + rng.normal(0, 8, (height, width, 3))
    mask = np.zeros((height, width), bool)
    for _ in range(3):
        y, x = int(rng.integers(0, height)), int(rng.integers(0, width))
        mask[y : y + 40, x : x + 25] = True
    return photo_from_image(Image.fromarray(ramp.clip(0, 255).astype(np.uint8))), mask


def rough_scene(width: int, height: int) -> tuple[Photo, Array]:
    """The same with noise alone, which only the network fills: a gradient is continued without it."""
    photo, mask = scene(width, height)
    return replace(photo, pixels=np.random.default_rng(0).integers(0, 256, photo.pixels.shape, np.uint8)), mask


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(300, 200), (90, 60), (128, 500), (517, 133)])
def test_everything_away_from_the_mask_stays_bit_for_bit(nano: MoebiusPipeline, width: int, height: int) -> None:
    photo, mask = scene(width, height, width)
    result = nano.inpaint(photo, mask, nano.settings(num_steps=3))
    touched = dilate(result.mask, 2 * widest_feather(result.crops) + 1)
    assert np.array_equal(result.photo.pixels[~touched], photo.pixels[~touched])
    assert (result.photo.pixels != photo.pixels).any(axis=-1)[mask].mean() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", ["RGB", "RGBA", "I;16", *(pytest.param(each, marks=pytest.mark.slow) for each in ("L", "LA", "CMYK"))]
)
def test_everything_away_from_any_mask_stays_in_every_mode(mode: str) -> None:
    small = MoebiusPipeline.from_pretrained(model_folder())  # windows of 32 pixels
    rng = np.random.default_rng(len(mode))
    for case in range(4):
        height, width = (int(n) for n in rng.integers(20, 130, 2))
        depth, channels = (np.uint16, ()) if mode == "I;16" else (np.uint8, (len(mode),) if len(mode) > 1 else ())
        top = 65535 if mode == "I;16" else 255
        photo = Photo(rng.integers(0, top, (height, width, *channels), dtype=depth), mode)
        mask = np.zeros((height, width), bool)
        y, x = int(rng.integers(height)), int(rng.integers(width))
        if case == 0:
            mask[y, x] = True  # one pixel
        elif case == 1:
            mask[-9:, -12:] = True  # a corner
        elif case == 2:
            mask[[0, -1]] = mask[:, [0, -1]] = True  # the whole border
        else:
            mask[y // 2 : y // 2 + height // 3, x // 2 : x // 2 + width // 4] = True
        result = small.inpaint(photo, mask, small.settings(num_steps=1))
        touched = dilate(result.mask, 2 * widest_feather(result.crops) + 1)
        assert np.array_equal(result.photo.pixels[~touched], photo.pixels[~touched])
        assert not np.array_equal(result.photo.pixels, photo.pixels)
        if (alpha := photo.alpha()) is not None:
            assert (result.photo.pixels[..., -1] == alpha).all()


@pytest.mark.slow
def test_a_small_part_is_filled_at_native_detail(nano: MoebiusPipeline) -> None:
    photo, mask = rough_scene(600, 400)
    assert nano.inpaint(photo, mask, nano.settings(num_steps=3)).enlargement == 1
    soft = nano.inpaint(photo, mask, nano.settings(num_steps=3, whole_image=True, detail=False))
    assert soft.enlargement == 600 / 128
    assert "enlarged 4.7 times" in soft.warnings[0]
    sharp = nano.inpaint(photo, mask, nano.settings(num_steps=3, whole_image=True))
    assert sharp.enlargement == soft.enlargement
    assert not sharp.warnings


@pytest.mark.slow
def test_same_seed_same_result_and_another_seed_another(nano: MoebiusPipeline) -> None:
    photo, mask = scene(200, 150)
    first, again, other = (
        nano.inpaint(photo, mask, nano.settings(num_steps=3, seed=seed)).photo.pixels for seed in (5, 5, 6)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first[mask], other[mask])


@pytest.mark.slow
def test_steps_are_reported_over_all_windows_and_an_exception_ends_the_run(nano: MoebiusPipeline) -> None:
    photo, mask = rough_scene(600, 400)
    seen: list[Event] = []
    nano.batch_size = 1
    result = nano.inpaint(photo, mask, nano.settings(num_steps=3), seen.append)
    nano.batch_size = 4
    steps = [event for event in seen if isinstance(event, Step)]
    total = 3 * len(result.crops)
    assert [step.number for step in steps] == list(range(1, total + 1))
    assert {step.total for step in steps} == {total}
    grown = [event for event in seen if isinstance(event, Growth)]
    assert grown == [Growth(number + 1, len(result.crops)) for number in range(len(result.crops))]

    def cancel(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nano.inpaint(photo, mask, nano.settings(num_steps=3), cancel)


def test_no_paste_shows_the_networks_squares(nano: MoebiusPipeline) -> None:
    photo, mask = scene(300, 200)
    result = nano.inpaint(photo, mask, nano.settings(num_steps=3, paste=False))
    left, top, right, bottom = result.crops[0].frame
    changed = (result.photo.pixels != photo.pixels).any(axis=-1)
    assert changed[top:bottom, left:right].mean() > 0.8


def test_stages_are_measured() -> None:
    nano = MoebiusPipeline.from_pretrained("nano")
    photo, mask = rough_scene(200, 150)
    nano.inpaint(photo, mask, nano.settings(num_steps=3))
    assert list(nano.stages.by_name) == ["load", "encode", "denoise", "decode", "detail"]
    assert all(stage.seconds > 0 for stage in nano.stages.by_name.values())
    assert all(nano.stages.by_name[name].peak_bytes > 1e6 for name in ("load", "encode", "denoise", "decode"))


def test_bad_input_is_named(nano: MoebiusPipeline) -> None:
    image, black = Image.new("RGB", (100, 80)), Image.new("L", (100, 80))
    white = Image.new("L", (100, 80), 255)
    box = Image.new("L", (100, 80))
    box.paste(255, (10, 10, 30, 30))
    for arguments, message in (
        ((image, black), "empty"),
        ((image, white), "all white"),
        ((image, Image.new("L", (50, 80), 255)), "another aspect"),
        (([image, image], [box]), "2 images and 1 masks"),
    ):
        with pytest.raises(MoebiusError, match=message):
            nano(*arguments)
    with pytest.raises(MoebiusError, match="only takes 128 x 128"):
        nano(image.resize((300, 200)), box.resize((300, 200)), reference=True)
    with pytest.raises(MoebiusError, match="unknown model"):
        MoebiusPipeline.from_pretrained("no such model")


def test_a_model_folder_is_recorded_without_its_path(tmp_path: Path) -> None:
    copy = shutil.copytree(find_model("nano"), tmp_path / "stranger" / "mine")
    pipeline = MoebiusPipeline.from_pretrained(str(copy))
    photo = photo_from_image(Image.new("RGB", (8, 8)))
    result = Result(photo, np.ones((8, 8), bool), [], None, [], [])
    record = pipeline.provenance(pipeline.settings(), result)
    assert record["model"] == "mine"
    assert "stranger" not in json.dumps(record)
