"""DDIM (arXiv 2010.02502) with eta 0 and epsilon prediction, as diffusers' `DDIMScheduler` is configured officially."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from mlx_moebius.config import SchedulerConfig


class DDIMScheduler:
    """Noise levels, the timesteps of a run, and one deterministic step between two of them."""

    def __init__(self, config: SchedulerConfig | None = None) -> None:
        self.config = config or SchedulerConfig()
        c = self.config
        betas = np.linspace(c.beta_start**0.5, c.beta_end**0.5, c.num_train_timesteps, dtype=np.float32) ** 2
        self.alphas_cumprod = np.cumprod(1 - betas, dtype=np.float32)

    def timesteps(self, num_steps: int, strength: float) -> list[int]:
        """The last int(num_steps * strength) of `num_steps` evenly spaced timesteps, noisiest first; maybe none."""
        spacing = self.config.num_train_timesteps // num_steps
        count = min(int(num_steps * strength), num_steps)
        return [i * spacing for i in range(count)][::-1]

    def add_noise(self, clean: mx.array, noise: mx.array, timestep: int) -> mx.array:
        """Clean latents brought to the noise level of `timestep`."""
        alpha = float(self.alphas_cumprod[timestep])
        return alpha**0.5 * clean + (1 - alpha) ** 0.5 * noise

    def step_coefficients(self, timestep: int, num_steps: int) -> tuple[float, float]:
        """alpha_cumprod at `timestep` and at the one that a run of `num_steps` visits next (1 after the last)."""
        following = timestep - self.config.num_train_timesteps // num_steps
        return float(self.alphas_cumprod[timestep]), float(self.alphas_cumprod[following]) if following >= 0 else 1.0


def predict_clean(latents: mx.array, noise: mx.array, alpha: mx.array | float) -> mx.array:
    """The clean latents that `latents` at noise level `alpha` imply, given the predicted noise (paper, eq. 12)."""
    return (latents - (1 - alpha) ** 0.5 * noise) / alpha**0.5


def ddim_step(latents: mx.array, noise: mx.array, alpha: mx.array | float, alpha_next: mx.array | float) -> mx.array:
    """Latents at the next noise level."""
    return alpha_next**0.5 * predict_clean(latents, noise, alpha) + (1 - alpha_next) ** 0.5 * noise
