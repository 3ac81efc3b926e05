"""A model folder back to the released names and layouts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mlx_moebius.convert.__main__ import app
from mlx_moebius.convert.checkpoint import read_tensors
from mlx_moebius.convert.folder import convert_checkpoint
from mlx_moebius.convert.safetensors_file import write_safetensors
from mlx_moebius.convert.to_pytorch import released_tensors
from mlx_moebius.networks.config import UNET_NAME
from mlx_moebius.networks.quantize import quantization_config
from tests.support.fill import fill
from tests.support.golden import DATA

RUNNER = CliRunner()


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A released checkpoint of the tiny size, U-Net and VAE."""
    folder = tmp_path / "released"
    (folder / "vae").mkdir(parents=True)
    shutil.copy(DATA / "vae_tiny_config.json", folder / "vae" / "config.json")
    for keys, prefix, path in (
        ("unet_tiny_keys.json", "", folder / "diffusion_pytorch_model.safetensors"),
        ("vae_tiny_keys.json", "vae.", folder / "vae" / "diffusion_pytorch_model.safetensors"),
    ):
        shapes = json.loads((DATA / keys).read_text())
        outlines = {name: (tuple(shape), dtype) for name, (shape, dtype) in shapes.items()}
        write_safetensors(path, outlines, (fill(prefix + name, tuple(shape)) for name, (shape, _) in shapes.items()))
    return folder


def convert(released: Path, out: Path) -> Path:
    convert_checkpoint(released / "diffusion_pytorch_model.safetensors", released / "vae", out, dtype="float32")
    return out


def test_there_and_back_is_the_same_bit_for_bit(released: Path, tmp_path: Path) -> None:
    model, back = convert(released, tmp_path / "model"), tmp_path / "back.safetensors"
    result = RUNNER.invoke(app, ["--to-pytorch", str(model), str(back)])
    assert result.exit_code == 0, result.output
    before, after = read_tensors(released / "diffusion_pytorch_model.safetensors"), read_tensors(back)
    assert sorted(before) == sorted(after)
    for name, tensor in before.items():
        assert (tensor.dtype, tensor.shape) == (after[name].dtype, after[name].shape), name
        assert np.array_equal(tensor.raw, after[name].raw), name
    shutil.move(back, released / "diffusion_pytorch_model.safetensors")
    again = convert(released, tmp_path / "again")
    assert (again / UNET_NAME).read_bytes() == (model / UNET_NAME).read_bytes()


def test_a_float16_folder_keeps_its_type(tmp_path: Path, released: Path) -> None:
    convert_checkpoint(released / "diffusion_pytorch_model.safetensors", released / "vae", tmp_path / "model")
    tensors = released_tensors(tmp_path / "model")
    assert {tensor.dtype for name, tensor in tensors.items() if "tracked" not in name} == {"float16"}


def test_what_cannot_go_back_is_refused_and_nothing_is_left(tmp_path: Path, released: Path) -> None:
    source = released / "diffusion_pytorch_model.safetensors"
    convert_checkpoint(source, released / "vae", tmp_path / "q", quantization=quantization_config(8, 32, None))
    for arguments, said in (
        ([tmp_path / "q", tmp_path / "back.safetensors"], "is quantized"),
        ([tmp_path / "none", tmp_path / "back.safetensors"], "is not a model folder"),
        ([tmp_path / "q", tmp_path / "back.bin"], "must end in .safetensors"),
        ([tmp_path / "q", source], "already exists"),
        ([tmp_path / "q"], "takes a model folder"),
    ):
        result = RUNNER.invoke(app, ["--to-pytorch", *map(str, arguments)])
        assert result.exit_code == 1
        assert said in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q", "released"]
