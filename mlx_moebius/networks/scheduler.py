"""The noise schedule and its solvers, for a network that predicts the noise or the velocity v.

"ddim" (arXiv 2010.02502, eta 0) is the official pipeline's solver, diffusers' `DDIMScheduler` as configured there.
"dpm++" is DPM-Solver++ 2M (arXiv 2211.01095): the same step on clean latents extrapolated from the last two
predictions.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, NamedTuple

import mlx.core as mx
import numpy as np

from mlx_moebius.errors import LESS, MORE, Change, MoebiusError
from mlx_moebius.networks.config import PredictionType, SchedulerConfig
from mlx_moebius.words import counted

Solver = Literal["ddim", "dpm++"]


class Level(NamedTuple):
    """One step: its timestep, alpha_cumprod before and after it, and the weight of the extrapolation (0: none)."""

    timestep: int
    alpha: float
    alpha_next: float
    extrapolation: float


class Scheduler:
    """The noise schedule of a model, and the steps of a run."""

    def __init__(self, config: SchedulerConfig | None = None) -> None:
        self.config = config or SchedulerConfig()
        c = self.config
        betas = np.linspace(c.beta_start**0.5, c.beta_end**0.5, c.num_train_timesteps, dtype=np.float32) ** 2
        self.alphas_cumprod = np.cumprod(1 - betas, dtype=np.float32)

    def timesteps(self, num_steps: int, strength: float, solver: Solver = "ddim") -> list[int]:
        """The timesteps of a run, noisiest first; maybe none.

        "ddim": the last int(num_steps * strength) of `num_steps` evenly spaced ones. With the spacing "leading" they
        end at 0, with "trailing" the spacing starts at the noisiest timestep. "dpm++": `num_steps` evenly spaced ones,
        starting at the share `strength` of all timesteps. With either spacing they leave out 0, where next to no noise
        is left.
        """
        total, trailing = self.config.num_train_timesteps, self.config.timestep_spacing == "trailing"
        if solver == "dpm++":
            first = int(total * strength) - 1
            count = max(min(num_steps, first), 0)
            if trailing:
                return _trailing(first + 1, count)
            return np.linspace(first, 0, count + 1).round().astype(int)[:-1].tolist()
        count = min(int(num_steps * strength), num_steps)
        if trailing:
            return _trailing(total, num_steps)[num_steps - count :]
        return [i * (total // num_steps) for i in range(count)][::-1]

    def checked_timesteps(self, num_steps: int, strength: float, solver: Solver = "ddim") -> list[int]:
        """`timesteps`, at least one. Raises MoebiusError when there is none, or fewer than steps."""
        if num_steps > self.config.num_train_timesteps:
            raise MoebiusError(
                f"{num_steps} steps are too many, the model has {self.config.num_train_timesteps} timesteps",
                Change("num_steps", LESS, "(20 are usual)"),
            )
        timesteps = self.timesteps(num_steps, strength, solver) if num_steps > 0 else []
        if not timesteps:
            raise MoebiusError(
                f"{counted(num_steps, 'step')} at strength {strength:g} would run nothing",
                Change("num_steps", MORE, "(20 are usual)"),
            )
        return timesteps

    def add_noise(self, clean: mx.array, noise: mx.array, timestep: int) -> mx.array:
        """Clean latents brought to the noise level of `timestep`."""
        return add_noise(clean, noise, float(self.alphas_cumprod[timestep]))

    def levels(self, timesteps: list[int], solver: Solver = "ddim") -> list[Level]:
        """The steps from one timestep to the next; the last step leads to clean latents.

        The first and the last step of "dpm++" do not extrapolate, as usual with few steps.
        """
        alphas = [*(float(self.alphas_cumprod[t]) for t in timesteps), 1.0]
        # Half the log of the signal-to-noise ratio: the solver's time.
        times = [math.log(alpha / (1 - alpha)) / 2 for alpha in alphas[:-1]]
        widths = [after - before for before, after in pairwise(times)]
        second = [wide / (2 * before) for before, wide in pairwise(widths)] if solver == "dpm++" else []
        weights = [0.0, *second, 0.0] if second else [0.0] * len(timesteps)
        return [Level(*step) for step in zip(timesteps, alphas[:-1], alphas[1:], weights, strict=True)]


def _trailing(total: int, count: int) -> list[int]:
    """`count` timesteps below `total`, evenly spaced, starting at the last one (diffusers' "trailing")."""
    return (np.round(total - np.arange(count) * (total / max(count, 1))).astype(int) - 1).tolist()


# Noisy latents are signal * clean + rest * noise, with signal = sqrt(alpha) and rest = sqrt(1 - alpha). Below, latents
# are [B, h, w, C], and `alpha` (alpha_cumprod) is one number for the whole batch, or [B], one number per sample.


def weights_of(alpha: mx.array | float) -> tuple[mx.array | float, mx.array | float]:
    """The weights of clean latents and noise at a noise level: sqrt(alpha), sqrt(1 - alpha)."""
    if not isinstance(alpha, mx.array):
        return math.sqrt(alpha), math.sqrt(1 - alpha)
    alpha = alpha[:, None, None, None] if alpha.ndim == 1 else alpha
    return mx.sqrt(alpha), mx.sqrt(1 - alpha)


def add_noise(clean: mx.array, noise: mx.array, alpha: mx.array | float) -> mx.array:
    """Clean latents brought to a noise level."""
    signal, rest = weights_of(alpha)
    return signal * clean + rest * noise


def noise_between(clean: mx.array, noisy: mx.array, alpha: mx.array | float) -> mx.array:
    """The noise in noisy latents whose clean latents are known: `add_noise` inverted."""
    signal, rest = weights_of(alpha)
    return (noisy - signal * clean) / rest


def prediction_target(
    prediction_type: PredictionType, clean: mx.array, noise: mx.array, alpha: mx.array | float
) -> mx.array:
    """The target of a prediction: noise (paper, eq. 12), or v = signal * noise - rest * clean (arXiv 2202.00512)."""
    signal, rest = weights_of(alpha)
    return noise if prediction_type == "epsilon" else signal * noise - rest * clean


def clean_and_noise(
    prediction_type: PredictionType, latents: mx.array, predicted: mx.array, alpha: mx.array | float
) -> tuple[mx.array, mx.array]:
    """The clean latents and the noise that a prediction implies for noisy latents: `prediction_target` inverted."""
    signal, rest = weights_of(alpha)
    if prediction_type == "v_prediction":
        return signal * latents - rest * predicted, signal * predicted + rest * latents
    return (latents - rest * predicted) / signal, predicted


def solver_step(
    clean: mx.array,
    noise: mx.array,
    before: mx.array,
    alpha: mx.array | float,
    alpha_next: mx.array | float,
    extrapolation: mx.array | float,
) -> mx.array:
    """Latents at the next noise level.

    Args:
        clean: clean latents that the prediction implies.
        noise: noise that the prediction implies.
        before: `clean` of the step before, used where `extrapolation` is not 0.
        alpha: alpha_cumprod now.
        alpha_next: alpha_cumprod after the step.
        extrapolation: weight of the change of the clean latents since the step before.
    """
    change = extrapolation * (clean - before)
    noise = noise - (alpha / (1 - alpha)) ** 0.5 * change  # so that clean and noise still add up to the latents
    return alpha_next**0.5 * (clean + change) + (1 - alpha_next) ** 0.5 * noise
