"""Quantized model folders: their size, their error against float32, and that they are strict like any other."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from typer.testing import CliRunner

from mlx_moebius.convert.__main__ import app
from mlx_moebius.convert.folder import convert_checkpoint, verify
from mlx_moebius.convert.stored_tensor import STORAGE_DTYPES
from mlx_moebius.errors import MoebiusError
from mlx_moebius.models import BUNDLED
from mlx_moebius.networks.config import ModelConfig, QuantizationConfig
from mlx_moebius.networks.quantize import (
    DEFAULTS,
    MODES,
    dequantize,
    outlines,
    quantization_config,
    quantize,
)
from mlx_moebius.networks.weights import load_diffusion
from tests.networks.test_diffusion import encoded, golden_noise
from tests.support.golden import DATA, golden, nchw, relative_error

NANO = DATA / "nano"
# (bits, group size, mode): the U-Net's file against float16's, and the error of the latents after 8 steps.
EVERY_MODE = {
    (8, 64, "affine"): (0.77, 0.015),
    (8, 32, "affine"): (0.68, 0.012),
    (8, 32, "mxfp8"): (0.64, 0.060),
    (4, 32, "affine"): (0.62, 0.030),
    (4, 64, "affine"): (0.72, 0.015),
    (4, 32, "mxfp4"): (0.62, 0.060),
    (4, 16, "nvfp4"): (0.62, 0.090),
}


@pytest.mark.parametrize(("settings", "bounds"), EVERY_MODE.items(), ids=str)
def test_size_and_error_of_the_bundled_model(
    settings: tuple[int, int, str], bounds: tuple[float, float], tmp_path: Path
) -> None:
    config = convert_checkpoint(NANO, NANO / "vae", tmp_path / "q", quantization=QuantizationConfig(*settings))
    unet, vae = verify(tmp_path / "q")
    assert config.quantization == ModelConfig.load(tmp_path / "q").quantization == QuantizationConfig(*settings)
    assert unet.parameters == 4_711_021

    data, noise = golden("nano/golden.npz"), golden_noise("nano8", 3, 8)
    diffusion = load_diffusion(tmp_path / "q", "float32")
    batch = encoded(diffusion, data, 3, noise, any_pixel=True)
    *_, last = diffusion.denoise(batch, noise, num_steps=8, guidance_scale=1, strength=0.99)
    size, error = unet.size / 9_549_386, relative_error(nchw(last.latents), data["trailing/latents"])
    picture = relative_error(nchw(2 * diffusion.decode(last.latents) - 1), data["trailing/decoded"])
    print(f"nano {settings}: {unet.size:,} bytes, {size:.3f} of float16, latents {error:.2e}, picture {picture:.2e}")
    assert size <= bounds[0]
    assert error <= bounds[1]


def test_matrices_that_suffer_are_left_alone(tmp_path: Path) -> None:
    convert_checkpoint(NANO, NANO / "vae", tmp_path / "q", quantization=DEFAULTS[4])
    arrays, plain = (mx.load(str(folder / "unet.safetensors")) for folder in (tmp_path / "q", BUNDLED["nano"]))
    assert isinstance(arrays, dict)
    assert isinstance(plain, dict)
    for name in plain:
        scale = arrays.get(name.removesuffix("weight") + "scales")
        if any(kind in name for kind in ("conv_in.", "conv_out.", "embedding_layer", "to_v", "norm", "bias", "depth")):
            assert scale is None
            assert mx.array_equal(arrays[name], plain[name]), name
        elif scale is not None:
            bits = 32 * arrays[name].shape[1] // plain[name].shape[1]
            assert bits == (4 if ".ff." in name else 8), name
    vae = "vae.safetensors"
    assert (tmp_path / "q" / vae).read_bytes() == (BUNDLED["nano"] / vae).read_bytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize(("mode", "bits"), [(mode, bits) for mode, choices in MODES.items() for bits in choices])
def test_what_is_stored_is_what_was_announced(mode: str, bits: int, dtype: str) -> None:
    name, weight = "a.ff.point_conv.conv.weight", np.random.default_rng(0).standard_normal((48, 128)).astype(np.float32)
    for size in MODES[mode][bits]:
        settings = QuantizationConfig(bits, size, mode)
        stored = outlines({name: weight.shape}, dtype, settings)
        arrays = quantize(weight, dtype, settings)
        assert [(array.shape, array.dtype) for array in arrays] == [
            (shape, np.dtype(STORAGE_DTYPES[kind])) for shape, kind in stored.values()
        ]
        loaded = {
            key: mx.array(array).view(mx.bfloat16) if kind == "bfloat16" else mx.array(array)
            for (key, (_, kind)), array in zip(stored.items(), arrays, strict=True)
        }
        restored = dequantize(loaded, {name: weight.shape}, settings)
        assert restored[name].dtype == mx.float32
        assert relative_error(restored[name], weight) <= {8: 0.03, 4: 0.14}[bits]


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_command_line_and_defaults(tmp_path: Path) -> None:
    code, out, err = run(NANO, tmp_path / "q", "--quantize", "8", "--dtype", "bfloat16")
    assert (code, err, out.count(" ok")) == (0, "", 2)
    assert ModelConfig.load(tmp_path / "q").quantization == QuantizationConfig(8, 64, "affine")
    assert "bfloat16, the U-Net's matrices in 8 bits (affine, groups of 64)" in (tmp_path / "q/README.md").read_text()
    assert load_diffusion(tmp_path / "q").config.image_size == 128
    assert quantization_config(4, None, None) == QuantizationConfig(4, 32, "affine")
    assert quantization_config(4, None, "nvfp4") == QuantizationConfig(4, 16, "nvfp4")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--quantize", "8", "--q-mode", "mxfp4"], "choose one of affine, mxfp8"),
        (["--quantize", "4", "--q-group-size", "48"], "32 or 64 or 128, not 48"),
        (["--q-mode", "mxfp4"], "need --quantize"),
        (["--q-group-size", "32"], "need --quantize"),
    ],
)
def test_impossible_settings(arguments: list[str], reason: str, tmp_path: Path) -> None:
    code, out, err = run(NANO, tmp_path / "q", *arguments)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert reason in err
    assert not (tmp_path / "q").exists()


@pytest.mark.parametrize(
    "quantization",
    [
        None,
        {"bits": 8, "group_size": 32, "mode": "affine"},
        {"bits": 4, "group_size": 64, "mode": "affine"},
        {"bits": 8, "group_size": 32, "mode": "mxfp8"},
        {"bits": 0, "group_size": 0, "mode": "affine"},
        {"bits": "8", "group_size": 64, "mode": "affine"},
        {"bits": 8, "group_size": 64, "mode": "other"},
        [8],
    ],
)
def test_configuration_that_does_not_fit_the_file(quantization: object, tmp_path: Path) -> None:
    convert_checkpoint(NANO, NANO / "vae", tmp_path / "q", quantization=DEFAULTS[8])
    path = tmp_path / "q/config.json"
    values = json.loads(path.read_text()) | {"quantization": quantization}
    if quantization is None:
        del values["quantization"]
    path.write_text(json.dumps(values))
    for use in (verify, load_diffusion):
        with pytest.raises(MoebiusError) as caught:
            use(tmp_path / "q")
        assert "\n" not in str(caught.value)
