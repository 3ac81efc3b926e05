"""Being taught by a larger network: its prediction and its features at the end of the way down, adaptively weighed.

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


class Balance(NamedTuple):
    """Weights of the terms: total = feat + task_weight * (task + out_weight * out)."""

    out_weight: mx.array
    task_weight: mx.array


def encoder_layer(unet: UNet) -> str:
    """The last layer of the way down, where features meet the rest."""
    return f"down_blocks.{len(unet.down_blocks) - 1}.attentions.{unet.config.layers_per_block - 1}.proj_out.weight"


def features(outputs: list[mx.array]) -> mx.array:
    """The last down block's output, of all that `network.trace` returns."""
    return outputs[(len(outputs) - 1) // 2 - 1]


def distillation_terms(
    student: list[mx.array], teacher: list[mx.array], wanted: mx.array, projection: mx.array | None = None
) -> Terms:
    """Losses of traced outputs; `projection` [teacher's width, student's width] where the widths differ."""
    own = features(student)
    if projection is not None:
        own = own @ projection.T
    return Terms(
        mean_squared_error(student[-1], wanted),
        mean_squared_error(student[-1], mx.stop_gradient(teacher[-1])),
        mean_squared_error(own, mx.stop_gradient(features(teacher))),
    )


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
        parameters: of the student.
        terms: computes the losses with the parameters that the student has when it is called.
        limits: between which weights are clamped; None for not at all.
    """

    def norm(layer: str, loss: Callable[[Terms], mx.array]) -> mx.array:
        def of(weight: mx.array) -> mx.array:
            put(unet, {**parameters, layer: weight})
            return loss(terms())

        gradient = mx.grad(of)(parameters[layer])
        return mx.sqrt(gradient.square().sum())

    def clamp(weight: mx.array) -> mx.array:
        return weight if limits is None else mx.clip(weight, *limits)

    last, encoder = LAST_LAYER, encoder_layer(unet)
    w_out = clamp(norm(last, lambda t: t.task) / (norm(last, lambda t: t.out) + 1e-6))
    w_out = mx.stop_gradient(w_out)
    w_task = clamp(norm(encoder, lambda t: t.feat) / (norm(encoder, lambda t: t.task + w_out * t.out) + 1e-6))
    put(unet, parameters)
    return Balance(w_out, w_task)
