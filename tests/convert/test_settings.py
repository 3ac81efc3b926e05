"""Configuration files beside a checkpoint: what is read of them, what is refused by name, what is warned of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mlx_moebius.convert.folder import convert_checkpoint
from mlx_moebius.convert.settings import SCHEDULER_SETTINGS, UNET_SETTINGS, scheduler_config
from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.config import ModelConfig, SchedulerConfig
from tests.support.golden import DATA

NANO = DATA / "nano"
STATED = json.loads((NANO / SCHEDULER_SETTINGS).read_text())


def read(**changed: Any) -> tuple[SchedulerConfig, list[str]]:
    warnings: list[str] = []
    return scheduler_config({**STATED, **changed}, Path("s.json"), warnings.append), warnings


def test_scheduler_is_read() -> None:
    config, warnings = read(beta_start=0.001, num_train_timesteps=500, timestep_spacing="leading")
    assert config == SchedulerConfig(500, 0.001, 0.012, "v_prediction", "leading")
    assert warnings == []
    assert read(prediction_type="epsilon")[0].prediction_type == "epsilon"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prediction_type": "sample"}, 'prediction_type is "sample", implemented is "epsilon" or "v_prediction"'),
        ({"timestep_spacing": "linspace"}, 'timestep_spacing is "linspace", implemented is "leading" or "trailing"'),
        ({"beta_schedule": "squaredcos_cap_v2"}, "beta_schedule"),
        ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr is true"),
        ({"clip_sample": True}, "clip_sample is true, implemented is false"),
        ({"set_alpha_to_one": False}, "set_alpha_to_one"),
        ({"steps_offset": 1}, "steps_offset is 1, implemented is 0"),
        ({"trained_betas": [0.1]}, "trained_betas"),
        ({"_class_name": "EulerDiscreteScheduler"}, "_class_name"),
        ({"num_train_timesteps": "many"}, "num_train_timesteps"),
        ({"beta_end": 2}, "beta_end is 2"),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(MoebiusError, match=r"^s\.json: ") as caught:
        read(**changed)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_file_leaves_out_means_what_diffusers_takes_it_for() -> None:
    without = {name: value for name, value in STATED.items() if name != "clip_sample"}
    with pytest.raises(MoebiusError, match="clip_sample is true"):
        scheduler_config(without, Path("s.json"), print)


def test_unknown_keys_are_named() -> None:
    assert read(new_noise=1, other=[2])[1] == ["s.json: unknown and left aside: new_noise, other"]
    (line,) = read(**{f"key{i}": i for i in range(9)})[1]
    assert line.endswith("key0, key1, key2, key3, key4 and 4 more")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The bundled model's checkpoint, to change its settings."""
    return Path(shutil.copytree(NANO, tmp_path / "source"))


def change(path: Path, **changed: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def test_settings_arrive_in_the_folder_and_warnings_on_standard_error(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(source / UNET_SETTINGS, norm_num_groups=16, dropout=0.1)
    change(source / SCHEDULER_SETTINGS, timestep_spacing="leading")
    change(source / "vae/config.json", sampler="x")
    convert_checkpoint(source, source / "vae", tmp_path / "out")
    config = ModelConfig.load(tmp_path / "out")
    assert config.unet.norm_num_groups == 16
    assert config.scheduler == SchedulerConfig(prediction_type="v_prediction")
    assert config.vae.latent_channels == 8
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ", 1)[0] for line in lines] == ["warning"] * 2
    assert f"{UNET_SETTINGS}: unknown and left aside: dropout" in lines[0]
    assert "config.json: unknown and left aside: sampler" in lines[1]


def test_without_these_files_a_checkpoint_is_like_the_released_one(source: Path, tmp_path: Path) -> None:
    (source / UNET_SETTINGS).unlink()
    (source / SCHEDULER_SETTINGS).unlink()
    config = convert_checkpoint(source, source / "vae", tmp_path / "out")
    assert config.scheduler == SchedulerConfig()
    assert [file.name for file in config.sources][2:] == ["vae/config.json"]


@pytest.mark.parametrize(
    ("file", "changed", "message"),
    [
        (UNET_SETTINGS, {"in_channels": 9}, "in_channels is 9, but the weights have 17"),
        (UNET_SETTINGS, {"norm_num_groups": "all"}, "norm_num_groups is 'all'"),
        ("vae/config.json", {"latent_channels": 4}, "latent_channels is 4, but the weights have 8"),
        ("vae/config.json", {"act_fn": "relu"}, 'act_fn is "relu", implemented is "silu"'),
        ("vae/config.json", {"down_block_types": ["AttnDownEncoderBlock2D"]}, "down_block_types"),
        ("vae/config.json", {"use_quant_conv": False}, "use_quant_conv is false"),
        (SCHEDULER_SETTINGS, {"prediction_type": "sample"}, "prediction_type"),
    ],
)
def test_contradictions_leave_nothing_behind(
    source: Path, tmp_path: Path, file: str, changed: dict[str, Any], message: str
) -> None:
    change(source / file, **changed)
    with pytest.raises(MoebiusError) as caught:
        convert_checkpoint(source, source / "vae", tmp_path / "out")
    assert message in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
