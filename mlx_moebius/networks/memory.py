"""How many windows the network takes at once within a limit of memory."""

from __future__ import annotations

import os
import resource
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.networks.unet import UNet
from mlx_moebius.networks.vae import STRIP_ELEMENTS, AutoencoderKL

MOST = 8  # more windows at once are not faster
SHARE = 0.6  # of the machine's memory, by default: the rest is for photos and other programs
ADDRESSES = 5 * 2**28  # bytes; measured on Linux: the bundled model hangs with 0.86 GB and works with 1.05
DENOISE = 75  # copies of the first block's activations; measured: 62 (released shapes), 72 (nano)
WHOLE, STRIP = 6, 33  # copies of the VAE's largest map, and of the strip of it that is convolved; measured on the CPU
FLOAT32 = 1.2  # what a loaded model takes, over its weights in float32; measured: 1.2 (released shapes), 1.1 (nano)


def check_address_space() -> None:
    """Raise MoebiusError where a limit (`ulimit -v`) leaves too little: MLX then hangs when it compiles kernels."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    if allowed != resource.RLIM_INFINITY and allowed < ADDRESSES:
        raise MoebiusError(
            f"this process may address {allowed / 2**30:.2f} GB and needs {ADDRESSES / 2**30:.2f}: raise `ulimit -v`"
        )


def device_memory() -> int:
    """Bytes that the device can use: on a GPU the most that MLX recommends, else what the machine has."""
    info: dict[str, Any] = dict(mx.device_info())
    known = info.get("max_recommended_working_set_size") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    return int(known) if allowed == resource.RLIM_INFINITY else min(int(known), allowed)


def needed(config: ModelConfig, windows: int) -> int:
    """Bytes that MLX holds at the peak of a run of that many windows at once, in float32, with guidance.

    Windows are encoded and decoded one by one, so only the denoising grows with their number. The factors are
    measured with `mx.get_peak_memory` and rounded up.
    """
    latents = config.unet.sample_size**2 * config.unet.block_out_channels[0] * 4
    largest = config.image_size**2 * config.vae.block_out_channels[0] * 4
    strip = min(largest, STRIP_ELEMENTS["cpu"] * 4)
    networks = UNet(config.unet), AutoencoderKL(config.vae)  # not computed yet: only their shapes are looked at
    parameters: Any = tree_flatten([network.parameters() for network in networks])
    weights = 4 * sum(array.size for _, array in parameters)
    return int(FLOAT32 * weights + max(DENOISE * latents * 2 * windows, WHOLE * largest + STRIP * strip))


def windows_within(config: ModelConfig, limit: int | None = None, beside: int = 0) -> int:
    """How many windows fit into `limit` bytes, at most `MOST`.

    By default into a share of the device's memory, or into what `beside` bytes (a photo) leave of it, if that is less.
    Raises MoebiusError when not even one does: MLX's CPU back end ends the process when memory runs out.
    """
    check_address_space()
    if limit is None:
        memory = device_memory()
        limit = max(0, min(int(memory * SHARE), memory - beside))
    fitting = [n for n in range(1, MOST + 1) if needed(config, n) <= limit]
    if not fitting:
        least = needed(config, 1)
        raise MoebiusError(
            f"the model needs {least / 2**30:.2f} GB and may take {limit / 2**30:.2f} GB: raise --memory-limit"
        )
    return fitting[-1]


def parse_size(text: str) -> int:
    """Bytes from "8GB", "900MB" or "8" (GB). Raises MoebiusError."""
    number = text.strip().upper().removesuffix("B")
    unit = {"G": 2**30, "M": 2**20}.get(number[-1:], 0)
    try:
        size = float(number[:-1] if unit else number) * (unit or 2**30)
    except ValueError:
        size = 0
    if not 0 < size < 2**60:
        raise MoebiusError(f'--memory-limit "{text}" is not a size such as 8GB or 900MB')
    return int(size)
