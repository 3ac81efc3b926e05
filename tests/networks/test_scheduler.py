"""The sampler against diffusers' DDIM, as the official code configures it."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from mlx_moebius.networks.scheduler import Scheduler, Solver, solver_step
from tests.support.fill import inputs
from tests.support.golden import golden, nchw, nhwc, relative_error

TOLERANCE = 1e-6
DATA = golden("scheduler.npz")


def test_alphas_cumprod() -> None:
    assert relative_error(Scheduler().alphas_cumprod, DATA["alphas_cumprod"]) <= TOLERANCE


@pytest.mark.parametrize("key", [key for key in DATA if key.startswith("timesteps/")])
def test_timesteps(key: str) -> None:
    _, steps, strength = key.split("/")
    assert Scheduler().timesteps(int(steps), float(strength)) == DATA[key].tolist()


@pytest.mark.parametrize("timestep", [0, 1, 500, 900, 999])
def test_add_noise(timestep: int) -> None:
    clean, noise = (nhwc(inputs(name, (1, 4, 8, 8))) for name in ("sched_x0", "sched_noise"))
    noisy = Scheduler().add_noise(clean, noise, timestep)
    assert relative_error(nchw(noisy), DATA[f"add_noise/{timestep}"]) <= TOLERANCE


@pytest.mark.parametrize("num_steps", [4, 20])
def test_trajectory(num_steps: int) -> None:
    scheduler = Scheduler()
    timesteps = scheduler.timesteps(num_steps, 0.99)
    clean, noise = (nhwc(inputs(name, (1, 4, 8, 8))) for name in ("sched_x0", "sched_noise"))
    latents = scheduler.add_noise(clean, noise, timesteps[0])
    before = latents
    for index, (timestep, *level) in enumerate(scheduler.levels(timesteps)):
        predicted = mx.tanh(0.7 * latents) + 1e-4 * timestep
        latents, before = solver_step(latents, predicted, before, *level)
        assert relative_error(nchw(latents), DATA[f"trajectory/{num_steps}/{index}"]) <= TOLERANCE


def solve(num_steps: int, solver: Solver) -> np.ndarray:
    """What the solver makes of noise when the data are normal with deviation 2, for which the ideal noise is known."""
    scheduler = Scheduler()
    latents = nhwc(inputs("sched_noise", (1, 4, 8, 8)))
    before = latents
    for _, *level in scheduler.levels(scheduler.timesteps(num_steps, 1.0, solver), solver):
        alpha = level[0]
        predicted = latents * (1 - alpha) ** 0.5 / (4 * alpha + 1 - alpha)
        latents, before = solver_step(latents, predicted, before, *level)
    return np.asarray(latents)


def test_second_order_needs_fewer_steps() -> None:
    exact = solve(1000, "ddim")
    errors = {(n, solver): relative_error(solve(n, solver), exact) for n in (10, 20) for solver in ("ddim", "dpm++")}
    assert errors[10, "dpm++"] < errors[20, "ddim"] < errors[10, "ddim"]
    assert errors[20, "dpm++"] < errors[10, "dpm++"]


def test_solver_timesteps() -> None:
    assert Scheduler().timesteps(10, 1.0, "dpm++") == [999, 899, 799, 699, 599, 500, 400, 300, 200, 100]
    assert Scheduler().timesteps(4, 0.5, "dpm++") == [499, 374, 250, 125]
    assert Scheduler().timesteps(4, 0.004, "dpm++") == [3, 2, 1]
    assert Scheduler().timesteps(4, 0.0, "dpm++") == []
