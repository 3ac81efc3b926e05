"""The layers that the U-Net and the VAE share, in NHWC.

Modules declare their parameters under the released names, in MLX layouts (convolutions OHWI, 1x1 convolutions and
linears as matrices [out, in]). `fuse` then brings them into inference form, once and in the dtype they were loaded in
(float32): a BatchNorm is folded into the weights before it. Training calls the same modules without fusing them:
`conv_bn` then folds a BatchNorm in every call, or normalises by the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import mlx.core as mx
import mlx.nn as nn

from mlx_moebius.networks.kernels import (
    conv3x3,
    depthwise_conv,
    gated_depthwise_conv,
    group_statistics,
    layer_norm,
    matmul,
    relu,
    silu,
)

M = TypeVar("M", bound=nn.Module)

BATCH_NORM_EPS = 1e-5


class Weights(nn.Module):
    """Arrays under the names a checkpoint gives them, `Weights(weight=(4, 8), bias=(4,))`; computes nothing."""

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            self[name] = mx.zeros(shape)


class BatchNorm(Weights):
    """Batch normalisation with running statistics, an affine map that `fuse` folds away. No optimiser trains them.

    When `live`, it normalises by the statistics of the batch instead, and keeps them as `_batch` (mean, unbiased
    variance). The running statistics are updated from `_batch` outside the differentiated function, which may run
    twice.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(**dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (channels,)))
        self.freeze(keys=["running_mean", "running_var"])
        self.live = False

    def __call__(self, x: mx.array) -> mx.array:
        """[..., C] normalised by the statistics of x itself."""
        axes = tuple(range(x.ndim - 1))
        wide = x.astype(mx.float32)
        mean = wide.mean(axes)
        variance = (wide - mean).square().mean(axes)
        count = x.size // x.shape[-1]
        self._batch = [mean, variance * (count / max(count - 1, 1))]
        return ((wide - mean) * (mx.rsqrt(variance + BATCH_NORM_EPS) * self.weight) + self.bias).astype(x.dtype)

    def scale_shift(self) -> tuple[mx.array, mx.array]:
        """The map x * scale + shift, both [channels]."""
        scale = self.weight * mx.rsqrt(self.running_var + BATCH_NORM_EPS)
        return scale, self.bias - self.running_mean * scale


def fold(layer: Weights, norm: BatchNorm) -> tuple[mx.array, mx.array]:
    """Fold a BatchNorm into the layer before it (weight [out, ...], bias optional). Returns one weight and one bias."""
    scale, shift = norm.scale_shift()
    weight = layer.weight * scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
    return weight, shift + scale * layer.bias if "bias" in layer else shift


