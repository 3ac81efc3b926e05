"""What a run takes of memory, and how it is arranged to fit a limit: in smaller batches, or with layers computed twice.

Neither changes what is learnt. The factors are measured with `mx.get_peak_memory` on the CPU and rounded up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import mlx.core as mx

from mlx_moebius.errors import LESS, MORE, Change, MoebiusError
from mlx_moebius.memory import check_address_space
from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.networks.footprint import DENOISE, STRIP, WHOLE, float32_bytes
from mlx_moebius.networks.vae import STRIP_ELEMENTS
from mlx_moebius.training.step import Recipe

# Copies of the first block's activations.
KEPT = 2100  # measured: 1580 (released shapes), 2080 (nano); less on a GPU, where steps are compiled: 870 (nano)
TWICE = 370  # computed twice; measured: 340 (released shapes), 360 (nano)
SIXTEEN = 1.2  # times as much in bfloat16, whose copies stand beside float32
MOMENTS = {"adamw": 2, "muon": 1}  # copies of the weights


@dataclass(frozen=True, slots=True)
class Fit:
    """How the crops of an update are taken, and the bytes that MLX holds at the peak."""

    batch_size: int
    grad_accumulation: int
    checkpoint: bool
    bytes: int


def needed(config: ModelConfig, recipe: Recipe, batch_size: int, teacher: ModelConfig | None = None) -> int:
    """Bytes that MLX holds at the peak of an update, photos and Python not included."""
    weights = float32_bytes(config.unet)
    copies = 1 + MOMENTS.get(recipe.optimizer, 2) + bool(recipe.ema) + (recipe.blend < 1)
    held = copies * weights + float32_bytes(config.vae)
    first = 4 * config.unet.sample_size**2 * config.unet.block_out_channels[0] * batch_size
    kept = TWICE if recipe.checkpoint else KEPT
    gradients = weights if recipe.checkpoint or recipe.grad_accumulation == 1 else 2 * weights
    learning = gradients + first * kept * (1 if recipe.dtype == "float32" else SIXTEEN)
    largest = 4 * config.image_size**2 * config.vae.block_out_channels[0]
    encoding = 2 * batch_size * WHOLE * largest + STRIP * min(largest, 4 * STRIP_ELEMENTS["cpu"])
    teaching = 0
    if teacher is not None:
        held += float32_bytes(teacher.unet)
        teaching = weights + DENOISE * 4 * teacher.unet.sample_size**2 * teacher.unet.block_out_channels[0] * batch_size
    return int(held + max(learning, encoding, teaching))


def fit(config: ModelConfig, recipe: Recipe, batch_size: int, limit: int, teacher: ModelConfig | None = None) -> Fit:
    """The fastest arrangement within `limit` bytes: as asked for if that fits.

    Batches are split while BatchNorm is frozen: live, it would see fewer crops. Raises MoebiusError when nothing fits.
    """
    check_address_space()
    parts = [1] if recipe.live else [n for n in range(1, batch_size + 1) if batch_size % n == 0]
    least = 0
    for checkpoint in [True] if recipe.checkpoint else [False, True]:
        for n in parts:
            tried = replace(recipe, checkpoint=checkpoint, grad_accumulation=recipe.grad_accumulation * n)
            least = needed(config, tried, batch_size // n, teacher)
            if least <= limit:
                return Fit(batch_size // n, tried.grad_accumulation, checkpoint, least)
    less = [Change("memory_limit", MORE, f"({size(least)} are needed at least)")]
    less += [Change("batch_size", LESS)] if recipe.live and batch_size > 1 else []
    less += [Change("ema", 0)] if recipe.ema else []
    less += [Change("blend", 1)] if recipe.blend < 1 else []
    less += [Change("optimizer", "muon")] if recipe.optimizer == "adamw" else []
    raise MoebiusError(f"this does not fit into {size(limit)}", *less)


def size(number: int) -> str:
    """Bytes in words."""
    return f"{number / 2**20:.0f} MB" if number < 2**30 else f"{number / 2**30:.1f} GB"


def hold(limit: int) -> None:
    """Let MLX give back what it keeps for later, once it holds `limit` bytes."""
    mx.set_memory_limit(limit)
