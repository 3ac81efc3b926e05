"""The sampler against diffusers' DDIM, as the official code configures it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlx_moebius.networks.config import PredictionType, SchedulerConfig
from mlx_moebius.networks.scheduler import Scheduler, Solver, clean_and_noise, solver_step
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
    start = scheduler.add_noise(clean, noise, timesteps[0])
    for index, latents in enumerate(walk(scheduler, start, timesteps)):
        assert relative_error(nchw(latents), DATA[f"trajectory/{num_steps}/{index}"]) <= TOLERANCE


def test_trajectory_with_v_prediction() -> None:
    data = golden("training.npz")
    scheduler = Scheduler(SchedulerConfig(prediction_type="v_prediction"))
    timesteps = scheduler.timesteps(10, 1.0)
    assert timesteps == data["v_timesteps"].tolist()
    start = nhwc(inputs("sched_x0", (1, 4, 8, 8)))
    for index, latents in enumerate([start, *walk(scheduler, start, timesteps)]):
        assert relative_error(nchw(latents), data["v_trajectory"][index]) <= TOLERANCE


def walk(scheduler: Scheduler, latents: mx.array, timesteps: list[int], solver: Solver = "ddim") -> Iterator[mx.array]:
    """Latents after every step, with the golden files' stand-in for a network."""
    before = latents
    for timestep, alpha, *level in scheduler.levels(timesteps, solver):
        predicted = mx.tanh(0.7 * latents) + 1e-4 * timestep
        clean, noise = clean_and_noise(scheduler.config.prediction_type, latents, predicted, alpha)
        latents, before = solver_step(clean, noise, before, alpha, *level), clean
        yield latents


def solve(num_steps: int, solver: Solver, prediction_type: PredictionType = "epsilon") -> np.ndarray:
    """What the solver makes of noise when the data are normal with deviation 2, for which the ideal noise is known."""
    scheduler = Scheduler(SchedulerConfig(prediction_type=prediction_type))
    latents = nhwc(inputs("sched_noise", (1, 4, 8, 8)))
    before = latents
    for _, alpha, *level in scheduler.levels(scheduler.timesteps(num_steps, 1.0, solver), solver):
        noise = latents * (1 - alpha) ** 0.5 / (4 * alpha + 1 - alpha)
        clean = 4 * alpha**0.5 * latents / (4 * alpha + 1 - alpha)
        predicted = noise if prediction_type == "epsilon" else alpha**0.5 * noise - (1 - alpha) ** 0.5 * clean
        parts = clean_and_noise(prediction_type, latents, predicted, alpha)
        latents, before = solver_step(*parts, before, alpha, *level), parts[0]
    return np.asarray(latents)


@pytest.mark.parametrize("solver", ["ddim", "dpm++"])
def test_predicting_v_or_the_noise_is_the_same_run(solver: Solver) -> None:
    assert relative_error(solve(10, solver, "v_prediction"), solve(10, solver)) <= 2e-6


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


def test_trailing_timesteps() -> None:
    scheduler = Scheduler(SchedulerConfig(timestep_spacing="trailing"))
    assert scheduler.timesteps(8, 1.0) == [999, 874, 749, 624, 499, 374, 249, 124]
    assert scheduler.timesteps(8, 0.99) == [874, 749, 624, 499, 374, 249, 124]
    assert scheduler.timesteps(3, 1.0) == [999, 666, 332]
    assert scheduler.timesteps(1, 1.0) == [999]
    assert scheduler.timesteps(1, 0.99) == []
    assert scheduler.timesteps(4, 1.0, "dpm++") == [999, 749, 499, 249]
    assert scheduler.timesteps(4, 0.5, "dpm++") == [499, 374, 249, 124]
    assert scheduler.timesteps(4, 0.0, "dpm++") == []


@pytest.mark.parametrize(
    "settings", [{"prediction_type": "sample"}, {"timestep_spacing": "linspace"}, {"prediction_type": 3}]
)
def test_other_words_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))} is .*; known: "):
        SchedulerConfig(**settings)
