"""The operations whose best form depends on MLX's back end, and nothing else.

On a GPU, MLX's operations are mostly used as they are. On the CPU, `mx.compile` has a C++ compiler turn chains of
element-wise operations into loops. Such a loop runs at the speed of memory when all its operands are contiguous and of
one shape. With other operands it is scalar code, which also spills its registers when too much is fused. A call of
`mx.contiguous`, which is free for contiguous arrays, ends a loop: it stands below wherever two short loops are faster
than a long one.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from mlx_moebius.errors import MoebiusError


def on_cpu() -> bool:
    """Whether MLX computes on its CPU back end."""
    return mx.default_device().type == mx.DeviceType.cpu


def widened(*arrays: mx.array) -> tuple[mx.array, ...]:
    """The arrays as products should read them: 16-bit ones in float32 on the CPU.

    MLX's CPU back end has no BLAS for 16 bits; its own product takes 30 times as long as float32's (2 cores, OpenBLAS).
    """
    return tuple(a.astype(mx.float32) for a in arrays) if on_cpu() else arrays


def matmul(a: mx.array, b: mx.array, added: mx.array | None = None) -> mx.array:
    """a @ b, plus `added` if given, all of one dtype."""
    if added is None:
        wide, other = widened(a, b)
        return (wide @ other).astype(a.dtype)
    wide, other, start = widened(a, b, added)
    return mx.addmm(start, wide, other).astype(a.dtype)


def relu(x: mx.array) -> mx.array:
    """max(x, 0)."""
    # Fused loops branch on every maximum, 9 ns an element; this is exact and does not.
    return 0.5 * (x + mx.abs(x)) if on_cpu() else nn.relu(x)


def silu(x: mx.array) -> mx.array:
    """x * sigmoid(x)."""
    return _silu(x) if on_cpu() else nn.silu(x)


# The usual rational minimax approximation of tanh, degree 13 over 6, lowest degree first; scaled, it gives
# tanh(x / 2) / 2 = x P(x^2) / Q(x^2), which at LIMIT is 1/2 in float32.
TANH = (
    4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08,
    -8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16,
)  # fmt: skip
TANH_DENOMINATOR = (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
P = [c / 4 ** (i + 1) for i, c in enumerate(TANH)]
Q = [c / 4**i for i, c in enumerate(TANH_DENOMINATOR)]
LIMIT = 16.00655


def _sigmoid(x: mx.array) -> mx.array:
    """1 / (1 + exp(-x)) of a contiguous x, relative error 2e-7; `mx.sigmoid` takes 12 ns an element there."""
    # Even and odd halves of the polynomials side by side keep the expression short enough for one loop.
    z = mx.contiguous(mx.clip(x, -LIMIT, LIMIT))
    z2 = z * z
    z4 = z2 * z2
    p = (P[0] + P[1] * z2) + (P[2] + P[3] * z2) * z4 + ((P[4] + P[5] * z2) + P[6] * z4) * (z4 * z4)
    q = (Q[0] + Q[1] * z2) + (Q[2] + Q[3] * z2) * z4
    return z * p / q + 0.5


@mx.compile
def _silu(x: mx.array) -> mx.array:
    """SiLU in float32."""
    wide = mx.contiguous(x.astype(mx.float32))
    return (wide * _sigmoid(wide)).astype(x.dtype)


@mx.compile
def _gated(a: mx.array, gate: mx.array) -> mx.array:
    """a * SiLU(gate) in float32."""
    wide = mx.contiguous(gate.astype(mx.float32))
    return ((mx.contiguous(a) * wide) * _sigmoid(wide)).astype(a.dtype)


def layer_norm(x: mx.array, weight: mx.array | None, bias: mx.array | None, eps: float) -> mx.array:
    """Layer normalisation of x over its last axis; weight and bias may be left out."""
    if not on_cpu():
        return mx.fast.layer_norm(x, weight, bias, eps)
    dtype, x = x.dtype, x.astype(mx.float32)
    # Sums as products with ones: several times faster than reductions, and more exact.
    average = mx.full((x.shape[-1], 1), 1 / x.shape[-1])
    centred = mx.contiguous(x - mx.contiguous(x @ average))
    scale = mx.contiguous(mx.rsqrt(mx.contiguous(centred.square()) @ average + eps))
    y = centred * scale
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias).astype(dtype)


def group_statistics(x: mx.array, groups: int) -> tuple[mx.array, mx.array]:
    """Mean and variance of the channel groups of x [B, H, W, C], both float32 [B, groups, 1]."""
    B, H, W, C = x.shape
    x = x.astype(mx.float32)
    if on_cpu():
        # Sums over rows of channels are vectorised there; sums over groups inside a row take 40 times as long.
        mean = x.mean(2).mean(1).reshape(B, groups, -1).mean(2, keepdims=True)
        centre = mx.broadcast_to(mean, (B, groups, C // groups)).reshape(B, 1, 1, C)
        return mean, (x - centre).square().mean(2).mean(1).reshape(B, groups, -1).mean(2, keepdims=True)
    grouped = x.reshape(B, H * W, groups, C // groups)
    mean = grouped.mean((1, 3), keepdims=True)
    return mean[:, 0], (grouped - mean).square().mean((1, 3))[..., None]


def depthwise_conv(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
    """Depthwise 3x3 convolution with padding 1: x [B, H, W, C], weight [C, 3, 3, 1], bias [C]."""
    if on_cpu():
        return _shifted_sum(_padded(x), weight, bias)
    return mx.conv2d(x, weight, padding=1, groups=x.shape[-1]) + bias


def gated_depthwise_conv(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
    """a * SiLU(gate), where (a, gate) are the channel halves of `depthwise_conv`; [B, H, W, C] -> [B, H, W, C / 2]."""
    if not on_cpu():
        a, gate = mx.split(depthwise_conv(x, weight, bias), 2, axis=-1)
        return a * silu(gate)
    # One half after the other, so that the operands of the gate are contiguous.
    padded, half = _padded(x), x.shape[-1] // 2
    a, gate = (_shifted_sum(padded[..., part], weight[part], bias[part]) for part in (slice(half), slice(half, None)))
    return _gated(a, gate)


def _padded(x: mx.array) -> mx.array:
    """x [B, H, W, C] with a border of one zero."""
    return mx.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])


@mx.compile
def _shifted_sum(padded: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
    """A depthwise 3x3 convolution on an input padded by one pixel, summed in float32.

    MLX's convolution is a naive loop for grouped channels, five times slower.
    """
    H, W = padded.shape[1] - 2, padded.shape[2] - 2
    taps = mx.contiguous(weight.astype(mx.float32).transpose(1, 2, 3, 0))  # (3, 3, 1, C)
    y = bias.astype(mx.float32)
    for i in range(3):
        y = y if i == 0 else mx.contiguous(y)
        for j in range(3):
            y = y + padded[:, i : i + H, j : j + W] * taps[i, j]
    return y.astype(padded.dtype)


Padding = tuple[list[int], list[int]]
"""Rows and columns added before, and after."""
_chosen_conv: str | None = None


def choose_conv(name: str | None) -> None:
    """Use this form (a key of CONVS) for every 3x3 convolution from now on; None returns to the default.

    Raises MoebiusError for an unknown name.
    """
    global _chosen_conv
    if name is not None and name not in CONVS:
        raise MoebiusError(f"unknown form of convolution {name!r}: choose {', '.join(CONVS)}")
    _chosen_conv = name


def conv3x3(x: mx.array, weight: mx.array, stride: int, padding: Padding, exact: bool = False) -> mx.array:
    """3x3 convolution of x [B, H, W, C] with weight [O, 3, 3, C]; `exact` where a network reads the result.

    MLX's Metal back end uses Winograd's F(6x6, 3x3) for many channels. On an M5, whose matrix units multiply in TF32,
    its relative error is 6e-3 in float32. An implicit matrix product is exact and 1.3 to 4 times slower (both measured
    by the authors of xocialize/mlx-moebius-swift; nobody here has a Mac).
    """
    metal = mx.metal.is_available() and not on_cpu()
    default = "implicit_gemm" if exact and metal and _takes_winograd(x, weight, stride) else "conv2d"
    return CONVS[_chosen_conv or default](x, weight, stride, padding)


def _takes_winograd(x: mx.array, weight: mx.array, stride: int) -> bool:
    """Whether MLX's Metal back end would use Winograd here (`dispatch_conv_2D_gpu` in its conv.cpp)."""
    B, H, W, C = x.shape
    out = weight.shape[0]
    return stride == 1 and C % 32 == 0 and out % 32 == 0 and C + out >= 256 and B * H * W >= 4096


def _conv2d(x: mx.array, weight: mx.array, stride: int, padding: Padding) -> mx.array:
    return mx.conv_general(x, weight, stride, padding)


def _implicit_gemm(x: mx.array, weight: mx.array, stride: int, padding: Padding) -> mx.array:
    """The same with channels of zeros appended, so that MLX's Metal back end cannot use Winograd, whatever the batch.

    Winograd wants multiples of 32 channels, the implicit matrix product multiples of 16. (A 3-D convolution of depth 1
    does not help: for one picture, MLX 0.32.2 computes it as a 2-D convolution.)
    """
    more = [(0, 0), (0, 0), (0, 0), (0, 16 + -x.shape[-1] % 32)]
    return mx.conv_general(mx.pad(x, more), mx.pad(weight, more), stride, padding)


CONVS = {"conv2d": _conv2d, "implicit_gemm": _implicit_gemm}
