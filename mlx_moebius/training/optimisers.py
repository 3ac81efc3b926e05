"""AdamW, and Muon in Moonlight's form (arXiv 2502.16982), on flat parameters; clipping; moving averages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import mlx.core as mx
import mlx.optimizers as optim

from mlx_moebius.errors import MoebiusError
from mlx_moebius.training.network import Arrays

OptimiserName = Literal["adamw", "muon"]
MUON_DECAY = 0.1
ADAMW_DECAY = 0.01


class MoonlightMuon(optim.Muon):
    """MLX's Muon with a plain momentum buffer, decoupled decay, and Moonlight's scale of the update.

    The scale is 0.2 sqrt(max of the first two dimensions in PyTorch's layout), which `wide` knows by name.
    """

    def __init__(self, learning_rate: float, widths: Mapping[str, int]) -> None:
        super().__init__(learning_rate, momentum=0.95, weight_decay=MUON_DECAY, nesterov=True)
        self.widths = widths

    def init_single(self, parameter: mx.array, state: dict[str, Any]) -> None:
        """Start with no momentum."""
        state["v"] = mx.zeros_like(parameter)

    def apply_gradients(self, gradients: Any, parameters: Any) -> Any:
        """One step on flat dictionaries."""
        if not self._initialized:
            self.init(gradients)
        self.state["step"] = self.step + 1
        return {name: self._apply(name, gradients[name], parameters[name]) for name in gradients}

    def _apply(self, name: str, gradient: mx.array, parameter: mx.array) -> mx.array:
        state = self.state[name]
        state["v"] = self.momentum * state["v"] + gradient
        update = (gradient + self.momentum * state["v"]).reshape(gradient.shape[0], -1)
        update = self._zeropower_via_newtonschulz5(update, self.ns_steps).reshape(gradient.shape)
        lr = self.learning_rate
        return parameter * (1 - lr * self.weight_decay) - lr * (0.2 * math.sqrt(self.widths[name])) * update


def muon_width(name: str, shape: tuple[int, ...]) -> int:
    """The larger of the first two dimensions that this tensor has in PyTorch's layout."""
    if name.endswith("pos_conv.weight"):
        return shape[0]  # k 1 1 y x
    if name.endswith("rel_pos_emb"):
        return max(shape[:2])  # N M k 1
    return max(shape[0], shape[-1])  # O I, or O I h w


def takes_muon(name: str, array: mx.array) -> bool:
    """Whether Muon trains this tensor: a matrix or kernel that is neither embedding nor first or last layer."""
    return array.ndim >= 2 and not any(part in name for part in ("embedding_layer", "conv_in", "conv_out"))


def decays(name: str, array: mx.array) -> bool:
    """Whether AdamW shrinks this tensor by default: matrices and kernels, but no table that is looked up."""
    return array.ndim >= 2 and not name.endswith(("embedding_layer.weight", "rel_pos_emb"))


class Optimiser:
    """Groups of parameters, each with an optimiser of `mlx.optimizers`, on flat dictionaries."""

    def __init__(
        self, groups: list[tuple[optim.Optimizer, Callable[[str, mx.array], bool]]], parameters: Arrays
    ) -> None:
        """Every parameter belongs to the first group that takes it; the last one takes what is left."""
        names: list[list[str]] = [[] for _ in groups]
        for name, array in parameters.items():
            names[next(i for i, (_, takes) in enumerate(groups) if takes(name, array))].append(name)
        self.groups = [(optimiser, own) for (optimiser, _), own in zip(groups, names, strict=True) if own]
        for optimiser, own in self.groups:
            optimiser.init({name: parameters[name] for name in own})

    def apply(self, gradients: Arrays, parameters: Arrays, learning_rate: mx.array | float) -> Arrays:
        """The parameters after a step."""
        after: Arrays = {}
        for optimiser, own in self.groups:
            optimiser.learning_rate = learning_rate
            after |= optimiser.apply_gradients(
                {name: gradients[name] for name in own}, {name: parameters[name] for name in own}
            )
        return {name: after[name] for name in parameters}  # in one order always, for sums depend on it

    def state(self) -> Arrays:
        """All moments and step numbers: "0.step", "0.conv_in.conv_dw.weight.m"."""
        arrays: Arrays = {}
        for number, (optimiser, own) in enumerate(self.groups):
            arrays[f"{number}.step"] = optimiser.state["step"].astype(mx.int32)
            for name in own:
                arrays |= {f"{number}.{name}.{key}": value for key, value in optimiser.state[name].items()}
        return arrays

    def restore(self, arrays: Arrays) -> None:
        """Take back what `state` gave. Raises KeyError when something is missing."""
        for number, (optimiser, own) in enumerate(self.groups):
            optimiser.state["step"] = arrays[f"{number}.step"].astype(mx.uint64)
            for name in own:
                optimiser.state[name] = {key: arrays[f"{number}.{name}.{key}"] for key in optimiser.state[name]}


def make_optimiser(name: str, parameters: Arrays) -> Optimiser:
    """The optimiser called "adamw" or "muon" (with AdamW for what Muon does not take). Raises MoebiusError."""
    if name == "adamw":
        adam: dict[str, Any] = {"betas": [0.9, 0.999], "eps": 1e-8, "bias_correction": True}
        groups: Any = [
            (optim.AdamW(0.0, weight_decay=ADAMW_DECAY, **adam), decays),
            (optim.AdamW(0.0, weight_decay=0.0, **adam), lambda name, array: True),
        ]
    elif name == "muon":
        widths = {key: muon_width(key, array.shape) for key, array in parameters.items() if array.ndim >= 2}
        adam = {"betas": [0.9, 0.95], "eps": 1e-8, "bias_correction": True}
        groups = [
            (MoonlightMuon(0.0, widths), takes_muon),
            (optim.AdamW(0.0, weight_decay=MUON_DECAY, **adam), lambda name, array: True),
        ]
    else:
        raise MoebiusError(f"unknown optimizer {name!r}: choose adamw or muon")
    return Optimiser(groups, parameters)


def global_norm(gradients: Arrays) -> mx.array:
    """L2 norm of all gradients together."""
    return mx.sqrt(sum((g.astype(mx.float32).square().sum() for g in gradients.values()), mx.array(0.0)))


def clip(gradients: Arrays, limit: float) -> tuple[Arrays, mx.array]:
    """Gradients scaled down to a global norm of `limit` where they exceed it, and their norm before."""
    norm = global_norm(gradients)
    scale = mx.minimum(limit / (norm + 1e-6), 1.0)
    return {name: g * scale for name, g in gradients.items()}, norm


def moving_average(average: Arrays, new: Arrays, step: mx.array, limit: float) -> Arrays:
    """Exponential moving average with decay min(limit, (1 + n) / (10 + n)) after step n (1, 2, ...)."""
    decay = mx.minimum(limit, (1 + step) / (10 + step))
    return {name: decay * old + (1 - decay) * new[name] for name, old in average.items()}


def learning_rate(step: int, total: int, peak: float, warmup: int, floor: float = 0.1) -> float:
    """Of step 0, 1, ...: a linear warm-up, then half a cosine from `peak` down to its share `floor`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = min((step - warmup) / max(total - warmup, 1), 1.0)
    return peak * (floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2)
