"""Runs that fit a limit of memory."""

from __future__ import annotations

import gc
import json
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from mlx_moebius.errors import MoebiusError
from mlx_moebius.models import find_model
from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.training.fit import fit, needed
from mlx_moebius.training.start import load_unfused, load_vae
from mlx_moebius.training.step import Example, Recipe, Trainer
from tests.support.studio import paint_photos
from tests.training.test_train import SIZES, arguments, lines, train

GIGABYTE = 2**30
RELEASED = ModelConfig()
FROZEN = Recipe(grad_accumulation=1)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(checkpoint=True, grad_accumulation=2),
        pytest.param(Recipe(), marks=pytest.mark.slow),
        pytest.param(Recipe(optimizer="muon"), marks=pytest.mark.slow),
    ],
)
def test_the_estimate_is_no_less_than_what_is_taken_nor_twice_as_much(recipe: Recipe) -> None:
    folder, batch = find_model("nano"), 4
    unet, config = load_unfused(folder)
    vae = load_vae(folder)
    trainer = Trainer(unet, config, recipe)
    rng, side = np.random.default_rng(0), config.unet.sample_size
    x, clean, noise = (mx.array(rng.standard_normal((batch, side, side, c), dtype=np.float32)) for c in (17, 8, 8))
    alpha, timesteps = mx.full(batch, 0.3), mx.full(batch, 500, mx.int32)
    example = Example(x, timesteps, mx.array([list(range(10))] * batch), clean, noise, alpha)
    mx.eval(vae.parameters(), trainer.parameters, trainer.moments, example)
    gc.collect()  # what other tests left must not be freed while this is measured
    held = mx.get_active_memory()
    mx.reset_peak_memory()
    trainer.advance([example] * recipe.grad_accumulation, 1e-5)
    own = sum(array.nbytes for array in [*trainer.parameters.values(), *trainer.moments.values()])
    # Other tests' arrays may be held, too: what this run holds is counted, and what it takes on top is measured.
    taken = own + mx.get_peak_memory() - held
    estimate = needed(config, recipe, batch)
    assert taken <= estimate <= 2 * taken


def test_an_arrangement_is_changed_no_more_than_it_must() -> None:
    whole = needed(RELEASED, FROZEN, 4)
    asked = fit(RELEASED, FROZEN, 4, whole)
    assert (asked.batch_size, asked.grad_accumulation, asked.checkpoint) == (4, 1, False)
    split = fit(RELEASED, FROZEN, 4, whole - 1)
    assert (split.batch_size, split.grad_accumulation, split.checkpoint) == (2, 2, False)
    assert split.bytes < whole
    one = needed(RELEASED, replace(FROZEN, grad_accumulation=4), 1)
    twice = fit(RELEASED, FROZEN, 4, one - 1)
    assert twice.checkpoint
    assert twice.batch_size * twice.grad_accumulation == 4
    live = fit(RELEASED, replace(FROZEN, live=True), 4, whole - 1)  # whose BatchNorm wants the whole batch
    assert (live.batch_size, live.checkpoint) == (4, True)
    assert not fit(RELEASED, replace(FROZEN, checkpoint=True), 4, 2**60).bytes > whole


@pytest.mark.parametrize(("machine", "checkpoint"), [(16, True), (32, False), (64, False)])
def test_the_released_size_fits_machines_of_all_sizes(machine: int, checkpoint: bool) -> None:
    found = fit(RELEASED, FROZEN, 8, int(0.75 * machine * GIGABYTE))
    assert found.checkpoint == checkpoint
    assert found.batch_size * found.grad_accumulation == 8


def test_a_teacher_takes_its_part() -> None:
    assert needed(RELEASED, FROZEN, 1, RELEASED) > needed(RELEASED, FROZEN, 1) + 0.8e9


def test_what_cannot_fit_is_refused_with_what_would_help() -> None:
    with pytest.raises(MoebiusError, match=r"raise memory_limit .*, ema=0 or optimizer='muon'") as refused:
        fit(RELEASED, FROZEN, 1, GIGABYTE)
    assert "\n" not in str(refused.value)
    with pytest.raises(MoebiusError, match="lower batch_size"):
        fit(RELEASED, Recipe(live=True, ema=0), 8, GIGABYTE)


@pytest.mark.slow
def test_the_command_says_what_it_chose_and_learns_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paint_photos(tmp_path / "photos", 6)
    (tmp_path / "small.json").write_text(json.dumps(SIZES))
    frozen = ["--vae", "nano", "--batch-norm", "frozen", "--batch-size", "4"]
    before = mx.set_memory_limit(2**40)
    try:
        assert train(*arguments(tmp_path, "whole", 2, *frozen)) == 0
        assert train(*arguments(tmp_path, "split", 2, *frozen, "--memory-limit", "22MB")) == 0
        assert "--memory-limit: 4 batches of 1, layers computed twice" in capsys.readouterr().out
        whole, split = (
            [line["loss"] for line in lines(tmp_path / name) if "loss" in line] for name in ("whole", "split")
        )
        assert whole == pytest.approx(split, rel=1e-4)
        assert train(*arguments(tmp_path, "none", 2, "--memory-limit", "5MB")) == 1
        assert train(*arguments(tmp_path, "none", 2, "--memory-limit", "much")) == 2
    finally:
        mx.set_memory_limit(before)
    first, second = capsys.readouterr().err.splitlines()
    assert "does not fit" in first
    assert "not a size" in second
    assert not (tmp_path / "none").exists()
