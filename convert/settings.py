"""Reads and checks the configuration files beside weights. Settings that are unknown lead to a warning."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.config import PredictionType, SchedulerConfig, TimestepSpacing, UNetConfig, VAEConfig

UNET_SETTINGS = "unet_config.json"
SCHEDULER_SETTINGS = "scheduler/scheduler_config.json"

Settings = Mapping[str, Any]
Warn = Callable[[str], None]

# What diffusers' `DDIMScheduler` takes where its file says nothing, and the values of it that are implemented here.
SCHEDULER_DEFAULTS: Settings = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "clip_sample": True,
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
}
SCHEDULER_IMPLEMENTED: Mapping[str, Collection[Any]] = {
    "_class_name": ("DDIMScheduler",),
    "beta_schedule": ("scaled_linear",),
    "trained_betas": (None,),
    "clip_sample": (False,),
    "set_alpha_to_one": (True,),
    "steps_offset": (0,),
    "prediction_type": get_args(PredictionType),
    "thresholding": (False,),
    "timestep_spacing": get_args(TimestepSpacing),
    "rescale_betas_zero_snr": (False,),
}
SCHEDULER_READ = ("num_train_timesteps", "beta_start", "beta_end", "prediction_type", "timestep_spacing")
SCHEDULER_WITHOUT_EFFECT = ("clip_sample_range", "sample_max_value", "dynamic_thresholding_ratio")

VAE_IMPLEMENTED: Mapping[str, Collection[Any]] = {
    "_class_name": ("AutoencoderKL",),
    "act_fn": ("silu",),
    "mid_block_add_attention": (True,),
    "use_quant_conv": (True,),
    "use_post_quant_conv": (True,),
    "shift_factor": (None,),
    "latents_mean": (None,),
    "latents_std": (None,),
}
VAE_BLOCKS = {"down_block_types": "DownEncoderBlock2D", "up_block_types": "UpDecoderBlock2D"}
VAE_WITHOUT_EFFECT = ("sample_size", "force_upcast")
ABOUT_THE_FILE = ("_diffusers_version", "_name_or_path")


def read_settings(path: Path, what: str) -> dict[str, Any]:
    """The JSON object at `path`; `what` names it in the MoebiusError when there is none."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise MoebiusError(f"{what} {path} cannot be read; it belongs beside the weights") from None
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise MoebiusError(f"{what} {path} is not a JSON object")
    return settings


def scheduler_config(settings: Settings, path: Path, warn: Warn) -> SchedulerConfig:
    """The noise schedule of a `scheduler_config.json`.

    Warns of unknown settings. Raises MoebiusError, with the setting's name, for a value that is not implemented.
    """
    values = {**SCHEDULER_DEFAULTS, **settings}
    _refuse(values, SCHEDULER_IMPLEMENTED, path)
    known = {*SCHEDULER_READ, *SCHEDULER_IMPLEMENTED, *SCHEDULER_WITHOUT_EFFECT, *ABOUT_THE_FILE}
    warn_of_unknown(values, known, path, warn)
    steps = values["num_train_timesteps"]
    if type(steps) is not int or not 1 <= steps <= 100_000:
        raise MoebiusError(f"{path}: num_train_timesteps is {_shown(steps)}, no number of timesteps")
    for name in ("beta_start", "beta_end"):
        if type(values[name]) not in (int, float) or not 0 < values[name] < 1:
            raise MoebiusError(f"{path}: {name} is {_shown(values[name])}, not between 0 and 1")
    return SchedulerConfig(**{name: values[name] for name in SCHEDULER_READ})


def check_unet_settings(settings: Settings, config: UNetConfig, path: Path, warn: Warn) -> None:
    """A `unet_config.json` must describe the network that the weights' shapes describe."""
    _compare(settings, asdict(config), path)
    warn_of_unknown(settings, {*asdict(config), "_class_name", *ABOUT_THE_FILE}, path, warn)


def check_vae_settings(settings: Settings, config: VAEConfig, path: Path, warn: Warn) -> None:
    """The same for the VAE's `config.json`."""
    _refuse(settings, VAE_IMPLEMENTED, path)
    for name, kind in VAE_BLOCKS.items():
        if name in settings and settings[name] != [kind] * len(config.block_out_channels):
            raise MoebiusError(f"{path}: {name} is {_shown(settings[name])}, implemented is {kind} throughout")
    _compare(settings, asdict(config), path)
    known = {*asdict(config), *VAE_IMPLEMENTED, *VAE_BLOCKS, *VAE_WITHOUT_EFFECT, *ABOUT_THE_FILE}
    warn_of_unknown(settings, known, path, warn)


def warn_of_unknown(settings: Settings, known: Collection[str], path: Path, warn: Warn) -> None:
    """One line that names the keys which nothing here knows."""
    if unknown := sorted(name for name in settings if name not in known):
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        warn(f"{path}: unknown and left aside: {', '.join(name[:60] for name in unknown[:5])}{more}")


def to_standard_error(line: str) -> None:
    """Where warnings go unless a caller takes them."""
    print(f"warning: {line}", file=sys.stderr)


def _refuse(settings: Settings, implemented: Mapping[str, Collection[Any]], path: Path) -> None:
    for name, values in implemented.items():
        if name in settings and not any(settings[name] == value for value in values):
            wanted = " or ".join(json.dumps(value) for value in values)
            raise MoebiusError(f"{path}: {name} is {_shown(settings[name])}, implemented is {wanted}")


def _compare(settings: Settings, found: Settings, path: Path) -> None:
    for name, value in found.items():
        value = list(value) if isinstance(value, tuple) else value
        if name in settings and settings[name] != value:
            raise MoebiusError(f"{path}: {name} is {_shown(settings[name])}, but the weights have {_shown(value)}")


def _shown(value: Any) -> str:
    return json.dumps(value)[:80]
