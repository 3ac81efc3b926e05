"""The student U-Net: depthwise-separable resnets and lambda transformers, no mid block (paper, section 3).

A sampler does three things once per run, outside the network's call: it computes the tables of the tokens
(`condition`) and the time shifts of all steps (`time_shifts`), and it fuses the weights (`layers.fuse`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map_with_path

from mlx_moebius.networks.config import UNetConfig
from mlx_moebius.networks.lambdas import CrossLambda, SelfLambda
from mlx_moebius.networks.layers import (
    BatchNorm,
    Conv3x3,
    DepthwiseSeparableConv,
    FeedForward,
    GroupNorm,
    LayerNorm,
    Linear,
    Resnet,
    Upsample,
    Weights,
    fold_norm_affine,
)

BACKGROUND_TOKENS = range(0, 10)  # the conditional branch: "fill with background"
FOREGROUND_TOKENS = range(10, 20)  # the unconditional branch

# What a network computing in float16 keeps in float32. Later layers amplify early rounding errors. At the released
# size the first two down blocks cause more than half of the error: 5.6e-3 with them in float16, 2.5e-3 in float32.
# The other parts of the list are cheap: most run once for all steps.
FLOAT32_BLOCKS = 2
FLOAT32_PARTS = re.compile(
    "conv_in|embedding_layer|encoder_hid_proj|time_embedding"
    rf"|down_blocks\.[0-{FLOAT32_BLOCKS - 1}]\."
    r"|.*(time_emb_proj|norm\d?|rel_pos_emb|attn2\.(to_k|v_weight|v_bias))"
)


Tables = tuple[mx.array, mx.array]
"""(table, values) of a cross-lambda layer."""


class Conditioning(NamedTuple):
    """Constants of a run: the tables of every cross-lambda layer, for G guidance branches."""

    layers: list[Tables]
    branches: int


class Prediction(NamedTuple):
    """What a call of the network returns: the prediction (`noise`; v where the model predicts v), and features."""

    noise: mx.array
    features: mx.array


def repeat_batch(x: mx.array, batch: int) -> mx.array:
    """Repeat x [B, ...], which is the same for all branches, to [batch, ...]. Unchanged when it has that size."""
    return x if x.shape[0] == batch else mx.concatenate([x] * (batch // x.shape[0]))


class TransformerBlock(nn.Module):
    """Self-lambda, cross-lambda and feed-forward. All three have a LayerNorm before them and a residual connection."""

    def __init__(self, config: UNetConfig, channels: int, positions: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm(channels)
        self.attn1 = SelfLambda(channels, config.num_heads, config.local_kernel_size)
        self.norm2 = LayerNorm(channels)
        self.attn2 = CrossLambda(channels, config.num_heads, config.num_tokens, config.cross_attention_dim, positions)
        self.norm3 = LayerNorm(channels)
        self.ff = FeedForward(channels, config.mlp_ratio)

    def fuse(self) -> None:
        """Fold the LayerNorms' weights and biases into the matrices after them (before those are fused themselves)."""
        readers: list[tuple[LayerNorm, list[Weights]]] = [
            (self.norm1, [self.attn1.to_q, self.attn1.to_k, self.attn1.to_v]),
            (self.norm2, [self.attn2.to_q]),
            (self.norm3, [self.ff.inverted_conv.conv]),
        ]
        for norm, layers in readers:
            for layer in layers:
                fold_norm_affine(norm, layer)
            del norm.weight, norm.bias

    def __call__(self, x: mx.array, table: mx.array, values: mx.array, shared: bool) -> mx.array:
        """[G * B, H, W, C] -> the same; `shared` as in CrossLambda."""
        x = x + self.attn1(self.norm1(x))
        cross = self.attn2(self.norm2(x), table, values, shared)
        x = cross + repeat_batch(x, cross.shape[0])
        return self.ff(self.norm3(x), x)


class Transformer(nn.Module):
    """GroupNorm and projections around one transformer block, with a residual connection."""

    def __init__(self, config: UNetConfig, channels: int, positions: int) -> None:
        super().__init__()
        self.norm = GroupNorm(config.norm_num_groups, channels, eps=1e-6, silu=False)
        self.proj_in = Linear(channels, channels)
        self.transformer_blocks = [TransformerBlock(config, channels, positions)]
        self.proj_out = Linear(channels, channels)

    def fuse(self) -> None:
        """Fold the normalisation's weight and bias into `proj_in`."""
        fold_norm_affine(self.norm, self.proj_in)
        del self.norm.weight, self.norm.bias

    def __call__(self, x: mx.array, table: mx.array, values: mx.array, shared: bool = False) -> mx.array:
        """[G * B, H, W, C] -> the same; `shared` as in CrossLambda."""
        h = self.transformer_blocks[0](self.proj_in(self.norm(x)), table, values, shared)
        return self.proj_out(h, repeat_batch(x, h.shape[0]))


