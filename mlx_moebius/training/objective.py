"""What a network is asked for: which timesteps, and the loss (official trainer)."""

from __future__ import annotations

from typing import Literal

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.networks.scheduler import Scheduler

FEW = 4  # steps of sampling, for which it pays to learn its timesteps alone

Timesteps = Literal["all", "sampled"]
"""Which are learnt: all of them, or only those that the model's sampling visits."""
UNIFORM_SHARE = 0.25  # of timesteps; logit-normal alone leaves those that sampling starts from untrained


def mean_squared_error(a: mx.array, b: mx.array) -> mx.array:
    """Plain mean over everything, in float32."""
    return (a.astype(mx.float32) - b.astype(mx.float32)).square().mean()


def sampled_timesteps(config: ModelConfig) -> list[int]:
    """The timesteps that the model's sampling visits, noisiest first."""
    return Scheduler(config.scheduler).timesteps(config.sampling.num_steps, config.sampling.strength)


def check_sampling(config: ModelConfig) -> None:
    """Raise MoebiusError when the model's own sampling, by which it is judged, cannot run."""
    try:
        Scheduler(config.scheduler).checked_timesteps(config.sampling.num_steps, config.sampling.strength)
    except MoebiusError as error:
        raise MoebiusError(
            f"this model cannot fill as its configuration says: {error.message}", 'change "num_steps" of "sampling"'
        ) from None


def starts_from_noise(config: ModelConfig) -> bool:
    """Whether sampling begins with pure noise.

    The noisiest timestep of training is not pure noise: a little of the clean latents is left, enough to tell a hole's
    mean colour. A network that has learnt from it would read a colour out of pure noise.
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
