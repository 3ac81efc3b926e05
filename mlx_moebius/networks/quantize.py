"""The U-Net's matrices in 8 or 4 bits: a smaller file, which loading turns back into float32.

Quantization is for storage only: at these shapes a step is bound by arithmetic, and products with quantized weights are
not faster. As in `nn.QuantizedLinear`, a matrix `NAME.weight` [out, in] becomes `NAME.weight` (packed in uint32),
`NAME.scales` and, for "affine", `NAME.biases`, with one scale for every `group_size` weights along a row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.config import QuantizationConfig

Array = npt.NDArray[Any]
Outlines = dict[str, tuple[tuple[int, ...], str]]
"""Name of a stored array -> its shape and dtype."""

# mode -> bits -> group sizes that MLX has
MODES: dict[str, dict[int, tuple[int, ...]]] = {
    "affine": {8: (32, 64, 128), 4: (32, 64, 128)},
    "mxfp8": {8: (32,)},
    "mxfp4": {4: (32,)},
    "nvfp4": {4: (16,)},
}
# The 8-bit settings are also those of the matrices that suffer in a 4-bit file, so they are part of the format.
DEFAULTS = {8: QuantizationConfig(8, 64, "affine"), 4: QuantizationConfig(4, 32, "affine")}
# Chosen by the error of the released U-Net's output when only one kind of matrix is stored in 4 bits: 0.004 for the
# feed-forward layers, which hold half of all weights; 0.05 to 0.45 for every other kind.
FOUR_BITS = re.compile(r".+\.ff\.(inverted_conv|point_conv)\.conv\.weight")
LEFT_ALONE = re.compile(r"(conv_in|conv_out|embedding_layer|encoder_hid_proj)\..+|.+\.to_v\.weight")


def quantization_config(bits: int, group_size: int | None, mode: str | None) -> QuantizationConfig:
    """The settings asked for, with what was left out filled in from DEFAULTS (or the mode's only choice)."""
    if bits not in DEFAULTS:
        raise MoebiusError(f"cannot quantize to {bits} bits; choose 8 or 4")
    mode = mode or DEFAULTS[bits].mode
    if bits not in MODES.get(mode, {}):
        modes = ", ".join(name for name, choices in MODES.items() if bits in choices)
        raise MoebiusError(f"there is no quantization mode {mode!r} with {bits} bits; choose one of {modes}")
    sizes = MODES[mode][bits]
    default = DEFAULTS[bits].group_size
    size = group_size or (default if default in sizes else sizes[0])
    if size not in sizes:
        raise MoebiusError(f"{mode} with {bits} bits takes groups of {' or '.join(map(str, sizes))}, not {size}")
    return QuantizationConfig(bits, size, mode)


def check_settings(settings: QuantizationConfig | None) -> None:
    """Raise MoebiusError for settings, read from a file, that MLX does not have."""
    if settings is not None:
        sizes = MODES.get(str(settings.mode), {}).get(settings.bits, ()) if type(settings.bits) is int else ()
        if settings.group_size not in sizes:
            raise MoebiusError(f"there is no {settings}; convert the model again")


def settings_for(name: str, shape: tuple[int, ...], settings: QuantizationConfig | None) -> QuantizationConfig | None:
    """How a parameter is stored; None if it is not quantized.

    Matrices whose rows divide into groups are quantized, except LEFT_ALONE. Where 4 bits are asked for, only FOUR_BITS
    get them, the other matrices 8.
    """
    if settings is None or len(shape) != 2 or not name.endswith(".weight") or LEFT_ALONE.fullmatch(name):
        return None
    if settings.bits == 4 and not FOUR_BITS.fullmatch(name):
        settings = DEFAULTS[8]
    return settings if shape[1] % settings.group_size == 0 else None


def outlines(shapes: Mapping[str, tuple[int, ...]], dtype: str, settings: QuantizationConfig | None) -> Outlines:
    """The arrays that a file holds for a network's parameters."""
    stored: Outlines = {}
    for name, shape in shapes.items():
        if (chosen := settings_for(name, shape, settings)) is None:
            stored[name] = (shape, dtype)
            continue
        base, groups = name.removesuffix("weight"), (shape[0], shape[1] // chosen.group_size)
        if chosen.mode == "affine":
            stored[base + "biases"] = (groups, dtype)
        stored[base + "scales"] = (groups, dtype if chosen.mode == "affine" else "uint8")
        stored[name] = ((shape[0], shape[1] * chosen.bits // 32), "uint32")
    return stored


def quantize(weight: Array, dtype: str, settings: QuantizationConfig) -> list[Array]:
    """A matrix's arrays in the order of `outlines`: [biases,] scales, weight. "affine": the first two in `dtype`."""
    matrix = mx.array(np.ascontiguousarray(weight, np.float32)).astype(getattr(mx, dtype))
    parts = mx.quantize(matrix, settings.group_size, settings.bits, settings.mode)
    bits = [part.view(mx.uint16) if part.dtype == mx.bfloat16 else part for part in parts]
    return [np.array(part) for part in reversed(bits)]


def dequantize(
    weights: dict[str, mx.array], shapes: Mapping[str, tuple[int, ...]], settings: QuantizationConfig
) -> dict[str, mx.array]:
    """Restore every quantized matrix of a file in float32. `shapes` are those of the network's parameters."""
    weights = dict(weights)
    for name, shape in shapes.items():
        if (chosen := settings_for(name, shape, settings)) is None:
            continue
        base = name.removesuffix("weight")
        scales, biases = weights.pop(base + "scales"), None
        if chosen.mode == "affine":
            scales, biases = scales.astype(mx.float32), weights.pop(base + "biases").astype(mx.float32)
        weights[name] = mx.dequantize(
            weights[name], scales, biases, chosen.group_size, chosen.bits, chosen.mode, dtype=mx.float32
        )
    return weights
