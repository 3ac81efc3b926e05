"""The network in training form: the modules of `networks/` as they are, never fused, with weights that change.

Parameters travel as one flat dictionary by name, {"conv_in.conv_dw.weight": ...}, in MLX layouts.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_unflatten

from mlx_moebius.networks.layers import BatchNorm
from mlx_moebius.networks.unet import FLOAT32_PARTS, UNet

Arrays = dict[str, mx.array]
MOMENTUM = 0.1  # of the running statistics, PyTorch's default


def flat(tree: Any) -> Arrays:
    """Nested parameters as a flat dictionary."""
    leaves: Any = tree_flatten(tree)
    return dict(leaves)


def put(network: nn.Module, parameters: Arrays) -> None:
    """Give a network (some of) its parameters."""
    network.update(tree_unflatten(list(parameters.items())))


def set_live(unet: UNet, live: bool) -> None:
    """Whether BatchNorm normalises by the batch (live) or by its running statistics (frozen)."""
    for module in unet.modules():
        if isinstance(module, BatchNorm):
            module.live = live


def batch_statistics(unet: UNet) -> Arrays:
    """What the live BatchNorms saw in the call just traced, under the names of their running statistics."""
    seen: Arrays = {}
    for name, module in unet.named_modules():
        if isinstance(module, BatchNorm) and module.live:
            mean, variance = module._batch
            seen |= {f"{name}.running_mean": mean, f"{name}.running_var": variance}
    return seen


def updated_statistics(running: Arrays, seen: Arrays) -> Arrays:
    """Running statistics after a step that saw these of its batch."""
    return {name: (1 - MOMENTUM) * running[name] + MOMENTUM * mx.stop_gradient(new) for name, new in seen.items()}


def cast(parameters: Arrays, dtype: mx.Dtype) -> Arrays:
    """Weights as a step in `dtype` computes with them; what needs float32 keeps it, and so do the masters."""
    if dtype == mx.float32:
        return parameters
    return {
        name: v if FLOAT32_PARTS.match(name) or ".bn" in name else v.astype(dtype) for name, v in parameters.items()
    }


def trace(unet: UNet, x: mx.array, timesteps: mx.array, ids: mx.array) -> list[mx.array]:
    """Outputs of every down block, every up block, and last the prediction.

    Args:
        unet: not fused.
        x: float32 [B, h, w, C]: noisy latents, mask (1 = fill), masked picture's latents.
        timesteps: [B].
        ids: tokens [B, M].
    """
    return unet.trace(x, unet.time_shifts(timesteps), unet.condition(ids, per_sample=True))
