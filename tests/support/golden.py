"""Networks with the weights that the golden outputs were computed with."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_moebius.convert.mapping import map_unet, map_vae
from mlx_moebius.convert.stored_tensor import StoredTensor
from mlx_moebius.networks.config import VAEConfig
from mlx_moebius.networks.layers import fuse
from mlx_moebius.networks.unet import UNet
from mlx_moebius.networks.vae import AutoencoderKL
from tests.support.fill import fill

DATA = Path(__file__).parents[1] / "data"


def golden(name: str) -> dict[str, np.ndarray]:
    """A golden file's arrays."""
    with np.load(DATA / name) as file:
        return dict(file)


def relative_error(actual: mx.array | np.ndarray, expected: np.ndarray) -> float:
    """Relative L2 error, in float64."""
    difference = np.asarray(actual, np.float64) - expected
    return float(np.linalg.norm(difference) / np.linalg.norm(expected))


def nhwc(array: np.ndarray) -> mx.array:
    """A PyTorch image batch for MLX."""
    return mx.array(array.transpose(0, 2, 3, 1))


def nchw(array: mx.array) -> np.ndarray:
    """An MLX image batch for comparison with PyTorch's."""
    return np.asarray(array.astype(mx.float32)).transpose(0, 3, 1, 2)


def load(network: nn.Module, weights: dict[str, np.ndarray]) -> None:
    """Strictly load and fuse."""
    network.load_weights([(name, mx.array(np.ascontiguousarray(array))) for name, array in weights.items()])
    fuse(network)
    mx.eval(network.parameters())


def source(keys: str, prefix: str = "") -> dict[str, StoredTensor]:
    """The checkpoint behind a golden file, in PyTorch's names and layouts."""
    shapes = json.loads((DATA / keys).read_text())
    return {name: StoredTensor(fill(prefix + name, tuple(shape)), dtype) for name, (shape, dtype) in shapes.items()}


def golden_unet(size: str) -> UNet:
    """The "tiny" or the "full" U-Net of the golden files, mapped as the converter maps a checkpoint."""
    config, tensors = map_unet(source(f"unet_{size}_keys.json"))
    network = UNet(config)
    load(network, {name: tensor.raw for name, tensor in tensors.items()})
    return network


def golden_vae(size: str) -> tuple[AutoencoderKL, VAEConfig]:
    """The "tiny" or the "full" VAE of the golden files."""
    settings = json.loads((DATA / f"vae_{size}_config.json").read_text())
    config, tensors = map_vae(source(f"vae_{size}_keys.json", "vae."), settings)
    network = AutoencoderKL(config)
    load(network, {name: tensor.raw for name, tensor in tensors.items()})
    return network, config
