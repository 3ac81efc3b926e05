"""Whole runs through the command line, at a tiny size: what they write, going on, ending early, refusing."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

from mlx_moebius.convert.folder import verify
from mlx_moebius.models import find_model
from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.networks.weights import load_diffusion
from mlx_moebius.train import main
from mlx_moebius.training.checkpoint import STATE_NAME
from tests.support.studio import paint_photos
from tests.support.tiny import tiny

SIZES: dict[str, Any] = {
    "block_out_channels": [32, 32],
    "layers_per_block": 1,
    "encoder_hid_dim": 16,
    "cross_attention_dim": 16,
    "sample_size": 8,
    "local_kernel_size": 3,
}
COMMAND = [sys.executable, "-u", "-m", "mlx_moebius.train"]


@pytest.fixture
def studio(tmp_path: Path) -> Path:
    paint_photos(tmp_path / "photos", 6)
    (tmp_path / "small.json").write_text(json.dumps(SIZES))
    return tmp_path


def arguments(studio: Path, out: str, steps: int, *more: str) -> list[str]:
    words = [str(studio / "photos"), "--config", str(studio / "small.json"), "--vae", tiny(), "-o", str(studio / out)]
    words += ["--steps", str(steps), "--batch-size", "2", "--grad-accumulation", "1"]
    return [*words, *more]


def train(*words: str) -> int:
    """The command's exit code."""
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_new_network_learns_and_its_folder_is_a_model(studio: Path) -> None:
    for path in (studio / "photos").iterdir():
        path.chmod(0o600)
    words = ["--vae", "nano", "--lr", "3e-3", "--ema", "0.9", "--val-every", "12"]
    assert train(*arguments(studio, "mine", 24, *words)) == 0
    folder = studio / "mine"
    assert (folder / "held_out.png").stat().st_mode & 0o777 == 0o600  # it shows private photos
    verify(folder)
    bands = [line for line in lines(folder) if "bands" in line]
    assert [line["step"] for line in bands] == [0, 12, 24]
    losses = [line["loss"] for line in lines(folder) if "loss" in line]
    assert np.mean(losses[-8:]) < 0.95 * np.mean(losses[:8])
    assert ModelConfig.load(folder).sampling.guidance_scale == 1
    assert ModelConfig.load(folder).dtype == "float16"  # as its VAE is stored
    assert load_diffusion(folder).unet.config.block_out_channels == (32, 32)
    for name in ("loss.png", "held_out.png"):
        with Image.open(folder / name) as image:
            assert image.size > (300, 100)


@pytest.mark.slow
def test_the_share_of_uniform_timesteps_is_asked_for(studio: Path) -> None:
    losses: list[list[float]] = []
    for share in ("0", "0", "1"):
        folder = f"uniform{len(losses)}"
        assert train(*arguments(studio, folder, 1, "--uniform-timesteps", share)) == 0
        losses.append([line["loss"] for line in lines(studio / folder) if "loss" in line])
    assert losses[0] == losses[1] != losses[2]


def large_photos(studio: Path) -> Path:
    """As large as nano's window."""
    photos = paint_photos(studio / "larger", 4)
    for path in photos.iterdir():
        with Image.open(path) as image:
            image.resize((256, 192)).save(path)
    return photos


@pytest.mark.slow
def test_fine_tuning_the_bundled_model(studio: Path) -> None:
    words = [str(large_photos(studio)), "--model", "nano", "-o", str(studio / "tuned"), "--steps", "8"]
    assert train(*words, "--batch-size", "2", "--grad-accumulation", "1", "--lr", "3e-4", "--ema", "0") == 0
    verify(studio / "tuned")
    # The same crops, holes and noise of a photo that was not learnt from, at the one timestep that nano samples.
    before, after = (line for line in lines(studio / "tuned") if "bands" in line)
    assert list(after["bands"]) == ["999"]
    assert after["bands"]["999"] < 0.95 * before["bands"]["999"]
    assert after["psnr"] > before["psnr"]
    weights = mx.load(str(studio / "tuned" / "unet.safetensors"))
    assert ModelConfig.load(studio / "tuned").dtype == "float16"
    assert all(mx.isfinite(array).all() for array in weights.values())  # type: ignore[union-attr]


