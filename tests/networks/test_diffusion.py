"""The whole official pipeline on tensors, with its noise injected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlx_moebius.errors import MoebiusError
from mlx_moebius.models import find_model
from mlx_moebius.networks.config import ModelConfig, TimestepSpacing
from mlx_moebius.networks.diffusion import Diffusion, Encoded, Noise, Step, draw_noise
from mlx_moebius.networks.scheduler import Scheduler, Solver
from mlx_moebius.networks.unet import BACKGROUND_TOKENS
from mlx_moebius.networks.weights import load_diffusion
from mlx_moebius.photos.masks import latent_mask
from tests.support.fill import inputs
from tests.support.golden import golden, golden_unet, golden_vae, nchw, nhwc, relative_error


def golden_noise(prefix: str, batch: int, channels: int = 4) -> Noise:
    shape = (batch, channels, 16, 16)
    start = inputs(f"{prefix}_noise", shape) + 0.0357 * inputs(f"{prefix}_offset", (batch, channels, 1, 1))
    posteriors = (inputs(f"{prefix}_posterior_{i}", shape) for i in range(2))
    return Noise(nhwc(start), *map(nhwc, posteriors))


def encoded(
    diffusion: Diffusion,
    data: dict[str, np.ndarray],
    batch: int,
    noise: Noise,
    any_pixel: bool = False,
    strength: float = 0.99,
) -> Encoded:
    """The golden images, encoded; a cell is filled if its top left pixel is, or with `any_pixel` if any is."""
    images = np.stack([data[f"image{i}"] for i in range(batch)]) / np.float32(127.5) - 1
    masks = np.stack([data[f"mask{i}"] for i in range(batch)])[..., None] >= np.float32(127.5)
    masks = masks.astype(np.float32)
    cells = [latent_mask(mask[..., 0] > 0, reference=not any_pixel) for mask in masks]
    return diffusion.encode(mx.array(images), mx.array(masks), mx.array(np.stack(cells)[..., None]), noise, strength)


@pytest.fixture(scope="module")
def tiny() -> Diffusion:
    vae, vae_config = golden_vae("tiny")
    unet = golden_unet("tiny")
    return Diffusion(unet, vae, ModelConfig(unet=unet.config, vae=vae_config))


@pytest.fixture(scope="module")
def nano() -> Diffusion:
    return load_diffusion(find_model("nano"), "float32")


def test_tiny_pipeline(tiny: Diffusion) -> None:
    data, noise = golden("pipeline.npz"), golden_noise("pipe", 2)
    *_, last = tiny.denoise(encoded(tiny, data, 2, noise), noise, num_steps=20, guidance_scale=2.0, strength=0.99)
    assert last.number == last.total == 19
    assert relative_error(nchw(last.latents), data["paste/latents"]) <= 1e-4
    assert relative_error(nchw(tiny.decode(last.latents)), data["paste/decoded"]) <= 1e-4


@pytest.mark.parametrize(("spacing", "steps"), [("leading", 20), ("trailing", 8)])
def test_bundled_model(nano: Diffusion, spacing: TimestepSpacing, steps: int) -> None:
    data, noise = golden("nano/golden.npz"), golden_noise("nano8", 3, 8)
    start = encoded(nano, data, 3, noise, any_pixel=True)
    nano.scheduler = Scheduler(replace(nano.config.scheduler, timestep_spacing=spacing))
    finished = list(nano.denoise(start, noise, steps, guidance_scale=1, strength=0.99))
    nano.scheduler = Scheduler(nano.config.scheduler)
    assert [step.timestep for step in finished] == data[f"{spacing}/timesteps"].tolist()
    assert relative_error(nchw(finished[-1].latents), data[f"{spacing}/latents"]) <= 1e-4
    assert relative_error(nchw(2 * nano.decode(finished[-1].latents) - 1), data[f"{spacing}/decoded"]) <= 1e-4


def test_bundled_model_predicts_v(nano: Diffusion) -> None:
    data, noise = golden("nano/golden.npz"), golden_noise("nano8", 3, 8)
    batch = encoded(nano, data, 3, noise, any_pixel=True)
    x = mx.concatenate([batch.latents, batch.mask, batch.masked_latents], axis=-1)
    conditioning = nano.unet.condition(mx.array([list(BACKGROUND_TOKENS)]))
    predicted = nano.unet(x, nano.unet.time_shifts(mx.array([500])), conditioning).noise
    assert relative_error(nchw(predicted), data["v_t500"]) <= 1e-4


@pytest.mark.parametrize(("dtype", "bound"), [("float16", 0.01), ("bfloat16", 0.08)])
def test_bundled_model_in_half_precision(dtype: str, bound: float) -> None:
    data, noise = golden("nano/golden.npz"), golden_noise("nano8", 3, 8)
    half = load_diffusion(find_model("nano"), dtype)
    *_, last = half.denoise(
        encoded(half, data, 3, noise, any_pixel=True), noise, num_steps=8, guidance_scale=1, strength=0.99
    )
    assert relative_error(nchw(last.latents), data["trailing/latents"]) <= bound


@pytest.mark.parametrize("solver", ["ddim", "dpm++"])
def test_bundled_model_with_reused_features_and_its_preview(nano: Diffusion, solver: Solver) -> None:
    data, noise = golden("nano/golden.npz"), golden_noise("nano8", 3, 8)
    start = encoded(nano, data, 3, noise, any_pixel=True)
    exact = list(nano.denoise(start, noise, 8, 1, 1.0, solver=solver))
    reused = list(nano.denoise(start, noise, 8, 1, 1.0, solver=solver, reuse_features=2))
    assert relative_error(reused[-1].latents, np.asarray(exact[-1].latents)) < 0.2
    for step in exact[:-1]:  # what the preview shows is a picture already, the latents are not
        assert relative_error(step.clean, np.asarray(exact[-1].clean)) < 1
    assert relative_error(exact[0].clean, np.asarray(exact[-1].clean)) < relative_error(
        exact[0].latents, np.asarray(exact[-1].clean)
    )


def run(diffusion: Diffusion, batch: int = 1, **changes: Any) -> list[Step]:
    noise = golden_noise("pipe", batch)
    settings: dict[str, Any] = {"num_steps": 4, "guidance_scale": 2.0, "strength": 0.99} | changes
    return list(diffusion.denoise(encoded(diffusion, golden("pipeline.npz"), batch, noise), noise, **settings))


def test_every_step_is_yielded_in_order(tiny: Diffusion) -> None:
    steps = run(tiny)
    assert [step.number for step in steps] == [1, 2, 3]
    assert [step.timestep for step in steps] == [500, 250, 0]
    # After the last step nothing is left to remove: its latents are the clean ones.
    assert relative_error(steps[-1].latents, np.asarray(steps[-1].clean)) <= 1e-6
    assert relative_error(steps[0].latents, np.asarray(steps[0].clean)) > 0.1


def test_an_image_comes_out_the_same_alone_and_in_a_batch(tiny: Diffusion) -> None:
    alone, batched = run(tiny, 1)[-1].latents, run(tiny, 2)[-1].latents[:1]
    assert relative_error(alone, np.asarray(batched)) <= 1e-5


def test_guidance_one_equals_the_conditional_branch(tiny: Diffusion) -> None:
    unguided, nearly = run(tiny, guidance_scale=1.0)[-1], run(tiny, guidance_scale=1 + 1e-6)[-1]
    assert relative_error(unguided.latents, np.asarray(nearly.latents)) <= 1e-5
    assert relative_error(unguided.latents, np.asarray(run(tiny, guidance_scale=3.0)[-1].latents)) > 1e-3


def test_strength_one_starts_from_noise_alone(tiny: Diffusion) -> None:
    noise, data = golden_noise("pipe", 1), golden("pipeline.npz")
    inverted = data | {"image0": 255 - data["image0"]}
    settings: dict[str, Any] = {"num_steps": 4, "guidance_scale": 2.0}
    ends = []
    for strength in (1.0, 0.5):
        for image in (data, inverted):
            full = encoded(tiny, image, 1, noise)._replace(masked_latents=mx.zeros((1, 16, 16, 4)))
            ends.append(np.asarray(list(tiny.denoise(full, noise, strength=strength, **settings))[-1].latents))
    assert np.array_equal(ends[0], ends[1])
    assert not np.allclose(ends[2], ends[3], atol=1e-2)


def test_at_strength_one_only_what_is_known_is_encoded(tiny: Diffusion) -> None:
    noise, data = golden_noise("pipe", 2), golden("pipeline.npz")
    both, known = (encoded(tiny, data, 2, noise, strength=strength) for strength in (0.99, 1.0))
    assert relative_error(known.masked_latents, np.asarray(both.masked_latents)) <= 1e-5
    ends = [[*tiny.denoise(each, noise, 4, 2.0, 1.0)][-1].latents for each in (both, known)]
    assert relative_error(ends[1], np.asarray(ends[0])) <= 1e-4
    assert not np.any(np.asarray(known.latents))


@pytest.mark.parametrize(("num_steps", "strength"), [(0, 0.99), (-3, 0.99), (1, 0.99), (4, 0.2)])
def test_too_few_steps_are_refused(tiny: Diffusion, num_steps: int, strength: float) -> None:
    with pytest.raises(MoebiusError, match="run nothing"):
        run(tiny, num_steps=num_steps, strength=strength)


def test_more_steps_than_timesteps_are_refused(tiny: Diffusion) -> None:
    with pytest.raises(MoebiusError, match="too many"):
        run(tiny, num_steps=1001)


def test_noise_depends_on_seed_and_part_alone() -> None:
    together, alone = draw_noise([3, 4], [0, 1], 8, 4, 0.1), draw_noise([4], [1], 8, 4, 0.1)
    for batched, single in zip(together, alone, strict=True):
        assert np.array_equal(batched[1:], single)
    other_seed, other_part = draw_noise([5], [1], 8, 4, 0.1), draw_noise([4], [2], 8, 4, 0.1)
    assert not np.array_equal(alone.start, other_seed.start)
    assert not np.array_equal(alone.start, other_part.start)
    assert np.array_equal(alone.image_posterior, other_seed.image_posterior)  # what was encoded serves all seeds
    assert not np.array_equal(alone.image_posterior, alone.masked_posterior)


def test_noise_offset_shifts_whole_channels() -> None:
    plain, shifted = draw_noise([7], [0], 8, 4, 0.0).start, draw_noise([7], [0], 8, 4, 0.5).start
    shift = np.asarray(shifted - plain)
    assert np.allclose(shift, shift[:, :1, :1], atol=1e-6)
    assert np.abs(shift).max() > 0.1


@pytest.mark.slow
def test_guidance_until_drops_the_second_branch(tiny: Diffusion) -> None:
    data, noise = golden("pipeline.npz"), golden_noise("pipe", 2)
    start = encoded(tiny, data, 2, noise)

    def run(guidance: float, until: float) -> list[np.ndarray]:
        steps = tiny.denoise(start, noise, 10, guidance, 0.99, guidance_until=until)
        return [np.asarray(step.latents) for step in steps]

    guided, unguided, half = run(2.0, 1.0), run(1.0, 1.0), run(2.0, 0.5)
    assert relative_error(mx.array(run(2.0, 0.0)[-1]), unguided[-1]) <= 1e-6
    assert relative_error(mx.array(half[3]), guided[3]) <= 1e-6  # round(0.5 * 9) = 4 guided steps
    assert relative_error(mx.array(half[4]), guided[4]) > 1e-4


@pytest.mark.slow
def test_reused_features_spare_work_between_and_are_renewed(tiny: Diffusion) -> None:
    data, noise = golden("pipeline.npz"), golden_noise("pipe", 2)
    start = encoded(tiny, data, 2, noise)

    def run(**options: Any) -> list[np.ndarray]:
        return [np.asarray(step.latents) for step in tiny.denoise(start, noise, 10, 2.0, 0.99, **options)]

    exact, second, once = run(), run(reuse_features=2), run(reuse_features=9)
    assert np.array_equal(run(reuse_features=1), exact)
    assert np.array_equal(second[0], exact[0])
    assert 1e-3 < relative_error(mx.array(second[1]), exact[1]) < 0.5
    assert np.array_equal(second[1], once[1])
    assert not np.allclose(second[2], once[2], atol=1e-3)
    # Features of two branches do not serve one: they are renewed where guidance ends, here after the first step.
    assert np.array_equal(run(reuse_features=2, guidance_until=1 / 9)[:2], run(guidance_until=1 / 9)[:2])
    with pytest.raises(MoebiusError, match="cannot serve 0 steps"):
        run(reuse_features=0)
