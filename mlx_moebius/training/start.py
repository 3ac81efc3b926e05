"""Where a run starts: a model's weights to go on from, or a new network of the family with random ones."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_moebius.convert.folder import CONVERTER_VERSION, file_record
from mlx_moebius.convert.mapping import unet_shapes
from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.config import (
    UNET_NAME,
    VAE_NAME,
    FileRecord,
    ModelConfig,
    SamplingConfig,
    SchedulerConfig,
    UNetConfig,
)
from mlx_moebius.networks.unet import UNet
from mlx_moebius.networks.vae import AutoencoderKL
from mlx_moebius.networks.weights import load_strict
from mlx_moebius.schema import build
from mlx_moebius.training.network import Arrays, put

# The rest are convolutions.
LINEAR = ("encoder_hid_proj", "time_embedding", "time_emb_proj", "attn2.to_k", "attn2.to_v")


def load_unfused(folder: Path) -> tuple[UNet, ModelConfig]:
    """A model folder's U-Net in float32, not fused, and its configuration.

    Raises MoebiusError for a quantized model, whose weights are rounded too far to learn from.
    """
    config = ModelConfig.load(folder)
    if config.quantization is not None:
        raise MoebiusError(f"{folder} is quantized and cannot be trained: give the model that it was made from")
    unet = UNet(config.unet)
    try:
        weights = mx.load(str(folder / UNET_NAME))
        assert isinstance(weights, dict)
        unet.load_weights([(name, array.astype(mx.float32)) for name, array in weights.items()], strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MoebiusError(f"{folder / UNET_NAME} is missing or damaged ({reason})") from None
    mx.eval(unet.parameters())
    return unet, replace(config, sources=sources(folder, (UNET_NAME, VAE_NAME)))


def sources(folder: Path, names: tuple[str, ...]) -> tuple[FileRecord, ...]:
    """Files of a model folder as what another model is made from, "places2/vae.safetensors"."""
    found = (file_record(folder / name, name) for name in names)
    return tuple(replace(file, name=f"{folder.name}/{file.name}") for file in found)


def load_vae(folder: Path) -> AutoencoderKL:
    """A model folder's VAE in float32."""
    return load_strict(AutoencoderKL(ModelConfig.load(folder).vae), folder / VAE_NAME)


def new_config(path: Path, vae_folder: Path, has_objects: bool) -> ModelConfig:
    """The configuration of a new model from a JSON file and the VAE that it will use.

    The file holds settings of the U-Net, or "unet", "scheduler" and "sampling" with their settings; what it leaves
    out is the released model's, channels follow from the VAE. Raises MoebiusError.
    """
    base = ModelConfig.load(vae_folder)
    latent = base.vae.latent_channels
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        parts = values if "unet" in values else {"unet": values}
        unet = build(UNetConfig, {"in_channels": 2 * latent + 1, "out_channels": latent, **parts["unet"]})
        # Guidance contrasts background with foreground; without objects only background is learnt.
        sampling = {"guidance_scale": SamplingConfig().guidance_scale if has_objects else 1.0}
        config = ModelConfig(
            unet=unet,
            vae=base.vae,
            scheduler=build(SchedulerConfig, parts.get("scheduler", {})),
            sampling=build(SamplingConfig, sampling | parts.get("sampling", {})),
            dtype=base.dtype,  # of both files, and the VAE's is copied
            converter_version=CONVERTER_VERSION,
        )
    except OSError as error:
        raise MoebiusError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise MoebiusError(f"{path} is not the configuration of a network: {error}") from None
    unet_shapes(config.unet)  # raises where sizes do not fit
    if (unet.in_channels, unet.out_channels) != (2 * latent + 1, latent):
        raise MoebiusError(f"{path}: a VAE of {latent} channels wants {2 * latent + 1} channels in and {latent} out")
    return replace(config, sources=sources(vae_folder, (VAE_NAME,)))


def new_unet(config: UNetConfig, seed: int) -> UNet:
    """A network with random weights, as the official trainer starts one."""
    unet = UNet(config)
    put(unet, initial_weights(unet_shapes(config), seed))
    mx.eval(unet.parameters())
    return unet


def initial_weights(shapes: dict[str, tuple[int, ...]], seed: int) -> Arrays:
    """Linears uniform after Xavier with bias 0, convolutions uniform within 1 / sqrt(fan in), tables normal."""
    rng = np.random.default_rng((seed, 3))
    weights: Arrays = {}
    for name, shape in sorted(shapes.items()):
        owner, _, kind = name.rpartition(".")
        beside = shapes.get(f"{owner}.weight", ())
        fan_in = math.prod(beside[1:])
        if kind == "rel_pos_emb" or owner == "embedding_layer":
            values = rng.standard_normal(shape)
        elif len(beside) < 2:  # a normalisation
            values = np.full(shape, float(kind in ("weight", "running_var")))
        elif any(part in owner for part in LINEAR):
            values = rng.uniform(-1, 1, shape) * math.sqrt(6 / (shape[0] + fan_in)) * (kind == "weight")
        else:
            values = rng.uniform(-1, 1, shape) / math.sqrt(fan_in)
        weights[name] = mx.array(values.astype(np.float32))
    return weights