@pytest.mark.slow
def test_the_average_follows_weights_and_statistics(studio: Path) -> None:
    words = ["--ema", "0.2", "--lr", "1e-2"]
    assert train(*arguments(studio, "mine", 1, *words)) == 0
    before = mx.load(str(studio / "mine" / STATE_NAME))
    assert train(*arguments(studio, "mine", 2, *words, "--resume")) == 0
    after = mx.load(str(studio / "mine" / STATE_NAME))
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    names = {name.removeprefix("average.") for name in after if name.startswith("average.")}
    assert any(name.endswith("running_var") for name in names)
    for name in names:
        newest = after[f"parameters.{name}" if f"parameters.{name}" in after else f"rest.{name}"]
        expected = 0.2 * before[f"average.{name}"] + 0.8 * newest
        assert mx.allclose(after[f"average.{name}"], expected, rtol=1e-5, atol=1e-7), name
    assert not mx.array_equal(after["average.conv_in.conv_pw.weight"], after["parameters.conv_in.conv_pw.weight"])


@pytest.mark.slow
@pytest.mark.parametrize("with_objects", [False, True])
def test_the_embedding_learns_only_from_objects(studio: Path, with_objects: bool) -> None:
    photos, model = studio / "photos", tiny()
    if with_objects:
        mask = np.zeros((96, 128), np.uint8)
        mask[30:60, 40:70] = 255
        for path in list(photos.iterdir()):
            Image.fromarray(mask).save(path.with_name(f"{path.stem}_mask.png"))
    words = [str(photos), "--model", model, "-o", str(studio / "tuned"), "--steps", "1", "--ema", "0", "--lr", "1e-3"]
    assert train(*words, "--batch-size", "4", "--grad-accumulation", "1") == 0
    begun, tuned = (mx.load(str(Path(folder) / "unet.safetensors")) for folder in (model, studio / "tuned"))
    assert isinstance(begun, dict)
    assert isinstance(tuned, dict)
    same = {name for name in begun if mx.array_equal(begun[name], tuned[name])}
    assert ("embedding_layer.weight" in same) == (not with_objects)
    assert "conv_in.conv_pw.weight" in set(begun) - same


