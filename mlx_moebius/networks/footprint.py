"""How much memory a run of the network takes, and how many crops fit into a limit at once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from mlx_moebius import memory
from mlx_moebius.errors import MORE, Change, MoebiusError
from mlx_moebius.networks.config import ModelConfig, UNetConfig, VAEConfig
from mlx_moebius.networks.unet import UNet
from mlx_moebius.networks.vae import STRIP_ELEMENTS, AutoencoderKL

MOST = 8  # more crops at once are not faster
SHARE = 0.6  # of the machine's memory, by default: the rest is for photos and other programs
DENOISE = 75  # copies of the first block's activations; measured: 62 (released shapes), 72 (nano)
WHOLE, STRIP = 6, 33  # copies of the VAE's largest map, and of the strip of it that is convolved; measured on the CPU
FLOAT32 = 1.2  # what a loaded model takes, over its weights in float32; measured: 1.2 (released shapes), 1.1 (nano)


def device_memory() -> int:
    """Bytes that the device can use: on a GPU the most that MLX recommends, else what the machine has."""
    info: dict[str, Any] = dict(mx.device_info())
    recommended = info.get("max_recommended_working_set_size")
    return memory.within_limits(int(recommended)) if recommended else memory.available()


def needed(config: ModelConfig, crops: int) -> int:
    """Bytes that MLX holds at the peak of a run on so many crops at once, in float32, with guidance.

    Crops are encoded and decoded one by one, so only the memory for denoising grows with their number. The factors were
    measured with `mx.get_peak_memory` and rounded up.
    """
    latents = config.unet.sample_size**2 * config.unet.block_out_channels[0] * 4
    largest = config.image_size**2 * config.vae.block_out_channels[0] * 4
    strip = min(largest, STRIP_ELEMENTS["cpu"] * 4)
    weights = float32_bytes(config.unet) + float32_bytes(config.vae)
    return int(FLOAT32 * weights + max(DENOISE * latents * 2 * crops, WHOLE * largest + STRIP * strip))


@lru_cache(maxsize=16)
def float32_bytes(config: UNetConfig | VAEConfig) -> int:
    """Bytes of a network's weights in float32. Only their shapes are read: no array is computed."""
    network = UNet(config) if isinstance(config, UNetConfig) else AutoencoderKL(config)
    parameters: Any = tree_flatten(network.parameters())
    return 4 * sum(array.size for _, array in parameters)


def crops_within(config: ModelConfig, limit: int | None = None, beside: int = 0) -> int:
    """How many crops fit into `limit` bytes, at most `MOST`.

    The default limit is a share of the device's memory, or what `beside` bytes (a photo) leave of it, if that is less.
    Raises MoebiusError when not even one fits: MLX's CPU back end ends the process when memory runs out.
    """
    memory.check_address_space()
    if limit is None:
        memory_size = device_memory()
        limit = max(0, min(int(memory_size * SHARE), memory_size - beside))
    fitting = [n for n in range(1, MOST + 1) if needed(config, n) <= limit]
    if not fitting:
        least = needed(config, 1)
        raise MoebiusError(
            f"the model needs {least / 2**30:.2f} GB and may take {limit / 2**30:.2f} GB",
            "close other programs",
            Change("memory_limit", MORE),
        )
    return fitting[-1]
