"""Being taught by a larger network, at a tiny size."""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import mlx.core as mx
import numpy as np
import pytest

from mlx_moebius.convert.folder import verify
from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.config import ModelConfig, PredictionType, SchedulerConfig, UNetConfig
from mlx_moebius.networks.scheduler import Scheduler, clean_and_noise
from mlx_moebius.training.checkpoint import STATE_NAME
from mlx_moebius.training.network import trace
from mlx_moebius.training.start import new_unet
from mlx_moebius.training.step import Example, Recipe, Trainer
from mlx_moebius.training.teacher import PROJECTION, Teacher, check_teacher, load_teacher
from tests.support.studio import paint_photos
from tests.training.test_train import COMMAND, SIZES, arguments, lines, train

CHANNELS: dict[str, Any] = {"in_channels": 17, "out_channels": 8, "block_out_channels": (32, 32)}
TINY = UNetConfig(**SIZES | CHANNELS)
CONFIG = ModelConfig(unet=TINY)


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, small.json, and a model "teacher" that is wider."""
    folder = tmp_path_factory.mktemp("school")
    paint_photos(folder / "photos", 6)
    (folder / "small.json").write_text(json.dumps(SIZES | {"block_out_channels": [32, 64]}))
    assert train(*arguments(folder, "teacher", 2, "--vae", "nano")) == 0
    (folder / "small.json").write_text(json.dumps(SIZES))
    (folder / "deep.json").write_text(json.dumps(SIZES | {"block_out_channels": [32, 32, 64]}))
    return folder


def lesson(school: Path, out: Path, steps: int, *more: str, config: str = "small.json") -> list[str]:
    words = [str(school / "photos"), "--config", str(school / config), "--teacher", str(school / "teacher")]
    return [*words, "-o", str(out), "--steps", str(steps), "--batch-size", "2", "--grad-accumulation", "1", *more]


def state(folder: Path) -> dict[str, mx.array]:
    arrays = mx.load(str(folder / STATE_NAME))
    assert isinstance(arrays, dict)
    return {name: array for name, array in arrays.items() if name != "plan"}


@pytest.mark.slow
def test_a_smaller_network_learns_from_a_wider_one(school: Path, tmp_path: Path) -> None:
    out = tmp_path / "pupil"
    assert train(*lesson(school, out, 32, "--lr", "3e-3", "--ema", "0.9")) == 0
    verify(out)
    log = [line for line in lines(out) if "loss" in line]
    for term in ("loss", "output_loss", "feature_loss"):
        assert np.mean([line[term] for line in log[-8:]]) < 0.95 * np.mean([line[term] for line in log[:8]]), term
    weights = [(line["output_weight"], line["task_weight"]) for line in log]
    assert len(set(weights)) == 4  # every eight steps
    assert all(0.05 <= weight <= 20 for pair in weights for weight in pair)
    kept = state(out)
    assert kept[f"parameters.{PROJECTION}"].shape == (64, 32)
    assert not any("projection" in name for name in mx.load(str(out / "unet.safetensors")))


@pytest.mark.slow
def test_a_killed_lesson_goes_on_bit_for_bit(school: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train(*lesson(school, whole, 4)) == 0
    words = [*COMMAND, *lesson(school, killed, 4, "--save-every", "2")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step 3 of"):
                process.send_signal(signal.SIGKILL)
                break
    assert train(*lesson(school, killed, 4, "--save-every", "2", "--resume")) == 0
    assert (whole / "unet.safetensors").read_bytes() == (killed / "unet.safetensors").read_bytes()
    a, b = state(whole), state(killed)
    assert "balance" in a
    assert all(mx.array_equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_other_levels_and_less_memory(school: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep"
    words = lesson(school, out, 3, "--grad-checkpoint", "--dtype", "bfloat16", config="deep.json")
    assert train(*words) == 0
    verify(out)
    assert all(np.isfinite(line["feature_loss"]) for line in lines(out) if "loss" in line)


@pytest.mark.slow
def test_a_dry_run_measures_the_teacher_too(school: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(*lesson(school, tmp_path / "none", 3, "--dry-run")) == 0
    said = capsys.readouterr().out
    assert "taught by teacher, features of 32 compared with its 64" in said
    assert "a step takes" in said


def example(config: ModelConfig) -> Example:
    rng = np.random.default_rng(0)
    shape = (2, config.unet.sample_size, config.unet.sample_size)
    x, clean, noise = (mx.array(rng.standard_normal((*shape, c), dtype=np.float32)) for c in (17, 8, 8))
    timesteps = np.array([40, 700])
    alpha = mx.array(Scheduler(config.scheduler).alphas_cumprod[timesteps])
    return Example(x, mx.array(timesteps), mx.array([list(range(10))] * 2), clean, noise, alpha)


@pytest.mark.parametrize("kind", get_args(PredictionType))
@pytest.mark.parametrize("own", get_args(PredictionType))
def test_a_teacher_says_it_in_its_students_terms(own: PredictionType, kind: PredictionType) -> None:
    config = replace(CONFIG, scheduler=SchedulerConfig(prediction_type=own))
    unet, given = new_unet(TINY, 1), example(config)
    taught = Teacher(unet, config)(given.x, given.timesteps, given.ids, given.alpha, kind)
    raw = trace(unet, given.x, given.timesteps, given.ids)[-1]
    noisy = given.x[..., :8]
    assert mx.allclose(
        clean_and_noise(kind, noisy, taught.predicted, given.alpha)[0],
        clean_and_noise(own, noisy, raw, given.alpha)[0],
        1e-4,
        1e-4,
    )
    assert mx.array_equal(taught.predicted, raw) == (own == kind)


def test_layers_computed_twice_change_nothing() -> None:
    given, found = example(CONFIG), []
    wide = replace(TINY, block_out_channels=(32, 64))
    teacher = Teacher(new_unet(wide, 1), replace(CONFIG, unet=wide))
    for twice in (False, True):
        trainer = Trainer(new_unet(TINY, 0), CONFIG, Recipe(checkpoint=twice, grad_accumulation=2), teacher=teacher)
        found.append((trainer.advance([given, given], 1e-3), trainer.state()))
    (plain, before), (checkpointed, after) = found
    assert plain.taught == pytest.approx(checkpointed.taught, rel=1e-4)
    assert all(mx.allclose(before[name], after[name], 1e-3, 1e-5) for name in before if name.endswith(".m"))


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        ({"unet": {"sample_size": 16}}, 'give it "sample_size" 16'),
        ({"vae": {"scaling_factor": 1.0}}, "another VAE"),
        ({"scheduler": {"beta_end": 0.02}}, "other noise levels"),
        ({"sampling": {"num_steps": 2, "strength": 1.0}}, "timesteps 500, 0 of its own sampling"),
        ({"sampling": {"guidance_scale": 1.0}}, "background alone"),
    ],
)
def test_a_teacher_that_knows_something_else_is_refused(teacher: dict[str, Any], said: str) -> None:
    ((part, values),) = teacher.items()
    with pytest.raises(MoebiusError, match=said) as refused:
        check_teacher(replace(CONFIG, **{part: replace(getattr(CONFIG, part), **values)}), CONFIG, "all", True)
    assert "\n" not in str(refused.value)


def test_a_teacher_of_few_steps_teaches_those() -> None:
    few = replace(CONFIG, sampling=replace(CONFIG.sampling, num_steps=2, strength=1.0))
    check_teacher(few, few, "sampled", False)
    with pytest.raises(MoebiusError, match="timesteps 500, 0"):
        check_teacher(few, replace(few, sampling=replace(few.sampling, num_steps=3)), "sampled", False)


def test_vaes_are_compared_by_their_weights(school: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("config.json", "unet.safetensors", "vae.safetensors"):
        (other / name).write_bytes((school / "teacher" / name).read_bytes())
    vae = mx.load(str(other / "vae.safetensors"))
    assert isinstance(vae, dict)
    config = ModelConfig.load(school / "teacher")

    def load() -> Teacher:
        return load_teacher(school / "teacher", config, other, "all", False, "float32", 0)

    mx.save_safetensors(str(other / "vae.safetensors"), {k: v.astype(mx.bfloat16) for k, v in vae.items()})
    assert load().name == "teacher"
    mx.save_safetensors(str(other / "vae.safetensors"), {k: v * 1.1 for k, v in vae.items()})
    with pytest.raises(MoebiusError, match="another VAE"):
        load()


def test_a_teacher_that_is_refused_is_so_in_one_line(
    school: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(*lesson(school, tmp_path / "refused", 2, "--teacher", "nano")) == 1
    error = capsys.readouterr().err
    assert 'give it "sample_size" 16' in error
    assert error.count("\n") == 1
    assert not (tmp_path / "refused").exists()


@pytest.mark.slow
def test_another_teacher_is_no_way_to_go_on(school: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "alone"
    assert train(*arguments(school, str(out), 1, "--vae", "nano")) == 0
    assert train(*lesson(school, out, 2, "--resume")) == 1
    assert "the teacher is not the one" in capsys.readouterr().err