@pytest.mark.slow
def test_what_was_learnt_is_blended_with_the_model_it_began_with(
    studio: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = studio / "tuned"
    words = [str(studio / "photos"), "-o", str(out), "--steps", "1", "--batch-size", "2", "--lr", "1e-3"]

    def weights(*more: str) -> dict[str, Any]:
        assert train(*words, *more) == 0
        verify(out)
        return {name: np.array(v, np.float32) for name, v in mx.load(str(out / "unet.safetensors")).items()}  # type: ignore[union-attr]

    learned = weights("--model", tiny(), "--grad-accumulation", "1")
    began, half = (
        weights("--model", tiny(), "--grad-accumulation", "1", "--resume", "--blend", share) for share in ("0", "0.5")
    )
    begun = mx.load(str(Path(tiny(), "unet.safetensors")))
    assert isinstance(begun, dict)
    for name, value in begun.items():
        assert np.array_equal(began[name], np.array(value, np.float32)), name
        assert np.allclose(half[name], (began[name] + learned[name]) / 2, rtol=1e-3, atol=1e-5), name
    assert any(not np.array_equal(half[name], began[name]) for name in begun)
    shutil.copytree(tiny(), studio / "another")
    other = ["--model", str(studio / "another"), "--grad-accumulation", "1", "--resume"]
    assert train(*words, *other) == 1
    assert "the model is not the one" in capsys.readouterr().err


@pytest.mark.slow
def test_muon_and_bfloat16(studio: Path) -> None:
    assert (
        train(*arguments(studio, "mine", 3, "--optimizer", "muon", "--dtype", "bfloat16", "--batch-norm", "frozen"))
        == 0
    )
    verify(studio / "mine")
    assert all(np.isfinite(line["loss"]) for line in lines(studio / "mine") if "loss" in line)


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit(studio: Path) -> None:
    words = arguments(studio, "killed", 4, "--save-every", "2")
    assert train(*arguments(studio, "whole", 4)) == 0
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step 3 of"):
                process.send_signal(signal.SIGKILL)
                break
    assert train(*words, "--resume") == 0
    for name in ("unet.safetensors", "config.json", "README.md", "held_out.png"):
        assert (studio / "whole" / name).read_bytes() == (studio / "killed" / name).read_bytes()
    whole, killed = (mx.load(str(studio / name / STATE_NAME)) for name in ("whole", "killed"))
    assert isinstance(whole, dict)
    assert isinstance(killed, dict)
    assert all(mx.array_equal(whole[name], killed[name]) for name in whole if name != "plan")
    steps = [line["step"] for line in lines(studio / "killed") if "loss" in line]
    assert steps == list(range(1, 5))


@pytest.mark.slow
def test_a_new_network_is_stored_as_its_vae_is(studio: Path) -> None:
    """One type of numbers holds for both files of a model folder."""
    assert train(*arguments(studio, "mine", 1)) == 0
    assert ModelConfig.load(studio / "mine").dtype == "float32"
    verify(studio / "mine")


def test_ctrl_c_saves(studio: Path) -> None:
    words = arguments(studio, "stopped", 1000)
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step 3 of"):
                process.send_signal(signal.SIGINT)
                break
        said = process.stdout.read()
    assert process.returncode == 130
    assert "--resume goes on" in said
    assert "Traceback" not in said
    verify(studio / "stopped")


@pytest.mark.slow
@pytest.mark.parametrize(("every", "said"), [("50", "not finite in step"), ("1", "the run diverged")])
def test_a_run_that_diverges_stops_and_keeps_the_last_save(
    studio: Path, capsys: pytest.CaptureFixture[str], every: str, said: str
) -> None:
    float16 = ("--vae", "nano")  # is what the folder is stored in, too: weights overflow before the loss does
    assert train(*arguments(studio, "wild", 2, *float16)) == 0
    good = (studio / "wild" / STATE_NAME).read_bytes()
    assert train(*arguments(studio, "wild", 30, *float16, "--resume", "--lr", "1e30", "--save-every", every)) == 1
    assert said in capsys.readouterr().err
    assert (studio / "wild" / STATE_NAME).read_bytes() == good
    verify(studio / "wild")


@pytest.mark.slow
def test_minutes_plan_the_schedule(
    studio: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: next(looks) * 0.15)  # seconds pass between two looks
    monkeypatch.setattr("mlx_moebius.training.run.time", clock)
    assert train(*arguments(studio, "timed", 1, "--minutes", "0.1")) == 0
    planned = next(line for line in capsys.readouterr().out.splitlines() if "fit into" in line)
    assert "0.1 minutes" in planned
    assert 5 < int(planned.split()[0]) < 30
    rates = [line["lr"] for line in lines(studio / "timed") if "lr" in line]
    assert len(rates) > 5
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.4 * rates[0]
    assert next(looks) * 0.15 < 8


@pytest.mark.slow
def test_minutes_are_planned_without_the_steps_that_warm_up(
    studio: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = itertools.accumulate(itertools.chain(itertools.repeat(0.08, 5), itertools.repeat(0.035)))
    monkeypatch.setattr("mlx_moebius.training.run.time", SimpleNamespace(monotonic=lambda: next(passed)))
    monkeypatch.setattr("mlx_moebius.training.run.MEASURED", 2)  # steps, to have few of them
    assert train(*arguments(studio, "timed", 1, "--minutes", "0.08")) == 0
    planned = [int(line.split()[0]) for line in capsys.readouterr().out.splitlines() if "fit into" in line]
    assert planned[-1] > 1.2 * planned[0]
    rates = [line["lr"] for line in lines(studio / "timed") if "lr" in line]
    assert len(rates) > 0.8 * planned[-1] - 5
    assert rates[-1] < 0.4 * max(rates)


def test_a_dry_run_writes_nothing(studio: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (studio / "photos" / "broken.png").write_bytes(b"no picture")
    assert train(*arguments(studio, "none", 10, "--dry-run")) == 0
    said = capsys.readouterr().out
    assert "broken.png" in said
    assert "5 photos to learn from, 1 held out" in said
    assert "a step takes" in said
    assert not (studio / "none").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--model", "nano"], "either --model"),
        (["--blend", "0.5"], "--blend belongs to --model"),
        (["--resume"], "no run to go on with"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    studio: Path, capsys: pytest.CaptureFixture[str], change: list[str], said: str
) -> None:
    assert train(*arguments(studio, "refused", 5, *change)) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (studio / "refused").exists()


def test_a_quantized_model_is_refused(studio: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(find_model("nano"), studio / "rounded")
    config = json.loads((studio / "rounded" / "config.json").read_text())
    config["quantization"] = {"bits": 8, "group_size": 32, "mode": "affine"}
    (studio / "rounded" / "config.json").write_text(json.dumps(config))
    assert train(str(studio / "photos"), "--model", str(studio / "rounded"), "-o", str(studio / "refused")) == 1
    assert "is quantized and cannot be trained" in capsys.readouterr().err
    assert not (studio / "refused").exists()


def test_a_disk_without_room_is_refused(
    studio: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SimpleNamespace(disk_usage=lambda path: SimpleNamespace(free=1_000_000))
    monkeypatch.setattr("mlx_moebius.training.run.shutil", disk)
    assert train(*arguments(studio, "refused", 5)) == 1
    assert "0.0 GB free, a run needs" in capsys.readouterr().err
    assert not (studio / "refused").exists()


@pytest.mark.slow
def test_an_existing_folder_and_other_options_are_refused(studio: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(*arguments(studio, "taken", 1)) == 0
    assert train(*arguments(studio, "taken", 1)) == 1
    assert "already exists" in capsys.readouterr().err
    assert train(*arguments(studio, "taken", 1, "--resume", "--optimizer", "muon")) == 1
    assert "optimizer adamw, not muon" in capsys.readouterr().err
    (studio / "photos" / "photo0.png").unlink()
    assert train(*arguments(studio, "taken", 1, "--resume")) == 1
    assert "photos are not those" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sizes", "said"),
    [({"out_channels": 3}, "wants 9 channels in and 4 out"), ({"colour": 1}, "colour"), ([], "not the configuration")],
)
def test_configurations_that_fit_no_network(
    studio: Path, capsys: pytest.CaptureFixture[str], sizes: object, said: str
) -> None:
    (studio / "small.json").write_text(json.dumps(SIZES | sizes if isinstance(sizes, dict) else sizes))
    assert train(*arguments(studio, "refused", 5)) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sampling": {"num_steps": 1}}, "1 step at strength 0.99 would run nothing"),
        ({"scheduler": {"num_train_timesteps": 10}}, "20 steps are too many, the model has 10 timesteps"),
    ],
)
def test_sampling_that_cannot_run_is_refused_before_photos_are_read(
    studio: Path, capsys: pytest.CaptureFixture[str], settings: dict[str, object], said: str
) -> None:
    (studio / "small.json").write_text(json.dumps({"unet": SIZES} | settings))
    assert train(*arguments(studio, "refused", 5)) == 1
    error = capsys.readouterr().err
    assert said in error
    assert 'change "num_steps"' in error
    assert error.count("\n") == 1
    assert not (studio / "refused").exists()