class Downsample(nn.Module):
    """3x3 convolution with stride 2 and padding 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv3x3(channels, channels, stride=2)

    def __call__(self, x: mx.array) -> mx.array:
        """[B, H, W, C] -> [B, H / 2, W / 2, C]."""
        return self.conv(x)


class Block(nn.Module):
    """One resolution of the down or the up path: (resnet, transformer) layers, then maybe a change of resolution."""

    def __init__(
        self, config: UNetConfig, widths: list[tuple[int, int]], positions: int, downsample: bool, upsample: bool
    ) -> None:
        super().__init__()
        groups, time = config.norm_num_groups, config.time_embed_dim
        self.resnets = [Resnet(i, o, time, groups) for i, o in widths]
        self.attentions = [Transformer(config, o, positions) for _, o in widths]
        if downsample:
            self.downsamplers = [Downsample(widths[-1][1])]
        if upsample:
            self.upsamplers = [Upsample(widths[-1][1])]


class TimeEmbedding(nn.Module):
    """Linear, SiLU, Linear on the sinusoidal embedding."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.linear_1 = Linear(in_channels, channels)
        self.linear_2 = Linear(channels, channels)

    def __call__(self, x: mx.array) -> mx.array:
        """[T, in] -> [T, channels]."""
        return self.linear_2(nn.silu(self.linear_1(x)))


def sinusoidal_embedding(timesteps: mx.array, channels: int) -> mx.array:
    """Timesteps [T] -> float32 [T, channels], cosines first, longest period 10000 (diffusers `Timesteps`)."""
    half = channels // 2
    frequencies = mx.exp(-math.log(10000) * mx.arange(half, dtype=mx.float32) / half)
    angles = timesteps.astype(mx.float32)[:, None] * frequencies
    return mx.concatenate([mx.cos(angles), mx.sin(angles)], axis=-1)


def _checkpointed(layer: Callable[..., mx.array]) -> Callable[..., mx.array]:
    """Gradient checkpointing for one layer of `UNet.trace`: only its inputs are kept (arXiv 1604.06174).

    The function runs twice, so weights are passed in, and the statistics of live BatchNorms are returned.
    """

    def call(block: Block, i: int, x: mx.array, shift: mx.array, tables: Tables, shared: bool = False) -> mx.array:
        modules = [block.resnets[i], block.attentions[i]]
        live = [n for module in modules for n in module.modules() if isinstance(n, BatchNorm) and n.live]

        def pure(weights: list[Any], *inputs: Any) -> tuple[mx.array, list[Any]]:
            for module, parameters in zip(modules, weights, strict=True):
                module.update(parameters)
            return layer(block, i, *inputs, shared), [norm._batch for norm in live]

        weights = [module.trainable_parameters() for module in modules]
        y, seen = mx.checkpoint(pure)(weights, x, shift, tables)
        for module, parameters in zip(modules, weights, strict=True):
            module.update(parameters)
        for norm, batch in zip(live, seen, strict=True):
            norm._batch = batch
        return y

    return call


