"""Distillation from a larger network: its prediction and the encoder's last features, weighed adaptively.

The paper (arXiv 2606.19195, section 3) balances the terms by the size of their gradients at two layers. Its formula
has squared norms; plain norms, as in the official trainer, equalise what the formula names and are used here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import mlx.core as mx

from mlx_moebius.networks.unet import UNet
from mlx_moebius.training.network import Arrays, put
from mlx_moebius.training.objective import mean_squared_error

LAST_LAYER = "conv_out.conv_pw.weight"


class Terms(NamedTuple):
    """The three losses: against the true noise, the teacher's prediction, and its features."""

    task: mx.array
    out: mx.array
    feat: mx.array


class TeacherOutput(NamedTuple):
    """What a teacher says of a batch: its prediction [B, h, w, C], and its features [B, h', w', width]."""

    predicted: mx.array
    features: mx.array


class Balance(NamedTuple):
    """Weights of the terms: total = feat + task_weight * (task + out_weight * out)."""

    out_weight: mx.array
    task_weight: mx.array


def encoder_layer(unet: UNet) -> str:
    """The last layer of the encoder."""
    return f"down_blocks.{len(unet.down_blocks) - 1}.attentions.{unet.config.layers_per_block - 1}.proj_out.weight"


def features(outputs: list[mx.array]) -> mx.array:
    """The last down block's output, of all that `network.trace` returns."""
    return outputs[(len(outputs) - 1) // 2 - 1]


def distillation_terms(
    student: list[mx.array], taught: TeacherOutput, wanted: mx.array, projection: mx.array | None = None
) -> Terms:
    """Losses of a student's traced outputs; `projection` [teacher's width, student's width] where the widths differ.

    Where the features lie on grids of different size, the finer one is averaged down to the other.
    """
    ours, theirs = features(student), mx.stop_gradient(taught.features)
    side = min(ours.shape[1], theirs.shape[1])
    ours, theirs = _reduced(ours, side), _reduced(theirs, side)
    if projection is not None:
        ours = ours @ projection.T
    return Terms(
        mean_squared_error(student[-1], wanted),
        mean_squared_error(student[-1], mx.stop_gradient(taught.predicted)),
        mean_squared_error(ours, theirs),
    )


def _reduced(x: mx.array, side: int) -> mx.array:
    """[B, n * side, n * side, C] -> the means of its n x n squares, [B, side, side, C]."""
    batch, height, _, channels = x.shape
    n = height // side
    return x if n == 1 else x.reshape(batch, side, n, side, n, channels).mean((2, 4))


def total(terms: Terms, balance: Balance) -> mx.array:
    """The loss that is trained on, weights held constant."""
    w_out, w_task = map(mx.stop_gradient, balance)
    return terms.feat + w_task * (terms.task + w_out * terms.out)


def balance(
    unet: UNet, parameters: Arrays, terms: Callable[[], Terms], limits: tuple[float, float] | None = (0.05, 20.0)
) -> Balance:
    """Weights by the norms of gradients at the network's last layer and at the encoder's last layer.

    Args:
        unet: the student, not fused; its parameters are left as `parameters`.
        parameters: of the student, as it computes with them.
        terms: computes the losses with the parameters that the student has when it is called.
        limits: between which weights are clamped; None for not at all.
    """

    def norm(layer: str, loss: Callable[[Terms], mx.array]) -> mx.array:
        def of(weight: mx.array) -> mx.array:
            put(unet, {**parameters, layer: weight})
            return loss(terms())

        found = mx.sqrt(mx.grad(of)(parameters[layer]).astype(mx.float32).square().sum())
        mx.eval(found)  # one after the other: together they would keep everything in memory
        return found

    def clamp(weight: mx.array) -> mx.array:
        return weight if limits is None else mx.clip(weight, *limits)

    last, encoder = LAST_LAYER, encoder_layer(unet)
    w_out = clamp(norm(last, lambda t: t.task) / (norm(last, lambda t: t.out) + 1e-6))
    w_out = mx.stop_gradient(w_out)
    w_task = clamp(norm(encoder, lambda t: t.feat) / (norm(encoder, lambda t: t.task + w_out * t.out) + 1e-6))
    put(unet, parameters)
    return Balance(w_out, w_task)
