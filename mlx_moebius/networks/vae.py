"""The autoencoder between images and latents: diffusers `AutoencoderKL` with the SDXL topology."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain, pairwise

import mlx.core as mx
import mlx.nn as nn

from mlx_moebius.networks.config import VAEConfig
from mlx_moebius.networks.kernels import conv3x3, on_cpu
from mlx_moebius.networks.layers import Conv3x3, GroupNorm, Linear, Upsample

EPS = 1e-6
# Largest input of one convolution, in elements. The CPU back end copies it nine times over, a GPU does not.
STRIP_ELEMENTS = {"cpu": 2**20, "gpu": 2**27}


def row_strips(x: mx.array, multiple_of: int = 1) -> list[tuple[int, int]]:
    """Cut the rows of x [B, H, W, C] into strips (top, bottom) of about STRIP_ELEMENTS."""
    height, elements = x.shape[1], STRIP_ELEMENTS["cpu" if on_cpu() else "gpu"]
    rows = max(1, elements * height // x.size // multiple_of) * multiple_of
    return [(top, min(top + rows, height)) for top in range(0, height, rows)]


def conv_in_strips(x: mx.array, conv: Conv3x3, norm: GroupNorm | None = None) -> mx.array:
    """conv(norm(x)) by strips of rows, to bound memory. A strip includes the neighbouring rows that its kernel reads.

    Exact, since the group statistics are taken over the whole map first. x [B, H, W, in] -> [B, H, W, out] with
    padding 1; at stride 2 [B, H / 2, W / 2, out], padded right and bottom only.
    """
    scale_shift = norm.scale_shift(x) if norm else ()
    mx.eval(x, scale_shift)
    stride, height, before = conv.stride, x.shape[1], int(conv.stride == 1)
    out = Strips(height // stride)
    for top, bottom in row_strips(x, multiple_of=stride):
        first, last = top - before, bottom - stride + 2 - before  # rows that the kernel meets
        part = x[:, max(first, 0) : last + 1]
        if norm is not None:
            part = norm.normalise(part, *scale_shift)
        padding = ([max(-first, 0), before], [max(last + 1 - height, 0), 1])
        out.add(conv3x3(part, conv.weight, stride, padding, conv.exact) + conv.bias)
    return out.joined


def upsample_in_strips(x: mx.array, upsample: Upsample) -> mx.array:
    """upsample(x) by strips of rows; [B, H, W, C] -> [B, 2 H, 2 W, C]."""
    out = Strips(2 * x.shape[1])
    for top, bottom in row_strips(x):
        first = max(top - 1, 0)
        out.add(upsample(x[:, first : bottom + 1])[:, 2 * (top - first) : 2 * (bottom - first)])
    return out.joined


class Strips:
    """A map [B, height, W, C] put together from strips of rows. A strip is computed before the next one starts."""

    def __init__(self, height: int) -> None:
        self.height, self.filled = height, 0

    def add(self, strip: mx.array) -> None:
        """Compute a strip [B, rows, W, C] and place it below those before."""
        B, rows, W, C = strip.shape
        if rows == self.height:
            self.joined = strip
        else:
            if self.filled == 0:
                self.joined = mx.zeros((B, self.height, W, C), strip.dtype)
            self.joined[:, self.filled : self.filled + rows] = strip
        self.filled += rows
        mx.eval(self.joined)


class Resnet(nn.Module):
    """GroupNorm, SiLU, 3x3, twice; 1x1 shortcut when the widths differ."""

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, in_channels, EPS)
        self.conv1 = Conv3x3(in_channels, out_channels)
        self.norm2 = GroupNorm(groups, out_channels, EPS)
        self.conv2 = Conv3x3(out_channels, out_channels)
        if in_channels != out_channels:
            self.conv_shortcut = Linear(in_channels, out_channels)

    def __call__(self, x: mx.array) -> mx.array:
        """[B, H, W, in] -> [B, H, W, out]."""
        h = conv_in_strips(x, self.conv1, self.norm1)
        h = conv_in_strips(h, self.conv2, self.norm2)
        h = self.conv_shortcut(x, h) if "conv_shortcut" in self else x + h
        mx.eval(h)
        return h


class Attention(nn.Module):
    """Single-head self-attention over all positions, plus the input."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.group_norm = GroupNorm(groups, channels, EPS, silu=False)
        self.to_q = Linear(channels, channels)
        self.to_k = Linear(channels, channels)
        self.to_v = Linear(channels, channels)
        self.to_out = [Linear(channels, channels)]

    def __call__(self, x: mx.array) -> mx.array:
        """[B, H, W, C] -> the same."""
        B, H, W, C = x.shape
        h = self.group_norm(x).reshape(B, 1, H * W, C)
        h = mx.fast.scaled_dot_product_attention(self.to_q(h), self.to_k(h), self.to_v(h), scale=C**-0.5)
        return self.to_out[0](h.reshape(B, H, W, C), x)


