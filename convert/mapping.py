"""From the released names and layouts to the networks' parameters, by table.

A layout reads like `O I h w -> O h w I`: one letter an axis, and `1` for an axis of length 1 that disappears.
Configurations are read off the shapes; the networks themselves say which names and shapes must come out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple
from typing import Any, TypeVar

import mlx.nn as nn
from mlx.utils import tree_flatten

from mlx_moebius.convert.stored_tensor import StoredTensor, Tensors
from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.config import UNetConfig, VAEConfig
from mlx_moebius.networks.unet import UNet
from mlx_moebius.networks.vae import AutoencoderKL

Shapes = dict[str, tuple[int, ...]]
Table = tuple[tuple[str, str], ...]

IGNORED = r"(.+\.)?num_batches_tracked"

# Renamed first: pattern -> replacement.
UNET_NAMES: Table = ((r"^diff_model\.", ""),)
VAE_NAMES: Table = (  # attention as diffusers spelled it before 0.18
    (r"(mid_block\.attentions\.0)\.query\.", r"\1.to_q."),
    (r"(mid_block\.attentions\.0)\.key\.", r"\1.to_k."),
    (r"(mid_block\.attentions\.0)\.value\.", r"\1.to_v."),
    (r"(mid_block\.attentions\.0)\.proj_attn\.", r"\1.to_out.0."),
)

# Then laid out: (whole name, layout), the first row that fits name and rank.
UNET_LAYOUTS: Table = (
    (r"(embedding_layer|encoder_hid_proj|time_embedding\.linear_[12]|.+\.time_emb_proj)\.weight", "O I -> O I"),
    (r".+\.attn2\.to_[kv]\.weight", "O I -> O I"),
    (r".+\.(conv_dw|depth_conv\.conv|(down|up)samplers\.0\.conv)\.weight", "O I h w -> O h w I"),
    (r".+\.(conv_pw|conv_shortcut|proj_in|proj_out|to_[qkv])\.weight", "O I 1 1 -> O I"),
    (r".+\.(inverted_conv|point_conv)\.conv\.weight", "O I 1 1 -> O I"),
    (r".+\.pos_conv\.weight", "k 1 1 y x -> k y x"),
    (r".+\.rel_pos_emb", "N M k 1 -> N M k"),
    (r".+\.(weight|bias|running_mean|running_var)", "C -> C"),
)
VAE_LAYOUTS: Table = (
    (r".+\.(to_[qkv]|to_out\.0)\.weight", "O I -> O I"),
    (r".+\.(to_[qkv]|to_out\.0|conv_shortcut)\.weight", "O I 1 1 -> O I"),
    (r"(post_)?quant_conv\.weight", "O I 1 1 -> O I"),
    (r".+\.(conv|conv[12]|conv_in|conv_out)\.weight", "O I h w -> O h w I"),
    (r".+\.(weight|bias)", "C -> C"),
)

C = TypeVar("C", UNetConfig, VAEConfig)

MAX_DEPTH = 16  # a configuration from elsewhere could otherwise ask for a network without end
MAX_CHANNELS = 2**20  # no real axis is longer; keeps the networks' shapes within MLX's 32-bit sizes


def map_unet(source: Tensors, settings: Mapping[str, Any] | None = None) -> tuple[UNetConfig, Tensors]:
    """The U-Net's configuration and parameters (views in MLX layout) from a checkpoint's tensors.

    `settings` is its `unet_config.json`, if it has one, for the group count, which shapes do not tell.

    Raises MoebiusError that lists names when anything is missing, left over or of another shape.
    """
    tensors = _rename_and_lay_out(source, UNET_NAMES, UNET_LAYOUTS)
    try:
        config = unet_config(tensors, settings or {})
    except (LookupError, ValueError, ZeroDivisionError) as error:
        raise MoebiusError(f"not a Moebius U-Net: {_reason(error, tensors)}") from None
    check_parameters("U-Net", tensors, unet_shapes(config))
    return config, tensors


def map_vae(source: Tensors, settings: Mapping[str, Any]) -> tuple[VAEConfig, Tensors]:
    """The same for the VAE; `settings` is its `config.json`, for what shapes do not tell."""
    tensors = _rename_and_lay_out(source, VAE_NAMES, VAE_LAYOUTS)
    try:
        config = vae_config(tensors, settings)
    except (LookupError, ValueError) as error:
        raise MoebiusError(f"not a Moebius VAE: {_reason(error, tensors)}") from None
    check_parameters("VAE", tensors, vae_shapes(config))
    return config, tensors


def lay_out(tensor: StoredTensor, layout: str) -> StoredTensor | None:
    """A view with its axes rearranged; None when rank or a `1` does not fit."""
    before, after = (side.split() for side in layout.split(" -> "))
    if len(tensor.shape) != len(before):
        return None
    if any(axis == "1" and length != 1 for axis, length in zip(before, tensor.shape, strict=True)):
        return None
    kept = [axis for axis in before if axis != "1"]
    view = tensor.raw[tuple(0 if axis == "1" else slice(None) for axis in before)]
    return StoredTensor(view.transpose([kept.index(axis) for axis in after]), tensor.dtype)


def _rename_and_lay_out(source: Tensors, names: Table, layouts: Table) -> Tensors:
    tensors: Tensors = {}
    for old_name, tensor in source.items():
        if re.fullmatch(IGNORED, old_name):
            continue
        name = old_name
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        if name in tensors:
            raise MoebiusError(f"the checkpoint holds {name!r} twice, under an old and a new name")
        if not tensor.is_floating or not all(1 <= n <= MAX_CHANNELS for n in tensor.shape):
            raise MoebiusError(f"{old_name!r} is {tensor.dtype} {list(tensor.shape)}, not the weights of a network")
        fitting = (lay_out(tensor, layout) for pattern, layout in layouts if re.fullmatch(pattern, name))
        # A tensor that no row knows keeps its layout, and is then reported as unexpected or of another shape.
        tensors[name] = next((laid for laid in fitting if laid is not None), tensor)
    return tensors


def _count(names: Iterable[str], prefix: str) -> int:
    """How many of `prefix`.0, `prefix`.1, ... occur in names."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return len({match[1] for name in names if (match := pattern.match(name))})


