"""Load a model folder into networks that are ready to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.config import UNET_NAME, VAE_NAME, ModelConfig, QuantizationConfig
from mlx_moebius.networks.diffusion import Diffusion
from mlx_moebius.networks.layers import M, fuse
from mlx_moebius.networks.quantize import check_settings, dequantize
from mlx_moebius.networks.threads import prepare_thread
from mlx_moebius.networks.unet import UNet
from mlx_moebius.networks.vae import AutoencoderKL

DTYPES = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}


def default_dtype() -> str:
    """float16 where a GPU computes in it at full speed, float32 on a CPU."""
    return "float32" if mx.default_device().type == mx.DeviceType.cpu else "float16"


def load_diffusion(folder: Path, dtype: str | None = None) -> Diffusion:
    """Read a model folder that the converter wrote.

    The U-Net computes in `dtype` ("float32", "float16", "bfloat16"; by default `default_dtype`). The VAE always
    computes in float32: the SDXL VAE's activations overflow float16.

    Raises MoebiusError when the folder is not a complete model.
    """
    config = ModelConfig.load(folder)
    check_settings(config.quantization)
    if any(width % config.vae.norm_num_groups for width in config.vae.block_out_channels):  # weights do not tell groups
        raise MoebiusError(f"{folder}: the VAE's widths are no multiples of its groups; convert with its own settings")
    unet = load_strict(UNet(config.unet), folder / UNET_NAME, config.quantization)
    vae = load_strict(AutoencoderKL(config.vae), folder / VAE_NAME)
    return Diffusion(unet, vae, config, DTYPES[dtype or default_dtype()])


def load_strict(model: M, path: Path, quantization: QuantizationConfig | None = None) -> M:
    """Fill a model from a safetensors file, every name and shape as declared, in float32, and fuse it."""
    prepare_thread()
    try:
        weights = mx.load(str(path))
        assert isinstance(weights, dict)
        if quantization is not None:
            parameters: Any = tree_flatten(model.parameters())
            weights = dequantize(weights, {name: array.shape for name, array in parameters}, quantization)
        model.load_weights([(name, array.astype(mx.float32)) for name, array in weights.items()], strict=True)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MoebiusError(f"{path} is missing or damaged ({reason}); convert or download the model again") from None
    mx.eval(fuse(model).parameters())
    return model
