"""Each building block against the official module, on the same weights."""

from __future__ import annotations

import json

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.lambdas import CrossLambda, SelfLambda
from mlx_moebius.networks.layers import DepthwiseSeparableConv, FeedForward, Resnet, Upsample
from mlx_moebius.networks.local_term import IMPLS, choose_impl, local_term
from mlx_moebius.networks.unet import Downsample, TimeEmbedding, sinusoidal_embedding
from tests.support.fill import fill, inputs
from tests.support.golden import DATA, golden, load, nchw, nhwc, relative_error

TOLERANCE = 5e-6


def mlx_layout(name: str, array: np.ndarray) -> np.ndarray:
    """Told by rank, independently of the converter's table."""
    if name.endswith("rel_pos_emb"):
        return array[..., 0]
    if array.ndim == 5:
        return array[:, 0, 0]
    if array.ndim == 4:
        return array[:, :, 0, 0] if array.shape[2:] == (1, 1) else array.transpose(0, 2, 3, 1)
    return array


def prepared(module: nn.Module, name: str) -> tuple[nn.Module, dict[str, np.ndarray]]:
    """The module with its golden weights, and its golden inputs and output."""
    shapes = json.loads((DATA / "modules.json").read_text())[name]
    weights = {
        key: mlx_layout(key, fill(f"{name}.{key}", tuple(shape)))
        for key, shape in shapes.items()
        if not key.endswith("num_batches_tracked")
    }
    load(module, weights)
    prefix = f"{name}/"
    return module, {key[len(prefix) :]: a for key, a in golden("modules.npz").items() if key.startswith(prefix)}


def grid(positions: np.ndarray) -> mx.array:
    """[B, N, C] with N a square number -> [B, H, W, C]."""
    B, N, C = positions.shape
    return mx.array(positions.reshape(B, int(N**0.5), int(N**0.5), C))


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("kernel", [15, 7])
def test_local_implementations_agree(kernel: int, impl: str) -> None:
    q, v = (mx.array(inputs(f"local_{name}", (2, 12, 16, 4 * 6))) for name in "qv")
    offsets = mx.array(inputs("local_w", (6, kernel * kernel)))
    y = mx.array(inputs("local_y", (2, 12, 16, 4, 24)))
    q = q.reshape(2, 12, 16, 4, 6)
    choose_impl("windows")
    expected = np.asarray(local_term(q, offsets, v, kernel, y))
    choose_impl(impl)
    try:
        assert relative_error(local_term(q, offsets, v, kernel, y), expected) <= 2e-6
    finally:
        choose_impl(None)


def test_unknown_local_implementation() -> None:
    with pytest.raises(MoebiusError, match="windows, bands, dense, conv"):
        choose_impl("fast")


@pytest.mark.parametrize(("name", "kernel"), [("self_lambda", 15), ("self_lambda_r7", 7)])
def test_self_lambda(name: str, kernel: int) -> None:
    module, data = prepared(SelfLambda(48, 8, kernel), name)
    out = module(grid(data["in/x"]))
    assert relative_error(out.reshape(data["out"].shape), data["out"]) <= TOLERANCE


def test_cross_lambda() -> None:
    module, data = prepared(CrossLambda(48, 8, 10, 24, 144), "cross_lambda")
    out = module(grid(data["in/x"]), *module.condition(mx.array(data["in/tokens"])))
    assert relative_error(out.reshape(data["out"].shape), data["out"]) <= TOLERANCE


def test_cross_lambda_of_an_input_shared_by_both_branches() -> None:
    module, data = prepared(CrossLambda(48, 8, 10, 24, 144), "cross_lambda")
    constants = module.condition(mx.array(data["in/tokens"]))
    x = grid(data["in/x"])[:1]
    shared, repeated = module(x, *constants, shared=True), module(mx.concatenate([x, x]), *constants)
    assert relative_error(shared, np.asarray(repeated)) <= TOLERANCE
    assert relative_error(shared[1:], np.asarray(shared[:1])) > 0.1  # the branches do differ


@pytest.mark.parametrize(("name", "widths"), [("ds_conv_skip", (32, 32)), ("ds_conv_noskip", (32, 64))])
def test_depthwise_separable_conv(name: str, widths: tuple[int, int]) -> None:
    module, data = prepared(DepthwiseSeparableConv(*widths), name)
    assert relative_error(nchw(module(nhwc(data["in/x"]))), data["out"]) <= TOLERANCE


@pytest.mark.parametrize(("name", "widths"), [("resnet_same", (64, 64)), ("resnet_shortcut", (96, 64))])
def test_resnet(name: str, widths: tuple[int, int]) -> None:
    module, data = prepared(Resnet(*widths, time_channels=40, groups=32), name)
    out = module(nhwc(data["in/x"]), module.time_shift(mx.array(data["in/temb"])))
    assert relative_error(nchw(out), data["out"]) <= TOLERANCE


def test_feed_forward() -> None:
    module, data = prepared(FeedForward(32, 2.5), "glu_mbconv")
    out = module(grid(data["in/x"]), mx.zeros((2, 10, 10, 32)))
    assert relative_error(out.reshape(data["out"].shape), data["out"]) <= TOLERANCE


@pytest.mark.parametrize(("name", "module"), [("downsample", Downsample(32)), ("upsample", Upsample(32))])
def test_resampling(name: str, module: nn.Module) -> None:
    module, data = prepared(module, name)
    assert relative_error(nchw(module(nhwc(data["in/x"]))), data["out"]) <= TOLERANCE


def test_sinusoidal_embedding() -> None:
    data = golden("modules.npz")
    out = sinusoidal_embedding(mx.array(data["timesteps/in/t"]), 320)
    assert relative_error(out, data["timesteps/out"]) <= TOLERANCE


def test_time_embedding() -> None:
    module, data = prepared(TimeEmbedding(320, 1280), "time_embedding")
    assert relative_error(module(mx.array(data["in/x"])), data["out"]) <= TOLERANCE