def unet_config(tensors: Tensors, settings: Mapping[str, Any]) -> UNetConfig:
    """Read off the shapes (MLX layout), and from `settings` the group count; a KeyError names a missing tensor."""
    blocks = _count(tensors, "down_blocks")
    first = "down_blocks.0.attentions.0.transformer_blocks.0"
    query, key = (tensors[f"{first}.attn1.to_{x}.weight"].shape[0] for x in "qk")
    channels, hidden = tensors[f"{first}.ff.point_conv.conv.weight"].shape
    positions, num_tokens, _ = tensors[f"{first}.attn2.rel_pos_emb"].shape
    num_embeddings, encoder_hid_dim = tensors["embedding_layer.weight"].shape
    return UNetConfig(
        in_channels=tensors["conv_in.conv_pw.weight"].shape[1],
        out_channels=tensors["conv_out.conv_pw.weight"].shape[0],
        block_out_channels=tuple(
            tensors[f"down_blocks.{i}.resnets.0.conv1.conv_pw.weight"].shape[0] for i in range(blocks)
        ),
        layers_per_block=_count(tensors, "down_blocks.0.resnets"),
        num_heads=query // key,
        num_tokens=num_tokens,
        num_embeddings=num_embeddings,
        encoder_hid_dim=encoder_hid_dim,
        cross_attention_dim=tensors["encoder_hid_proj.weight"].shape[0],
        sample_size=math.isqrt(positions),
        mlp_ratio=hidden / channels,
        local_kernel_size=tensors[f"{first}.attn1.pos_conv.weight"].shape[-1],
        norm_num_groups=_groups(settings.get("norm_num_groups", UNetConfig().norm_num_groups)),
    )


def vae_config(tensors: Tensors, settings: Mapping[str, Any]) -> VAEConfig:
    """Read off the shapes (MLX layout), and from `config.json` the two numbers that they do not tell."""
    groups, scale = _groups(settings["norm_num_groups"]), settings["scaling_factor"]
    if type(scale) not in (int, float) or not 0 < scale < math.inf:
        raise ValueError(f"scaling_factor is {scale!r}")
    for name in ("shift_factor", "latents_mean", "latents_std"):
        if settings.get(name) is not None:
            raise ValueError(f"{name} is set, which Moebius's VAE does not have")
    blocks = _count(tensors, "encoder.down_blocks")
    return VAEConfig(
        in_channels=tensors["encoder.conv_in.weight"].shape[-1],
        out_channels=tensors["decoder.conv_out.weight"].shape[0],
        latent_channels=tensors["post_quant_conv.weight"].shape[0],
        block_out_channels=tuple(
            tensors[f"encoder.down_blocks.{i}.resnets.0.conv1.weight"].shape[0] for i in range(blocks)
        ),
        layers_per_block=_count(tensors, "encoder.down_blocks.0.resnets"),
        norm_num_groups=groups,
        scaling_factor=float(scale),
    )


def _groups(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"norm_num_groups is {value!r}")
    return value


def _reason(error: Exception, tensors: Tensors) -> str:
    """What an exception while reading the configuration means to the user."""
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]!r} (it has {', '.join(sorted(tensors)[:3])}, ...)"
    return str(error)


def unet_shapes(config: UNetConfig) -> Shapes:
    """Name -> shape of every parameter of the U-Net (lazy: nothing is allocated)."""
    return _shapes(config, UNet)


def vae_shapes(config: VAEConfig) -> Shapes:
    """Name -> shape of every parameter of the VAE."""
    return _shapes(config, AutoencoderKL)


def _shapes(config: C, network: Callable[[C], nn.Module]) -> Shapes:
    try:
        for value in astuple(config):
            if not all(0 < n <= MAX_CHANNELS for n in (value if isinstance(value, tuple) else [value])):
                raise ValueError(f"{str(value)[:100]} is no size")
        if max(config.layers_per_block, len(config.block_out_channels)) > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} layers or blocks")
        parameters: Any = tree_flatten(network(config).parameters())
        return {name: tuple(array.shape) for name, array in parameters}
    except (LookupError, ValueError, TypeError, ZeroDivisionError, OverflowError) as error:
        raise MoebiusError(f"no network has the configuration of this model: {error}") from None


def check_parameters(kind: str, tensors: Tensors, expected: Shapes) -> None:
    """Raise MoebiusError unless `tensors` have the expected names and shapes; it lists a few that are wrong."""
    problems = []
    for what, names in (
        ("missing", [name for name in expected if name not in tensors]),
        ("unexpected", [name for name in tensors if name not in expected]),
        (
            "of another shape",
            [
                f"{name} {list(tensors[name].shape)} instead of {list(shape)}"
                for name, shape in expected.items()
                if name in tensors and tensors[name].shape != shape
            ],
        ),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            problems.append(f"{what}: {', '.join(name[:160] for name in names[:3])}{more}")
    if problems:
        raise MoebiusError(f"not a Moebius {kind}: {'; '.join(problems)}")