class UNet(nn.Module):
    """The denoiser; parameters are named as in the released checkpoint without its prefix `diff_model.`."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.checkpointed = False  # in training: compute layers again in the backward pass, which saves memory
        widths = config.block_out_channels
        first, last, layers = widths[0], len(widths) - 1, config.layers_per_block
        self.embedding_layer = Weights(weight=(config.num_embeddings, config.encoder_hid_dim))
        self.encoder_hid_proj = Linear(config.encoder_hid_dim, config.cross_attention_dim)
        self.time_embedding = TimeEmbedding(first, config.time_embed_dim)
        self.conv_in = DepthwiseSeparableConv(config.in_channels, first)

        positions = [(config.sample_size >> level) ** 2 for level in range(len(widths))]
        self.down_blocks, skips = [], [first]
        for level, out in enumerate(widths):
            before = widths[max(level - 1, 0)]
            pairs = [(before if layer == 0 else out, out) for layer in range(layers)]
            self.down_blocks.append(Block(config, pairs, positions[level], level < last, False))
            skips += [out] * (layers + (level < last))

        self.up_blocks, hidden = [], widths[-1]
        for level in range(last, -1, -1):
            pairs = []
            for _ in range(layers + 1):
                pairs.append((hidden + skips.pop(), widths[level]))
                hidden = widths[level]
            self.up_blocks.append(Block(config, pairs, positions[level], False, level > 0))

        self.conv_norm_out = GroupNorm(config.norm_num_groups, first, eps=1e-5)
        self.conv_out = DepthwiseSeparableConv(first, config.out_channels)

    def _blocks(self) -> list[Block]:
        return [*self.down_blocks, *self.up_blocks]

    def compute_in(self, dtype: mx.Dtype) -> None:
        """Cast the weights to float16 or bfloat16, all but FLOAT32_PARTS; a call then returns that dtype."""
        cast = tree_map_with_path(lambda k, v: v if FLOAT32_PARTS.match(k) else v.astype(dtype), self.parameters())
        self.update(cast)

    @property
    def dtype(self) -> mx.Dtype:
        """What most of the network computes in."""
        last = self.conv_out
        return last.conv_pw.weight.dtype if "conv_pw" in last else last.point_weight.dtype

    def condition(self, ids: mx.array, per_sample: bool = False) -> Conditioning:
        """Token ids [G, M], one row per guidance branch -> the tables of all cross-lambda layers.

        `per_sample`: one row per sample of a batch of G instead, as in training.
        """
        tokens = self.encoder_hid_proj(self.embedding_layer.weight[ids])
        transformers = [t for block in self._blocks() for t in block.attentions]
        return Conditioning(
            [t.transformer_blocks[0].attn2.condition(tokens) for t in transformers], 1 if per_sample else ids.shape[0]
        )

    def time_shifts(self, timesteps: mx.array) -> mx.array:
        """Timesteps [T] -> the time shifts of all resnets, concatenated: float32 [T, sum of their widths]."""
        temb = self.time_embedding(sinusoidal_embedding(timesteps, self.time_embedding.linear_1.weight.shape[1]))
        return mx.concatenate([r.time_shift(temb) for block in self._blocks() for r in block.resnets], axis=-1)

    def _constants(self, shifts: mx.array, conditioning: Conditioning) -> list[list[tuple[mx.array, Tables]]]:
        """The time shift and the cross-lambda's tables of every layer, one list per block."""
        blocks = self._blocks()
        widths = [r.time_emb_proj.weight.shape[0] for block in blocks for r in block.resnets]
        edges = [sum(widths[: i + 1]) for i in range(len(widths) - 1)]
        layers = iter(zip(mx.split(shifts, edges, axis=-1), conditioning.layers, strict=True))
        return [list(islice(layers, len(block.resnets))) for block in blocks]

    def trace(
        self, x: mx.array, shifts: mx.array, conditioning: Conditioning, features: mx.array | None = None
    ) -> list[mx.array]:
        """Like a call, but returns the outputs of all down blocks and all up blocks, and last the network's output.

        `features` is the output of the last but one up block at another step. Where it is given, everything below the
        full resolution is neither computed nor returned.
        """
        batch = conditioning.branches * x.shape[0]
        constants = self._constants(shifts, conditioning)
        down = list(zip(self.down_blocks, constants, strict=False))
        up = list(zip(self.up_blocks, constants[len(down) :], strict=True))
        if features is not None:
            down, up = down[:1], up[-1:]

        def layer(block: Block, i: int, x: mx.array, shift: mx.array, tables: Tables, shared: bool = False) -> mx.array:
            h = block.resnets[i](x, shift if len(shifts) == 1 else repeat_batch(shift, len(x)))
            return block.attentions[i](h, *tables, shared)

        if self.checkpointed:
            layer = _checkpointed(layer)
        outputs: list[mx.array] = []
        h = self.conv_in(x.astype(mx.float32))
        skips = [repeat_batch(h, batch)]
        for level, (block, block_constants) in enumerate(down):
            h = h if level < FLOAT32_BLOCKS else h.astype(self.dtype)
            for i, shift_and_tables in enumerate(block_constants):
                # Up to the first cross-lambda the branches do not differ: computed once for all.
                h = layer(block, i, h, *shift_and_tables, shared=level == 0 and i == 0 and conditioning.branches > 1)
                skips.append(h)
            if "downsamplers" in block and features is None:
                h = block.downsamplers[0](h)
                skips.append(h)
            outputs.append(h)
        h = (h if features is None else features).astype(self.dtype)
        for block, block_constants in up:
            for i, shift_and_tables in enumerate(block_constants):
                h = layer(block, i, mx.concatenate([h, skips.pop().astype(self.dtype)], axis=-1), *shift_and_tables)
            if "upsamplers" in block:
                h = block.upsamplers[0](h)
            outputs.append(h)
        return [*outputs, self.conv_out(self.conv_norm_out(h))]

    def __call__(
        self, x: mx.array, shifts: mx.array, conditioning: Conditioning, features: mx.array | None = None
    ) -> Prediction:
        """Predict the noise, or v where the model was trained to, for all branches.

        Args:
            x: float32 [B, h, w, in]: noisy latents (C), mask (1 = fill), masked-image latents (C).
            shifts: one row of `time_shifts` for the batch, [1, S], or one row per sample, [B, S].
            conditioning: from `condition`, for G branches.
            features: features of another step, used instead of computing them (an approximation, a third of the work).

        Returns:
            The prediction [G * B, h, w, out], branch by branch, and features [G * B, h, w, width], which the lower
            resolutions pass up to the full one.
        """
        *outputs, predicted = self.trace(x, shifts, conditioning, features)
        return Prediction(predicted, outputs[-2] if features is None else features)
