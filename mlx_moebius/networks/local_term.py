"""The self-lambda's positional term: every pixel and head weighs its r x r neighbours' values.

    Y[n, h] = sum over the offsets d of (q[n, h] . w[d]) v[n + d], zeros beyond the border

The official code convolves v with w into a [N, k, v] tensor and applies q after it. Computing the weights q . w[d]
first needs 2.5 to 10 times fewer multiplications; what then remains is one small matrix product a pixel, in three
layouts. Which one is fastest depends on grid and back end: `default_impl` and `training_impl` decide, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import mlx.core as mx
import numpy as np

from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.kernels import on_cpu, widened

CONV_KEYS = 8  # key widths up to this one train with "conv"
BAND = 8  # pixels that "bands" multiplies together
_chosen: str | None = None


def choose_impl(name: str | None) -> None:
    """Use this formulation (a key of IMPLS) in every network compiled from now on; None returns to the default.

    Raises MoebiusError for an unknown name.
    """
    global _chosen
    if name is not None and name not in IMPLS:
        raise MoebiusError(f"unknown local implementation {name!r}: choose {', '.join(IMPLS)}")
    _chosen = name


def default_impl(height: int, width: int) -> str:
    """The formulation for a grid.

    CPU: measured, "windows" wins at 64 and 32, and ties with "dense" at 16. GPU: reasoned, since a GEMM tile there
    has 32 to 64 rows: a pixel alone has as many as there are heads (8), a band of pixels fills it.
    """
    if on_cpu():
        return "windows"
    if height * width <= 256:
        return "dense"
    return "bands"


def training_impl(height: int, width: int, keys: int) -> str:
    """The formulation whose backward is cheapest, for a grid and a key width; measured on the CPU alone.

    At grid 16 "conv" takes 4 ms with 4 keys, where "windows" takes 14; with many keys it needs gigabytes. At grid 32
    "dense" is the fastest of all, at grid 64 it is too large and "windows" needs a quarter of the time of "conv".
    """
    if keys <= CONV_KEYS:
        return "conv"
    return "dense" if height * width <= 1024 else "windows"


def local_term(
    q: mx.array, offsets: mx.array, v: mx.array, kernel: int, y: mx.array, training: bool = False
) -> mx.array:
    """y plus the positional term.

    Args:
        q: queries [B, H, W, h, k].
        offsets: positional kernel [k, kernel * kernel], offsets ordered (dx, dy).
        v: values [B, H, W, v].
        kernel: odd side of the neighbourhood.
        y: [B, H, W, h, v], the content term.
        training: whether gradients are wanted, too.
    """
    default = training_impl(*v.shape[1:]) if training else default_impl(*v.shape[1:3])
    q, offsets, v, wide = widened(q, offsets, v, y)
    return IMPLS[_chosen or default](q, offsets, v, kernel, wide).astype(y.dtype)


def _columns(v: mx.array, kernel: int) -> mx.array:
    """v unfolded along y only: [B, H, W + kernel - 1, kernel (dy), v].

    Overlapping views of it along x give each pixel, or band, its neighbourhood as one contiguous matrix, at `kernel`
    times the memory of v, not kernel * kernel times.
    """
    B, H, W, C = v.shape
    reach = kernel // 2
    padded = mx.contiguous(mx.pad(v, [(0, 0), (reach, reach), (reach, reach), (0, 0)]))
    row = (W + 2 * reach) * C
    shape = [B, H, W + 2 * reach, kernel, C]
    return mx.contiguous(mx.as_strided(padded, shape, [(H + 2 * reach) * row, row, C, row, 1]))


def _windows(q: mx.array, offsets: mx.array, v: mx.array, kernel: int, y: mx.array) -> mx.array:
    """One product a pixel: h rows."""
    B, H, W, C = v.shape
    column = kernel * C
    row = (W + kernel - 1) * column
    shape = [B, H, W, kernel * kernel, C]
    windows = mx.as_strided(_columns(v, kernel), shape, [H * row, row, column, C, 1])
    return mx.addmm(y, _matmul(q, offsets), windows)


def _bands(q: mx.array, offsets: mx.array, v: mx.array, kernel: int, y: mx.array) -> mx.array:
    """One product for BAND pixels of a row (fewer on a narrow grid) against the union of their neighbourhoods."""
    B, H, W, C = v.shape
    band = math.gcd(W, BAND)
    heads, bands, union = q.shape[3], W // band, kernel * (kernel + band - 1)
    weights = _matmul(q, offsets).reshape(B, H, bands, band, heads, -1).swapaxes(3, 4)
    # A pixel's weights stand one column (kernel entries) further right than its left neighbour's in the union.
    # Rows padded to union + kernel and read as rows of `union` do exactly that.
    padded = mx.pad(weights, [*[(0, 0)] * 5, (0, union + kernel - kernel * kernel)])
    stride = band * heads * (union + kernel)
    group = band * (union + kernel)
    shifted = mx.as_strided(
        mx.contiguous(padded),
        [B, H, bands, heads, band, union],
        [H * bands * stride, bands * stride, stride, group, union, 1],
    )
    column = kernel * C
    row = (W + kernel - 1) * column
    unions = mx.as_strided(_columns(v, kernel), [B, H, bands, union, C], [H * row, row, band * column, C, 1])
    local = shifted.reshape(B, H, bands, heads * band, union) @ unions
    return y + local.reshape(B, H, bands, heads, band, C).swapaxes(3, 4).reshape(y.shape)


def _dense(q: mx.array, offsets: mx.array, v: mx.array, kernel: int, y: mx.array) -> mx.array:
    """One product an image: each pixel and head against all pixels, zero weights outside the neighbourhood."""
    B, H, W, C = v.shape
    heads = q.shape[3]
    rows, columns = np.divmod(np.arange(H * W), W)
    dy = rows[None] - rows[:, None] + kernel // 2
    dx = columns[None] - columns[:, None] + kernel // 2
    inside = (dy >= 0) & (dy < kernel) & (dx >= 0) & (dx < kernel)
    index = mx.array(np.where(inside, dx * kernel + dy, kernel * kernel))  # the last column is zero
    weights = mx.pad(_matmul(q, offsets).reshape(B, H * W, heads, -1), [*[(0, 0)] * 3, (0, 1)])
    index = mx.broadcast_to(index[None, :, None], (B, H * W, heads, H * W))
    dense = mx.take_along_axis(weights, index, axis=-1).reshape(B, H * W * heads, H * W)
    return mx.addmm(y.reshape(B, -1, C), dense, v.reshape(B, H * W, C)).reshape(y.shape)


def _conv(q: mx.array, offsets: mx.array, v: mx.array, kernel: int, y: mx.array) -> mx.array:
    """The official order: a convolution to one lambda [k, v] a pixel, then the queries."""
    B, H, W, C = v.shape
    images = v.transpose(0, 3, 1, 2).reshape(B * C, H, W, 1)
    weight = mx.contiguous(offsets.reshape(-1, kernel, kernel).swapaxes(1, 2))[..., None]
    lambdas = mx.conv2d(images, weight, padding=kernel // 2)
    return mx.addmm(y, q, lambdas.reshape(B, C, H, W, -1).transpose(0, 2, 3, 4, 1))


def _matmul(q: mx.array, offsets: mx.array) -> mx.array:
    """q @ offsets as one flat product."""
    return (q.reshape(-1, q.shape[-1]) @ offsets).reshape(*q.shape[:-1], -1)


IMPLS: dict[str, Callable[[mx.array, mx.array, mx.array, int, mx.array], mx.array]] = {
    "windows": _windows,
    "bands": _bands,
    "dense": _dense,
    "conv": _conv,
}
