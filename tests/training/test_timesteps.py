"""Learning the timesteps of a model's own sampling alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from mlx_moebius.models import find_model
from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.networks.scheduler import clean_and_noise, prediction_target
from mlx_moebius.training.objective import sampled_timesteps, starts_from_noise
from mlx_moebius.training.photos import Decoder, find_photos
from mlx_moebius.training.samples import Samples
from mlx_moebius.training.start import load_vae
from mlx_moebius.training.step import Encoder
from tests.support.studio import paint_photos


def with_steps(config: ModelConfig, steps: int, strength: float = 1.0) -> ModelConfig:
    small = replace(config.unet, sample_size=4)
    return replace(config, unet=small, sampling=replace(config.sampling, num_steps=steps, strength=strength))


@pytest.fixture(scope="module")
def nano() -> Path:
    return find_model("nano")


def test_the_timesteps_of_sampling(nano: Path) -> None:
    config = ModelConfig.load(nano)
    assert sampled_timesteps(config) == [999]  # one step, trailing spacing
    assert sampled_timesteps(with_steps(config, 4)) == [999, 749, 499, 249]
    assert starts_from_noise(config)
    assert not starts_from_noise(ModelConfig())


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_first_input_is_noise_alone_as_in_sampling(nano: Path, tmp_path: Path, kind: str) -> None:
    config = with_steps(ModelConfig.load(nano), 2)
    config = replace(config, scheduler=replace(config.scheduler, prediction_type=kind))  # type: ignore[arg-type]
    library = find_photos(paint_photos(tmp_path / "photos", 3), config.image_size)
    batch = Samples(library.train, config, Decoder(pytest.fail, config.image_size), 0, "sampled").batch(0, 12)
    assert set(batch.timesteps.tolist()) == {999, 499}
    vae = load_vae(nano)
    sampled, usual = (Encoder(vae, config, timesteps)(batch) for timesteps in ("sampled", "all"))
    first = batch.timesteps == 999
    channels = config.vae.latent_channels
    seen = np.array(sampled.x[..., :channels])
    assert np.abs(seen - batch.noise)[first].max() < 1e-5
    assert np.array_equal(seen[~first], np.array(usual.x[..., :channels])[~first])
    # What is wanted of it is, by the sampler's own formula, the clean latents.
    prediction = config.scheduler.prediction_type
    wanted = prediction_target(prediction, sampled.clean, sampled.noise, sampled.alpha)
    clean = clean_and_noise(prediction, mx.array(seen), wanted, sampled.alpha)[0]
    assert float(mx.abs(clean - sampled.clean).max()) < 1e-3
