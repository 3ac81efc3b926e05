"""AdamW, and Muon in Moonlight's form (arXiv 2502.16982), on flat parameters; clipping; moving averages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim

from mlx_moebius.errors import MoebiusError
from mlx_moebius.training.network import Arrays

Takes = Callable[[str, mx.array], bool]
"""Whether an optimiser trains a parameter, by its name and value."""
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
    """Groups of parameters with their optimisers from `mlx.optimizers`, as a pure function on flat dictionaries."""

    def __init__(
        self, groups: list[tuple[optim.Optimizer, Callable[[str, mx.array], bool]]], parameters: Arrays
    ) -> None:
        """Every parameter belongs to the first group that takes it; the last one takes what is left."""
        names: list[list[str]] = [[] for _ in groups]
        for name, array in parameters.items():
            names[next(i for i, (_, takes) in enumerate(groups) if takes(name, array))].append(name)
        self.groups = [(optimiser, set(group)) for (optimiser, _), group in zip(groups, names, strict=True) if group]
        self.kinds: dict[str, list[str]] = {}

    def start(self, parameters: Arrays) -> Arrays:
        """The moments before the first step: {"conv_in.conv_dw.weight.m": ...}."""
        moments: Arrays = {}
        for optimiser, group in self.groups:
            for name in group:
                state: dict[str, mx.array] = {}
                optimiser.init_single(parameters[name], state)
                self.kinds[name] = list(state)
                moments |= {f"{name}.{kind}": value for kind, value in state.items()}
        return {key: moments[key] for key in sorted(moments)}

    def of(self, names: Iterable[str]) -> list[str]:
        """The moments of some parameters, by name."""
        return [f"{name}.{kind}" for name in names for kind in self.kinds[name]]

    def apply(
        self, gradients: Arrays, parameters: Arrays, moments: Arrays, learning_rate: mx.array, step: mx.array
    ) -> tuple[Arrays, Arrays]:
        """Parameters and moments after step number `step` (1, 2, ...), of all parameters or of some."""
        after, moved = Arrays(), Arrays()
        for optimiser, group in self.groups:
            names = [name for name in gradients if name in group]
            if not names:
                continue
            states = {name: {kind: moments[f"{name}.{kind}"] for kind in self.kinds[name]} for name in names}
            optimiser.state = {"step": (step - 1).astype(mx.uint64), "learning_rate": learning_rate, **states}
            after |= optimiser.apply_gradients(
                {name: gradients[name] for name in names}, {name: parameters[name] for name in names}
            )
            for name in names:
                moved |= {f"{name}.{kind}": value for kind, value in optimiser.state[name].items()}
        return {name: after[name] for name in gradients}, moved  # in one order always, for sums depend on it


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


def clip(gradients: Arrays, norm: mx.array, limit: float) -> Arrays:
    """Gradients, of global norm `norm`, scaled down where that exceeds `limit`."""
    scale = mx.minimum(limit / (norm + 1e-6), 1.0)
    return {name: g * scale for name, g in gradients.items()}


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
