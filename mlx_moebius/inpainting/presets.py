"""Speed and accuracy in one word, for people who do not want to think about solvers and steps.

Measured by `mlx-moebius benchmark --approximations` with 20 steps of the bundled model (docs/benchmarks):
arithmetic relative to the model's default settings, and how far the latents end from those of 200 steps of the official
solver. That is nearness to what the network means, not how good it looks; a released model's has not been measured.

    fast      half the steps with dpm++, low resolutions every second step   0.34 of the arithmetic    8 % away
    standard  the model's default settings                                   1                         3 %
    best      as many steps with dpm++                                       1.05                      2 %
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.config import SamplingConfig

Preset = Literal["fast", "standard", "best"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
FEW_STEPS = 3  # a model that takes no more was made for it: there is nothing to save, and more steps are no better


def preset_settings(preset: str, sampling: SamplingConfig) -> dict[str, Any]:
    """Fields of `Settings` that a preset sets for a model; none where the model's defaults are meant.

    Raises MoebiusError for another word.
    """
    if preset not in PRESETS:
        raise MoebiusError(f'the preset "{preset}" is not one of {", ".join(PRESETS)}')
    if preset == "standard" or presets_are_alike(sampling):
        return {}
    if preset == "fast":
        return {"num_steps": -(-sampling.num_steps // 2), "solver": "dpm++", "reuse_features": 2}
    return {"num_steps": sampling.num_steps, "solver": "dpm++"}


def presets_are_alike(sampling: SamplingConfig) -> bool:
    """Whether all presets are the same for a model, since it takes a step or a few anyway."""
    return sampling.num_steps <= FEW_STEPS
