"""A model folder whose network computes in milliseconds: for tests of files, folders and processes, not of pictures."""

from __future__ import annotations

import atexit
import tempfile
from functools import cache
from pathlib import Path

from mlx_moebius.convert.folder import write_network
from mlx_moebius.convert.mapping import unet_shapes, vae_shapes
from mlx_moebius.convert.stored_tensor import StoredTensor, Tensors
from mlx_moebius.networks.config import (
    CONFIG_NAME,
    UNET_NAME,
    VAE_NAME,
    ModelConfig,
    SamplingConfig,
    UNetConfig,
    VAEConfig,
)
from tests.support.fill import fill

UNET = UNetConfig(
    block_out_channels=(32, 32),
    layers_per_block=1,
    encoder_hid_dim=16,
    cross_attention_dim=16,
    sample_size=16,  # 32 pixels
    local_kernel_size=3,
)
VAE = VAEConfig(block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4)


@cache
def tiny() -> str:
    """The model folder's path; it is removed when the process ends."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return str(write_tiny(Path(folder.name, "tiny")))


def write_tiny(folder: Path) -> Path:
    """Write the model folder."""
    folder.mkdir()
    files = tuple(
        write_network(folder / name, _weights(shapes), "float32", None)
        for name, shapes in ((UNET_NAME, unet_shapes(UNET)), (VAE_NAME, vae_shapes(VAE)))
    )
    sampling = SamplingConfig(num_steps=1, guidance_scale=1.0, strength=1.0)
    ModelConfig(UNET, VAE, sampling=sampling, dtype="float32", converter_version="2", files=files).save(
        folder / CONFIG_NAME
    )
    return folder


def _weights(shapes: dict[str, tuple[int, ...]]) -> Tensors:
    return {name: StoredTensor(fill(name, shape), "float32") for name, shape in shapes.items()}