def linear(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
    """x [..., in], weight [out, in], bias [out] -> [..., out]."""
    return matmul(x, weight.T, bias)


def conv_bn(
    x: mx.array, layer: Weights, norm: BatchNorm, product: Callable[[mx.array, mx.array, mx.array], mx.array]
) -> mx.array:
    """In training: a layer without bias, computed by `product(x, weight, bias)`, and the BatchNorm after it."""
    if norm.live:
        return norm(product(x, layer.weight, mx.zeros(layer.weight.shape[:1], x.dtype)))
    weight, bias = fold(layer, norm)
    return product(x, weight.astype(x.dtype), bias.astype(x.dtype))


def fold_norm_affine(norm: Weights, layer: Weights) -> None:
    """Fold a normalisation's weight and bias into a matrix that reads its output. `norm` itself is not changed."""
    bias = layer.weight @ norm.bias
    layer.bias = layer.bias + bias if "bias" in layer else bias
    layer.weight = layer.weight * norm.weight


def fuse(model: M) -> M:
    """Bring every module of a freshly loaded model into inference form; call it once."""
    for module in model.modules():
        if hasattr(module, "fuse"):
            module.fuse()
    return model


class Linear(Weights):
    """x @ weight.T + bias on the last axis; also every 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        shapes: dict[str, tuple[int, ...]] = {"weight": (out_channels, in_channels)}
        super().__init__(**shapes, **({"bias": (out_channels,)} if bias else {}))

    def __call__(self, x: mx.array, residual: mx.array | None = None) -> mx.array:
        """[..., in] -> [..., out], plus `residual` of the output's shape."""
        bias = self.get("bias")
        if residual is None:
            return matmul(x, self.weight.T, bias)
        y = matmul(x, self.weight.T, residual)
        return y if bias is None else y + bias


class Conv3x3(Weights):
    """3x3 convolution, padding 1, with bias; `exact` as in `kernels.conv3x3`."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(weight=(out_channels, 3, 3, in_channels), bias=(out_channels,))
        self.stride, self.exact = stride, False

    def __call__(self, x: mx.array) -> mx.array:
        """[B, H, W, in] -> [B, H / stride, W / stride, out]."""
        return conv3x3(x, self.weight, self.stride, ([1, 1], [1, 1]), self.exact) + self.bias


class Upsample(nn.Module):
    """Nearest-neighbour x2, then a 3x3 convolution, computed at the low resolution.

    An output pixel sees only 2x2 distinct inputs, so the 3x3 kernel collapses to four 2x2 kernels, one per output
    phase: 16 multiplications where the plain form needs 36, exact but for rounding.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Weights(weight=(channels, 3, 3, channels), bias=(channels,))

    def fuse(self) -> None:
        """Sum the taps that meet the same input: phase 0 reads rows (-1, 0), phase 1 rows (0, +1)."""
        w = self.conv.weight  # (O, 3, 3, I)
        rows = [mx.stack([w[:, 0], w[:, 1] + w[:, 2]], 1), mx.stack([w[:, 0] + w[:, 1], w[:, 2]], 1)]
        phases = [
            mx.stack([taps, far], 2)
            for r in rows
            for taps, far in ((r[:, :, 0], r[:, :, 1] + r[:, :, 2]), (r[:, :, 0] + r[:, :, 1], r[:, :, 2]))
        ]
        self.weight = mx.concatenate(phases)  # (4 O, 2, 2, I), phases in the order (0,0) (0,1) (1,0) (1,1)
        self.bias = self.conv.bias
        del self.conv

    def __call__(self, x: mx.array) -> mx.array:
        """[B, H, W, C] -> [B, 2H, 2W, C]."""
        B, H, W, C = x.shape
        if "conv" in self:  # in training, whose weights change with every step
            wide = mx.broadcast_to(x[:, :, None, :, None], (B, H, 2, W, 2, C)).reshape(B, 2 * H, 2 * W, C)
            return mx.conv2d(wide, self.conv.weight, padding=1) + self.conv.bias
        y = mx.conv2d(x, self.weight, padding=1)  # (B, H+1, W+1, 4C)
        # out[b, 2h+p, 2w+q] = y[b, h+p, w+q, phase (p, q)], read through strides in one copy
        row, column, phase = (W + 1) * 4 * C, 4 * C, C
        strides = [(H + 1) * row, row, row + 2 * phase, column, column + phase, 1]
        return mx.as_strided(y, [B, H, 2, W, 2, C], strides).reshape(B, 2 * H, 2 * W, C) + self.bias


class GroupNorm(Weights):
    """Group normalisation with float32 statistics, and the SiLU that mostly follows it.

    It has no weight and bias once they are folded into the next layer.
    """

    def __init__(self, groups: int, channels: int, eps: float, silu: bool = True) -> None:
        super().__init__(weight=(channels,), bias=(channels,))
        self.groups, self.eps, self.silu = groups, eps, silu

    def __call__(self, x: mx.array) -> mx.array:
        """[B, H, W, C] -> the same shape and dtype."""
        return self.normalise(x, *self.scale_shift(x))

    def scale_shift(self, x: mx.array) -> tuple[mx.array, mx.array]:
        """The map x * scale + shift that normalises x, both float32 [B, 1, 1, C]."""
        B, C = x.shape[0], x.shape[-1]
        mean, variance = group_statistics(x, self.groups)  # (B, groups, 1)
        scale = mx.broadcast_to(mx.rsqrt(variance + self.eps), (B, self.groups, C // self.groups))
        if "weight" in self:
            scale = scale * self.weight.reshape(self.groups, -1)
        shift = -mean * scale
        if "bias" in self:
            shift = shift + self.bias.reshape(self.groups, -1)
        return scale.reshape(B, 1, 1, C), shift.reshape(B, 1, 1, C)

    def normalise(self, x: mx.array, scale: mx.array, shift: mx.array) -> mx.array:
        """Apply a scale and a shift, and SiLU where the layer has one, to x or to a part of it."""
        y = x * scale + shift
        return (silu(y) if self.silu else y).astype(x.dtype)


class LayerNorm(Weights):
    """Layer normalisation over the last axis, eps 1e-5; weight and bias are gone once folded into the next layer."""

    def __init__(self, channels: int) -> None:
        super().__init__(weight=(channels,), bias=(channels,))

    def __call__(self, x: mx.array) -> mx.array:
        """[..., C] -> the same shape."""
        return layer_norm(x, self.get("weight"), self.get("bias"), 1e-5)


class DepthwiseSeparableConv(nn.Module):
    """3x3 depthwise, BatchNorm, ReLU, 1x1, BatchNorm; plus the input when the widths agree."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_dw = Weights(weight=(in_channels, 3, 3, 1))
        self.bn1 = BatchNorm(in_channels)
        self.conv_pw = Weights(weight=(out_channels, in_channels))
        self.bn2 = BatchNorm(out_channels)
        self.skip = in_channels == out_channels

    def fuse(self) -> None:
        """Fold both BatchNorms."""
        self.depth_weight, self.depth_bias = fold(self.conv_dw, self.bn1)
        self.point_weight, self.point_bias = fold(self.conv_pw, self.bn2)
        del self.conv_dw, self.bn1, self.conv_pw, self.bn2

    def __call__(self, x: mx.array, shift: mx.array | None = None) -> mx.array:
        """[B, H, W, in] -> [B, H, W, out]; `shift` [B or 1, 1, 1, out] is added to the result."""
        if "conv_dw" in self:
            h = relu(conv_bn(x, self.conv_dw, self.bn1, depthwise_conv))
            h = conv_bn(h, self.conv_pw, self.bn2, linear)
            h = h if shift is None else h + shift
            return x + h if self.skip else h
        h = relu(depthwise_conv(x, self.depth_weight, self.depth_bias))
        bias = self.point_bias if shift is None else self.point_bias + shift
        if self.skip:
            return matmul(h, self.point_weight.T, x) + bias
        return matmul(h, self.point_weight.T, bias)


class Resnet(nn.Module):
    """GroupNorm, SiLU, ds-conv, time shift, GroupNorm, SiLU, ds-conv; 1x1 shortcut when the widths differ."""

    def __init__(self, in_channels: int, out_channels: int, time_channels: int, groups: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, in_channels, eps)
        self.conv1 = DepthwiseSeparableConv(in_channels, out_channels)
        self.time_emb_proj = Linear(time_channels, out_channels)
        self.norm2 = GroupNorm(groups, out_channels, eps)
        self.conv2 = DepthwiseSeparableConv(out_channels, out_channels)
        if in_channels != out_channels:
            self.conv_shortcut = Linear(in_channels, out_channels)

    def time_shift(self, temb: mx.array) -> mx.array:
        """Time embedding [T, time_channels] -> what this block adds to its hidden channels, [T, out]."""
        return self.time_emb_proj(nn.silu(temb))

    def __call__(self, x: mx.array, shift: mx.array) -> mx.array:
        """x [B, H, W, in], shift [B or 1, out] -> [B, H, W, out]."""
        h = self.conv1(self.norm1(x), shift[:, None, None].astype(x.dtype))
        h = self.conv2(self.norm2(h))
        return self.conv_shortcut(x, h) if "conv_shortcut" in self else x + h


class FeedForward(nn.Module):
    """GLU-MBConv: 1x1 C -> 2 hidden, SiLU, 3x3 depthwise, a * SiLU(gate), 1x1 hidden -> C."""

    def __init__(self, channels: int, ratio: float) -> None:
        super().__init__()
        hidden = int(ratio * channels)
        self.inverted_conv = nn.Module()
        self.inverted_conv.conv = Linear(channels, 2 * hidden)
        self.depth_conv = nn.Module()
        self.depth_conv.conv = Weights(weight=(2 * hidden, 3, 3, 1), bias=(2 * hidden,))
        self.point_conv = nn.Module()
        self.point_conv.conv = Linear(hidden, channels, bias=False)

    def __call__(self, x: mx.array, residual: mx.array) -> mx.array:
        """[B, H, W, C] -> [B, H, W, C] plus `residual`."""
        h = silu(self.inverted_conv.conv(x))
        h = gated_depthwise_conv(h, self.depth_conv.conv.weight, self.depth_conv.conv.bias)
        return self.point_conv.conv(h, residual)