class MidBlock(nn.Module):
    """Resnet, attention, resnet at the lowest resolution."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.resnets = [Resnet(channels, channels, groups), Resnet(channels, channels, groups)]
        self.attentions = [Attention(channels, groups)]

    def __call__(self, x: mx.array) -> mx.array:
        """[B, H, W, C] -> the same."""
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Downsample(nn.Module):
    """Stride-2 3x3 convolution that pads right and bottom only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv3x3(channels, channels, stride=2)

    def __call__(self, x: mx.array) -> mx.array:
        """[B, H, W, C] -> [B, H / 2, W / 2, C]."""
        return conv_in_strips(x, self.conv)


class Block(nn.Module):
    """Resnets of one resolution, then an optional change of resolution."""

    def __init__(self, widths: list[int], groups: int, sampler: type[Downsample] | type[Upsample] | None) -> None:
        super().__init__()
        self.resnets = [Resnet(i, o, groups) for i, o in pairwise(widths)]
        if sampler is not None:
            name = "upsamplers" if sampler is Upsample else "downsamplers"
            self[name] = [sampler(widths[-1])]

    def stages(self) -> list[Callable[[mx.array], mx.array]]:
        """Maps [B, H, W, in] -> [B, H, W, out], the last one maybe to half or double the resolution."""
        upsamplers = [partial(upsample_in_strips, upsample=upsample) for upsample in self.get("upsamplers", ())]
        return [*self.resnets, *self.get("downsamplers", ()), *upsamplers]


class Encoder(nn.Module):
    """Image to moments before `quant_conv`."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths, groups, layers = config.block_out_channels, config.norm_num_groups, config.layers_per_block
        self.conv_in = Conv3x3(config.in_channels, widths[0])
        before = [widths[0], *widths[:-1]]
        self.down_blocks = [
            Block([b] + [w] * layers, groups, None if i == len(widths) - 1 else Downsample)
            for i, (b, w) in enumerate(zip(before, widths, strict=True))
        ]
        self.mid_block = MidBlock(widths[-1], groups)
        self.conv_norm_out = GroupNorm(groups, widths[-1], EPS)
        self.conv_out = Conv3x3(widths[-1], 2 * config.latent_channels)
        for module in self.modules():
            if isinstance(module, Conv3x3):
                module.exact = True  # the U-Net reads its result; the decoder's is rounded to 8 bits

    def __call__(self, x: mx.array) -> mx.array:
        """[B, H, W, 3] -> [B, H / f, W / f, 2 C]."""
        x = conv_in_strips(x, self.conv_in)
        for stage in chain.from_iterable(block.stages() for block in self.down_blocks):
            x = stage(x)  # no frame keeps an input alive for longer than its stage
        return conv_in_strips(self.mid_block(x), self.conv_out, self.conv_norm_out)


class Decoder(nn.Module):
    """Latents after `post_quant_conv` to image."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths, groups, layers = config.block_out_channels[::-1], config.norm_num_groups, config.layers_per_block + 1
        self.conv_in = Conv3x3(config.latent_channels, widths[0])
        self.mid_block = MidBlock(widths[0], groups)
        before = [widths[0], *widths[:-1]]
        self.up_blocks = [
            Block([b] + [w] * layers, groups, None if i == len(widths) - 1 else Upsample)
            for i, (b, w) in enumerate(zip(before, widths, strict=True))
        ]
        self.conv_norm_out = GroupNorm(groups, widths[-1], EPS)
        self.conv_out = Conv3x3(widths[-1], config.out_channels)

    def __call__(self, x: mx.array) -> mx.array:
        """[B, h, w, C] -> [B, h * f, w * f, 3]."""
        x = self.mid_block(conv_in_strips(x, self.conv_in))
        for stage in chain.from_iterable(block.stages() for block in self.up_blocks):
            x = stage(x)  # no frame keeps an input alive for longer than its stage
        return conv_in_strips(x, self.conv_out, self.conv_norm_out)


class AutoencoderKL(nn.Module):
    """Encoder and decoder with their 1x1 convolutions; parameters are named as in diffusers."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        latent = config.latent_channels
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = Linear(2 * latent, 2 * latent)
        self.post_quant_conv = Linear(latent, latent)

    def encode(self, image: mx.array) -> tuple[mx.array, mx.array]:
        """Image [B, H, W, 3] in [-1, 1] -> mean and log-variance of the posterior, both [B, H / f, W / f, C]."""
        mean, logvar = mx.split(self.quant_conv(self.encoder(image)), 2, axis=-1)
        return mean, mx.clip(logvar, -30, 20)

    def sample(self, image: mx.array, draws: mx.array) -> mx.array:
        """Image [B, H, W, 3] in [-1, 1] -> scaled latents [B, H / f, W / f, C], a sample of the posterior.

        `draws` are standard normal, of the latents' shape.
        """
        mean, logvar = self.encode(image)
        return (mean + mx.exp(0.5 * logvar) * draws) * self.config.scaling_factor

    def decode(self, latents: mx.array) -> mx.array:
        """Unscaled latents [B, h, w, C] -> image [B, h * f, w * f, 3], about [-1, 1]."""
        return self.decoder(self.post_quant_conv(latents))
