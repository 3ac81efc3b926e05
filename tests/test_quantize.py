"""Quantized model folders: their size, their error against float32, and that they are strict like any other."""

from __future__ import annotations

import json
import math
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from typer.testing import CliRunner

from mlx_moebius.config import ModelConfig, QuantizationConfig
from mlx_moebius.convert.__main__ import app
from mlx_moebius.convert.folder import convert_checkpoint, verify
from mlx_moebius.convert.quantize import (
    DEFAULTS,
    MODES,
    dequantize,
    outlines,
    quantization_config,
    quantize,
    settings_for,
)
from mlx_moebius.convert.mapping import map_unet
from mlx_moebius.convert.stored_tensor import STORAGE_DTYPES
from mlx_moebius.layers import fuse
from tests.golden import source
from mlx_moebius.errors import MoebiusError
from mlx_moebius.unet import UNet
from mlx_moebius.weights import load_diffusion
from tests.golden import DATA, golden, nchw, relative_error
from tests.test_diffusion import encoded, golden_noise
from tests.test_networks import unet_trace

NANO = DATA / "nano"
# Size of the U-Net's file against float16's, error of the latents after 20 steps against float32.
EVERY_MODE = {
    (8, 64, "affine"): (0.70, 0.01),
    (8, 32, "affine"): (0.70, 0.01),
    (8, 32, "mxfp8"): (0.66, 0.03),
    (4, 32, "affine"): (0.60, 0.03),
    (4, 64, "affine"): (0.60, 0.03),
    (4, 32, "mxfp4"): (0.60, 0.03),
    (4, 16, "nvfp4"): (0.60, 0.03),
}


@pytest.mark.parametrize(("settings", "bounds"), EVERY_MODE.items(), ids=str)
def test_size_and_error_of_the_bundled_model(
    settings: tuple[int, int, str], bounds: tuple[float, float], tmp_path: Path
) -> None:
    config = convert_checkpoint(NANO, NANO / "vae", tmp_path / "q", quantization=QuantizationConfig(*settings))
    unet, vae = verify(tmp_path / "q")
    assert config.quantization == ModelConfig.load(tmp_path / "q").quantization == QuantizationConfig(*settings)
    assert unet.parameters == 2_313_661

    data, noise = golden("nano/golden.npz"), golden_noise("nano", 3)
    diffusion = load_diffusion(tmp_path / "q", "float32")
    batch = encoded(diffusion, data, 3, noise)
    *_, last = diffusion.denoise(batch, noise, num_steps=20, guidance_scale=2.0, strength=0.99)
    size, error = unet.size / 4_754_474, relative_error(nchw(last.latents), data["latents"])
    picture = relative_error(nchw(diffusion.decode(last.latents)), data["decoded"])
    print(f"nano {settings}: {unet.size:,} bytes, {size:.3f} of float16, latents {error:.2e}, picture {picture:.2e}")
    assert size <= bounds[0]
    assert error <= bounds[1]


@pytest.mark.slow
@pytest.mark.parametrize("settings", EVERY_MODE, ids=str)
def test_size_and_error_at_the_released_size(settings: tuple[int, int, str]) -> None:
    config, tensors = map_unet(source("unet_full_keys.json"))
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    quantization = QuantizationConfig(*settings)
    stored = outlines(shapes, "float16", quantization)
    arrays = {}
    for name, tensor in tensors.items():
        if own := settings_for(name, tensor.shape, quantization):
            names = [each for each in stored if each.rpartition(".")[0] == name.rpartition(".")[0]]
            arrays |= zip(names, map(mx.array, quantize(tensor.numpy(), "float16", own)), strict=True)
        else:
            arrays[name] = mx.array(np.ascontiguousarray(tensor.raw)).astype(mx.float16).astype(mx.float32)
    network = UNet(config)
    network.load_weights(list(dequantize(arrays, shapes, quantization).items()))
    fuse(network)
    del arrays
    out = unet_trace(network, "full", 900)[-1]
    size = sum(math.prod(shape) * np.dtype(STORAGE_DTYPES[dtype]).itemsize for shape, dtype in stored.values())
    error = relative_error(out, golden("unet_full.npz")["t900/out"])
    print(f"full {settings}: {size / 1e6:.1f} MB (float16: {2 * sum(map(math.prod, shapes.values())) / 1e6:.1f}), {error:.2e}")
