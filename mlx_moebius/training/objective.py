"""What a network is asked for: noisy latents, the target of its prediction, timesteps, losses (official trainer)."""

from __future__ import annotations

from typing import Literal

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_moebius.networks.config import ModelConfig, PredictionType
from mlx_moebius.networks.scheduler import Scheduler

FEW = 4  # steps of sampling, for which it pays to learn its timesteps alone

Timesteps = Literal["all", "sampled"]
"""Which are learnt: all of them, or those alone that the model's own sampling visits."""
UNIFORM_SHARE = 0.25  # of timesteps; logit-normal alone leaves those that sampling starts from untrained


def noise_between(clean: mx.array, noisy: mx.array, alpha: mx.array) -> mx.array:
    """The noise that makes latents [B, h, w, C] out of clean ones at noise levels alpha_cumprod [B]."""
    a = alpha[:, None, None, None]
    return (noisy - mx.sqrt(a) * clean) / mx.sqrt(1 - a)


def add_noise(clean: mx.array, noise: mx.array, alpha: mx.array) -> mx.array:
    """Latents [B, h, w, C] at noise levels alpha_cumprod [B]."""
    a = alpha[:, None, None, None]
    return mx.sqrt(a) * clean + mx.sqrt(1 - a) * noise


def target(prediction_type: PredictionType, clean: mx.array, noise: mx.array, alpha: mx.array) -> mx.array:
    """What the network should predict: the noise, or v = sqrt(a) noise - sqrt(1 - a) clean (arXiv 2202.00512)."""
    if prediction_type == "epsilon":
        return noise
    a = alpha[:, None, None, None]
    return mx.sqrt(a) * noise - mx.sqrt(1 - a) * clean


def clean_from(prediction_type: PredictionType, predicted: mx.array, noisy: mx.array, alpha: mx.array) -> mx.array:
    """The clean latents that a prediction implies."""
    a = alpha[:, None, None, None]
    if prediction_type == "epsilon":
        return (noisy - mx.sqrt(1 - a) * predicted) / mx.sqrt(a)
    return mx.sqrt(a) * noisy - mx.sqrt(1 - a) * predicted


def mean_squared_error(a: mx.array, b: mx.array) -> mx.array:
    """Plain mean over everything, in float32."""
    return (a.astype(mx.float32) - b.astype(mx.float32)).square().mean()


def sampled_timesteps(config: ModelConfig) -> list[int]:
    """Those that the model's own sampling visits, noisiest first."""
    return Scheduler(config.scheduler).timesteps(config.sampling.num_steps, config.sampling.strength)


def starts_from_noise(config: ModelConfig) -> bool:
    """Whether sampling begins with noise alone. That is not the noisiest timestep's input, in which a little of the
    clean latents is left, enough for a hole's mean colour: learnt with it, a network trusts it and finds chance.
    """
    return config.sampling.strength >= 1


def draw_timesteps(
    rng: np.random.Generator, count: int, total: int, uniform_share: float = UNIFORM_SHARE
) -> NDArray[np.int64]:
    """Timesteps [count] below `total`: floor(total * sigmoid(z)), z normal, and a share of uniform ones."""
    normal = total / (1 + np.exp(-rng.standard_normal(count)))
    uniform = total * rng.random(count)
    chosen = np.where(rng.random(count) < uniform_share, uniform, normal)
    return np.minimum(chosen.astype(np.int64), total - 1)
