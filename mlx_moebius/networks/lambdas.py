"""The two lambda layers that stand in for attention (paper, section 3; LambdaNetworks, arXiv 2102.08602).

A lambda layer turns a context into one small linear map and applies it to every query, so no [N, N]
attention matrix exists. h heads share keys (width k) and values (width v), with k = v = C / h here.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from mlx_moebius.networks.kernels import matmul
from mlx_moebius.networks.layers import BatchNorm, Linear, Weights, conv_bn, fold, linear
from mlx_moebius.networks.local_term import local_term


class SelfLambda(nn.Module):
    """Local lambda: a content map from all positions, and a positional one from the r x r neighbourhood."""

    def __init__(self, channels: int, heads: int, kernel: int) -> None:
        super().__init__()
        k = channels // heads
        self.heads, self.kernel = heads, kernel
        self.to_q = Linear(channels, channels, bias=False)
        self.to_k = Linear(channels, k, bias=False)
        self.to_v = Linear(channels, k, bias=False)
        self.norm_q = BatchNorm(channels)
        self.norm_v = BatchNorm(k)
        self.pos_conv = Weights(weight=(k, kernel, kernel), bias=(k,))

    def fuse(self) -> None:
        """Fold the BatchNorms, merge the three projections, lay out the positional kernel for `local_term`."""
        q, q_bias = fold(self.to_q, self.norm_q)
        v, v_bias = fold(self.to_v, self.norm_v)
        k = self.to_k.weight  # any bias would cancel in the softmax over positions
        self.qkv_weight = mx.concatenate([q, k, v])
        self.qkv_bias = mx.concatenate([q_bias, mx.zeros(k.shape[0]), v_bias])
        self.offsets, self.key_bias = self._kernel(), self.pos_conv.bias
        del self.to_q, self.to_k, self.to_v, self.norm_q, self.norm_v, self.pos_conv

    def _kernel(self) -> mx.array:
        """The positional kernel [k, y, x] as [k, dx dy]."""
        return self.pos_conv.weight.transpose(0, 2, 1).reshape(self.pos_conv.weight.shape[0], -1)

    def _project(self, x: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        """Queries [B, H, W, C], keys and values [B, H, W, C / h]."""
        if "to_q" in self:
            q, v = conv_bn(x, self.to_q, self.norm_q, linear), conv_bn(x, self.to_v, self.norm_v, linear)
            return q, self.to_k(x), v
        C = x.shape[-1]
        q, k, v = mx.split(linear(x, self.qkv_weight, self.qkv_bias), [C, C + C // self.heads], axis=-1)
        return q, k, v

    def __call__(self, x: mx.array) -> mx.array:
        """[B, H, W, C] -> [B, H, W, C], channels ordered (h v)."""
        B, H, W, C = x.shape
        width = C // self.heads
        q, k, v = self._project(x)
        training = "to_q" in self
        offsets, key_bias = (self._kernel(), self.pos_conv.bias) if training else (self.offsets, self.key_bias)
        # Small, and in float32: over thousands of positions the softmax is too fine for float16.
        k = mx.softmax(k.reshape(B, H * W, width).astype(mx.float32), axis=1)
        content = k.swapaxes(1, 2) @ v.reshape(B, H * W, width).astype(mx.float32)
        # The convolution's bias b[k] adds the same vector to every position's lambda.
        content = (content + key_bias[:, None]).astype(x.dtype)  # (B, k, v)
        q = q.reshape(B, H * W * self.heads, width)
        y = matmul(q, content).reshape(B, H, W, self.heads, width)
        q = q.reshape(B, H, W, self.heads, width)
        return local_term(q, offsets, v, self.kernel, y, training).reshape(B, H, W, C)


class CrossLambda(nn.Module):
    """Global lambda over M learned tokens, with a learned positional embedding for every pixel of the grid."""

    def __init__(self, channels: int, heads: int, tokens: int, token_channels: int, positions: int) -> None:
        super().__init__()
        k = channels // heads
        self.heads = heads
        self.to_q = Linear(channels, channels, bias=False)
        self.to_k = Linear(token_channels, k, bias=False)
        self.to_v = Linear(token_channels, k, bias=False)
        self.norm_q = BatchNorm(channels)
        self.norm_v = BatchNorm(k)
        self.rel_pos_emb = mx.zeros((positions, tokens, k))

    def fuse(self) -> None:
        """Fold the BatchNorms."""
        self.q_weight, self.q_bias = fold(self.to_q, self.norm_q)
        self.v_weight, self.v_bias = fold(self.to_v, self.norm_v)
        del self.to_q, self.to_v, self.norm_q, self.norm_v

    def condition(self, tokens: mx.array) -> tuple[mx.array, mx.array]:
        """What the layer needs of the tokens [G, M, token_channels], one set for each of G guidance branches.

        Returns the table K + R, [G, N, k, M], and the values [G, M, v]: constants of a run. In training G is the
        number of samples.
        """
        keys = mx.softmax(self.to_k(tokens), axis=1, precise=True)
        table = (keys[:, None] + self.rel_pos_emb).swapaxes(2, 3)
        if "to_q" in self:
            dtype, values = self.to_q.weight.dtype, conv_bn(tokens, self.to_v, self.norm_v, linear)
        else:
            dtype, values = self.q_weight.dtype, linear(tokens, self.v_weight, self.v_bias)
        return mx.contiguous(table.astype(dtype)), values.astype(dtype)

    def __call__(self, x: mx.array, table: mx.array, values: mx.array, shared: bool = False) -> mx.array:
        """x [G * B, H, W, C], branch by branch -> [G * B, H, W, C], channels ordered (h v).

        `shared` says that x is [B, H, W, C], still the same for all branches; the result is [G * B, ...].
        """
        N, H, W, C = x.shape
        branches = table.shape[0]
        q = conv_bn(x, self.to_q, self.norm_q, linear) if "to_q" in self else linear(x, self.q_weight, self.q_bias)
        q = q.reshape(1 if shared else branches, -1, H * W, self.heads, C // self.heads)
        scores = matmul(q, table[:, None])  # (G, B, N, h, M)
        return matmul(scores.reshape(branches, -1, scores.shape[-1]), values).reshape(-1, H, W, C)
