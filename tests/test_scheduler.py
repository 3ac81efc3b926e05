"""The sampler against diffusers' DDIM, as the official code configures it."""

from __future__ import annotations

import mlx.core as mx
import pytest

from mlx_moebius.scheduler import DDIMScheduler, ddim_step
from tests.fill import inputs
from tests.golden import golden, nchw, nhwc, relative_error

TOLERANCE = 1e-6
DATA = golden("scheduler.npz")


def test_alphas_cumprod() -> None:
    assert relative_error(DDIMScheduler().alphas_cumprod, DATA["alphas_cumprod"]) <= TOLERANCE


@pytest.mark.parametrize("key", [key for key in DATA if key.startswith("timesteps/")])
def test_timesteps(key: str) -> None:
    _, steps, strength = key.split("/")
    assert DDIMScheduler().timesteps(int(steps), float(strength)) == DATA[key].tolist()


@pytest.mark.parametrize("timestep", [0, 1, 500, 900, 999])
def test_add_noise(timestep: int) -> None:
    clean, noise = (nhwc(inputs(name, (1, 4, 8, 8))) for name in ("sched_x0", "sched_noise"))
    noisy = DDIMScheduler().add_noise(clean, noise, timestep)
    assert relative_error(nchw(noisy), DATA[f"add_noise/{timestep}"]) <= TOLERANCE


@pytest.mark.parametrize("num_steps", [4, 20])
def test_trajectory(num_steps: int) -> None:
    scheduler = DDIMScheduler()
    timesteps = scheduler.timesteps(num_steps, 0.99)
    clean, noise = (nhwc(inputs(name, (1, 4, 8, 8))) for name in ("sched_x0", "sched_noise"))
    latents = scheduler.add_noise(clean, noise, timesteps[0])
    for index, timestep in enumerate(timesteps):
        predicted = mx.tanh(0.7 * latents) + 1e-4 * timestep
        latents = ddim_step(latents, predicted, *scheduler.step_coefficients(timestep, num_steps))
        assert relative_error(nchw(latents), DATA[f"trajectory/{num_steps}/{index}"]) <= TOLERANCE
