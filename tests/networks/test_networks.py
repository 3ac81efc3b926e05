"""The whole U-Net and VAE against the official code, small and at the released size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from mlx_moebius.networks.kernels import CONVS, Padding, choose_conv
from mlx_moebius.networks.unet import BACKGROUND_TOKENS, FOREGROUND_TOKENS, UNet
from mlx_moebius.networks.vae import STRIP_ELEMENTS
from tests.support.fill import inputs
from tests.support.golden import golden, golden_unet, golden_vae, nchw, nhwc, relative_error

FULL_VAE = [pytest.param("full", None, marks=pytest.mark.slow)]
TOLERANCE = 1e-5
# OpenBLAS sums in an order that depends on processor and shape: up to 2.4e-6 with its AVX2 kernels for Zen.
BATCH_TOLERANCE = 4e-6
BRANCHES = [list(FOREGROUND_TOKENS), list(BACKGROUND_TOKENS)]


@pytest.fixture(autouse=True)
def default_forms() -> Iterator[None]:
    yield
    choose_conv(None)


def unet_trace(network: UNet, size: str, timestep: int, samples: tuple[int, ...] = (0, 1)) -> list[np.ndarray]:
    """Block outputs and output for a golden input, whose first sample is unconditional, its second conditional."""
    side = network.config.sample_size
    x = nhwc(inputs(f"unet_{size}_{timestep}", (2, 9, side, side)))
    shifts = network.time_shifts(mx.array([timestep]))
    traced = []
    for sample in samples:
        outputs = network.trace(x[sample : sample + 1], shifts, network.condition(mx.array([BRANCHES[sample]])))
        mx.eval(outputs)
        traced.append([nchw(output) for output in outputs])
    return [np.concatenate(parts) for parts in zip(*traced, strict=True)]


def test_unet() -> None:
    """The released size is in `test_released_size.py`."""
    network, expected = golden_unet("tiny"), golden("unet_tiny.npz")
    for timestep in (0, 450, 900):
        *blocks, out = unet_trace(network, "tiny", timestep)
        for index, block in enumerate(blocks):
            assert relative_error(block, expected[f"t{timestep}/block{index}"]) <= TOLERANCE
        assert relative_error(out, expected[f"t{timestep}/out"]) <= TOLERANCE


def test_guidance_branches_in_one_batch_equal_separate_runs() -> None:
    network = golden_unet("tiny")
    x = nhwc(inputs("unet_tiny_450", (2, 9, 16, 16)))
    shifts = network.time_shifts(mx.array([450]))
    together = network(x, shifts, network.condition(mx.array(BRANCHES))).noise
    apart = [network(x, shifts, network.condition(mx.array([ids]))).noise for ids in BRANCHES]
    assert relative_error(together, np.asarray(mx.concatenate(apart))) <= BATCH_TOLERANCE


def test_one_timestep_a_sample() -> None:
    network = golden_unet("tiny")
    x = nhwc(inputs("unet_tiny_450", (2, 9, 16, 16)))
    constants = network.condition(mx.array(BRANCHES))
    shifts = network.time_shifts(mx.array([450, 7]))
    together = network(x, shifts, constants).noise
    apart = [network(x[i : i + 1], shifts[i : i + 1], constants).noise for i in range(2)]
    expected = mx.concatenate([apart[0][:1], apart[1][:1], apart[0][1:], apart[1][1:]])
    assert relative_error(together, np.asarray(expected)) <= BATCH_TOLERANCE


def test_features_of_the_same_step_change_nothing() -> None:
    network = golden_unet("tiny")
    x, constants = nhwc(inputs("unet_tiny_450", (2, 9, 16, 16))), network.condition(mx.array(BRANCHES))
    shifts = network.time_shifts(mx.array([450]))
    noise, features = network(x, shifts, constants)
    again = network(x, shifts, constants, features).noise
    assert relative_error(again, np.asarray(noise)) <= 1e-6
    assert relative_error(network(x, shifts, constants, features + 1).noise, np.asarray(noise)) > 1e-3


@pytest.mark.parametrize(("dtype", "bound"), [(mx.float16, 1e-2), (mx.bfloat16, 8e-2)])
def test_half_precision_tiny_unet(dtype: mx.Dtype, bound: float) -> None:
    network = golden_unet("tiny")
    network.compute_in(dtype)
    out = unet_trace(network, "tiny", 450)[-1]
    assert relative_error(out, golden("unet_tiny.npz")["t450/out"]) <= bound


def test_inference_form_has_no_batch_norm() -> None:
    names = dict(tree_flatten(golden_unet("tiny").parameters())).keys()
    assert not [name for name in names if "bn" in name or "running" in name or "norm_q" in name]


@pytest.mark.parametrize(("size", "conv"), [("tiny", "conv2d"), ("tiny", "implicit_gemm"), *FULL_VAE])
def test_vae(size: str, conv: str | None) -> None:
    choose_conv(conv)
    network, _ = golden_vae(size)
    expected, side = golden(f"vae_{size}.npz"), 64 if size == "tiny" else 512
    image = nhwc(np.tanh(inputs(f"vae_{size}_image", (1, 3, side, side))))
    mean, logvar = network.encode(image)
    assert relative_error(nchw(mx.concatenate([mean, logvar], axis=-1)), expected["moments"]) <= TOLERANCE
    decoded = nchw(network.decode(nhwc(inputs(f"vae_{size}_latent", (1, 4, side // 8, side // 8)))))
    if size == "tiny":
        assert relative_error(decoded, expected["decoded"]) <= TOLERANCE
    else:
        assert relative_error(decoded[..., ::8, ::8], expected["decoded_every8"]) <= TOLERANCE
        assert relative_error(decoded[..., :48, :48], expected["decoded_corner"]) <= TOLERANCE


def test_row_strips_do_not_change_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    network, _ = golden_vae("tiny")
    image = nhwc(np.tanh(inputs("vae_tiny_image", (1, 3, 64, 64))))
    latents = nhwc(inputs("vae_tiny_latent", (1, 4, 8, 8)))
    results = []
    for elements in (2**30, 5000):
        monkeypatch.setitem(STRIP_ELEMENTS, "cpu", elements)
        monkeypatch.setitem(STRIP_ELEMENTS, "gpu", elements)
        results.append((network.encode(image)[0], network.decode(latents)))
    for whole, strips in zip(*results, strict=True):
        assert relative_error(strips, np.asarray(whole)) <= 2e-6


@pytest.mark.parametrize(("stride", "padding"), [(1, ([1, 1], [1, 1])), (1, ([0, 1], [1, 1])), (2, ([0, 0], [1, 1]))])
def test_forms_of_convolution_agree(stride: int, padding: Padding) -> None:
    x, weight = nhwc(inputs("x", (2, 6, 8, 10))), mx.array(inputs("w", (4, 3, 3, 6)))
    expected, *others = (np.asarray(convolve(x, weight, stride, padding)) for convolve in CONVS.values())
    for other in others:
        assert relative_error(mx.array(other), expected) <= 1e-6


@pytest.mark.parametrize("channels", [3, 32, 256])
@pytest.mark.parametrize("pictures", [1, 2])
def test_the_exact_form_is_no_winograd_whatever_the_batch(channels: int, pictures: int) -> None:
    """MLX's Metal back end takes Winograd for multiples of 32 channels, and an implicit product for those of 16."""
    shapes = []

    def visit(node: dict[str, Any]) -> None:
        if node.get("name") == "Convolution":
            shapes.append([shape for _, shape, _ in node["inputs"]])

    x, weight = mx.zeros((pictures, 64, 64, channels)), mx.zeros((256, 3, 3, channels))
    mx.export_function(visit, lambda x, w: CONVS["implicit_gemm"](x, w, 1, ([1, 1], [1, 1])), x, weight)
    [(picture, kernel)] = shapes
    assert len(picture) == len(kernel) == 4
    assert picture[-1] == kernel[-1] >= channels
    assert picture[-1] % 32 == 16
