"""The U-Net of the released size: against the official code, and how far float16 and quantization are off."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
import pytest

from mlx_moebius.convert.mapping import map_unet
from mlx_moebius.convert.stored_tensor import STORAGE_DTYPES, StoredTensor
from mlx_moebius.networks.config import UNetConfig
from mlx_moebius.networks.layers import fuse
from mlx_moebius.networks.quantize import DEFAULTS, dequantize, outlines, quantize, settings_for
from mlx_moebius.networks.unet import UNet
from tests.networks.test_networks import TOLERANCE, unet_trace
from tests.support.golden import golden, load, relative_error, source

Mapped = tuple[UNetConfig, dict[str, StoredTensor]]
EXPECTED = golden("unet_full.npz")


@pytest.fixture(scope="module")
def released() -> Mapped:
    """Its configuration and weights, which take ten seconds to make."""
    config, tensors = map_unet(source("unet_full_keys.json"))
    return config, {
        name: StoredTensor(np.ascontiguousarray(tensor.raw), tensor.dtype) for name, tensor in tensors.items()
    }


@pytest.mark.slow
def test_unet_in_float32_and_float16(released: Mapped) -> None:
    config, tensors = released
    network = UNet(config)
    load(network, {name: tensor.raw for name, tensor in tensors.items()})
    for timestep in (900, 0):
        *blocks, out = unet_trace(network, "full", timestep)
        for index, block in enumerate(blocks):
            assert relative_error(block[:, ::32, ::4, ::4], EXPECTED[f"t{timestep}/block{index}"]) <= TOLERANCE
        assert relative_error(out, EXPECTED[f"t{timestep}/out"]) <= TOLERANCE
    network.compute_in(mx.float16)
    out = unet_trace(network, "full", 900, (1,))[-1]
    assert relative_error(out, EXPECTED["t900/out"][1:]) <= 3e-3


@pytest.mark.slow
def test_size_and_error_of_the_defaults_of_quantization(released: Mapped) -> None:
    config, tensors = released
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    full = 2 * sum(map(math.prod, shapes.values()))
    for bits, bound in ((8, 0.63), (4, 0.55)):
        quantization = DEFAULTS[bits]
        stored = outlines(shapes, "float16", quantization)
        arrays: dict[str, mx.array] = {}
        for name, tensor in tensors.items():
            if own := settings_for(name, tensor.shape, quantization):
                parts = [name.removesuffix("weight") + part for part in ("biases", "scales", "weight")]
                names = [part for part in parts if part in stored]
                arrays |= zip(names, map(mx.array, quantize(tensor.numpy(), "float16", own)), strict=True)
            else:
                arrays[name] = mx.array(np.ascontiguousarray(tensor.raw)).astype(mx.float16).astype(mx.float32)
        network = UNet(config)
        network.load_weights(list(dequantize(arrays, shapes, quantization).items()))
        fuse(network)
        del arrays
        out = unet_trace(network, "full", 900, (1,))[-1]
        size = sum(math.prod(shape) * np.dtype(STORAGE_DTYPES[dtype]).itemsize for shape, dtype in stored.values())
        error = relative_error(out, EXPECTED["t900/out"][1:])
        print(f"full {quantization}: {size / 1e6:.1f} MB, float16 {full / 1e6:.1f} MB, error {error:.2e}")
        assert size / full <= bound
        assert error <= 0.08  # these weights are random and amplify: rounding them to float16 already costs 0.005
