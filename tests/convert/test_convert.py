"""Checkpoint to model folder: strict, exact, complete or not there at all."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from typer.testing import CliRunner

from mlx_moebius.convert.__main__ import app
from mlx_moebius.convert.checkpoint import read_tensors
from mlx_moebius.convert.folder import convert_checkpoint, verify
from mlx_moebius.convert.mapping import map_unet, map_vae
from mlx_moebius.convert.stored_tensor import StoredTensor, Tensors
from mlx_moebius.errors import MoebiusError
from mlx_moebius.models import BUNDLED
from mlx_moebius.networks.config import ModelConfig, SamplingConfig, SchedulerConfig, UNetConfig, VAEConfig
from tests.support import torch_zip
from tests.support.fill import fill
from tests.support.golden import DATA

NANO = DATA / "nano"
CHECKOUT = DATA.parents[1]
FULL_VAE = json.loads((DATA / "vae_full_config.json").read_text())


def outlines(keys: str) -> Tensors:
    """A checkpoint's names and shapes, without memory behind them."""
    shapes = json.loads((DATA / keys).read_text())
    return {k: StoredTensor(np.broadcast_to(np.float32(0), shape), dtype) for k, (shape, dtype) in shapes.items()}


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def vae_source(tmp_path: Path) -> Path:
    """A VAE for the bundled U-Net in the released format, which tests change."""
    folder = tmp_path / "source" / "vae"
    folder.mkdir(parents=True)
    shutil.copy(NANO / "vae" / "config.json", folder / "config.json")
    write_vae(folder)
    return folder


def write_vae(folder: Path, **changed: np.ndarray) -> None:
    shapes = {k: tensor.shape for k, tensor in read_tensors(NANO / "vae" / "diffusion_pytorch_model.bin").items()}
    torch_zip.write_torch_zip(
        folder / "diffusion_pytorch_model.bin",
        shapes,
        lambda name, shape: changed.get(name, fill(name, shape)),
        "<f4",
    )


# The bundled model


def test_bundled_model_is_what_its_readme_makes(tmp_path: Path) -> None:
    line = next(line for line in (NANO / "README.md").read_text().splitlines() if "-m convert" in line)
    arguments = shlex.split(line)[3:]
    assert arguments[1] == "mlx_moebius/nano"
    code, out, err = run(CHECKOUT / arguments[0], tmp_path / "nano", *arguments[2:])
    assert (code, err) == (0, "")
    assert out.count(" ok") == 2
    assert contents(tmp_path / "nano") == contents(BUNDLED["nano"])


def test_bundled_model_is_described_in_full() -> None:
    config = ModelConfig.load(BUNDLED["nano"])
    assert config.unet == UNetConfig(
        in_channels=17,
        out_channels=8,
        block_out_channels=(32, 96, 192),
        encoder_hid_dim=64,
        cross_attention_dim=64,
        sample_size=16,
        local_kernel_size=7,
    )
    assert config.vae == VAEConfig(
        latent_channels=8,
        block_out_channels=(16, 32, 64, 96),
        layers_per_block=1,
        norm_num_groups=8,
        scaling_factor=1.0,
    )
    assert config.scheduler == SchedulerConfig(prediction_type="v_prediction", timestep_spacing="trailing")
    assert config.sampling == SamplingConfig(1, guidance_scale=1, strength=1, noise_offset=0, compensate=True)
    assert [file.name for file in config.sources] == [
        "diffusion_pytorch_model.bin",
        "vae/diffusion_pytorch_model.bin",
        "vae/config.json",
        "unet_config.json",
        "scheduler/scheduler_config.json",
    ]
    card = (BUNDLED["nano"] / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: mlx\npipeline_tag: image-to-image\n")
    assert "128 x 128" in card
    assert "4.7 M parameters" in card
    assert "docs/training_photos.csv" in card
    assert all(file.sha256 in card for file in config.sources)


# Names, layouts, configuration


def test_released_configuration_is_read_off_the_shapes() -> None:
    assert map_unet(outlines("unet_full_keys.json"))[0] == UNetConfig()
    assert map_vae(outlines("vae_full_keys.json"), FULL_VAE)[0] == VAEConfig()


def test_every_floating_tensor_arrives_with_all_its_values() -> None:
    source = read_tensors(NANO / "diffusion_pytorch_model.bin")
    _, tensors = map_unet(source)
    kept = {name: tensor for name, tensor in source.items() if not name.endswith("num_batches_tracked")}
    assert [name.removeprefix("diff_model.") for name in kept] == list(tensors)
    for name, tensor in tensors.items():
        original = kept.get(f"diff_model.{name}", kept.get(name))
        assert original is not None
        np.testing.assert_array_equal(np.sort(tensor.raw, axis=None), np.sort(original.raw, axis=None), err_msg=name)


def test_names_without_prefix_and_old_attention_names() -> None:
    source = outlines("unet_full_keys.json")
    bare = {name.removeprefix("diff_model."): tensor for name, tensor in source.items()}
    assert map_unet(bare)[1].keys() == map_unet(source)[1].keys()

    new = outlines("vae_full_keys.json")
    expected = {name: tensor.shape for name, tensor in map_vae(new, FULL_VAE)[1].items()}
    for axes in ((), (1, 1)):  # as linears, as 1x1 convolutions
        old = {}
        for name, tensor in new.items():
            for now, before in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
                if f".{now}." in name:
                    name = name.replace(f".{now}.", f".{before}.")
                    if name.endswith("weight"):
                        tensor = replace(tensor, raw=tensor.raw.reshape(*tensor.shape, *axes))
            old[name] = tensor
        assert {name: tensor.shape for name, tensor in map_vae(old, FULL_VAE)[1].items()} == expected


def test_mismatch_lists_the_first_names_on_each_side() -> None:
    source = outlines("unet_tiny_keys.json")
    for layer in range(2):
        for norm in ("norm1", "norm2"):
            name = f"diff_model.down_blocks.1.resnets.{layer}.{norm}"
            source[f"{name}_renamed.weight"] = source.pop(f"{name}.weight")
    bias = "diff_model.conv_norm_out.bias"
    source[bias] = replace(source[bias], raw=source[bias].raw[:5])
    with pytest.raises(MoebiusError) as caught:
        map_unet(source)
    message = str(caught.value)
    assert re.search(r"missing: down_blocks.1.resnets.0.norm1.weight, .*, .* and 1 more; ", message)
    assert re.search(r"unexpected: down_blocks.1.resnets.0.norm1_renamed.weight, .*, .* and 1 more; ", message)
    assert "of another shape: conv_norm_out.bias [5] instead of [32]" in message
    assert "\n" not in message


def test_other_networks_are_refused() -> None:
    with pytest.raises(MoebiusError, match="not a Moebius U-Net: it has no"):
        map_unet(outlines("vae_full_keys.json"))
    with pytest.raises(MoebiusError, match="not a Moebius VAE: it has no"):
        map_vae(outlines("unet_full_keys.json"), FULL_VAE)
    with pytest.raises(MoebiusError, match="shift_factor"):
        map_vae(outlines("vae_full_keys.json"), {**FULL_VAE, "shift_factor": 0.1})
    with pytest.raises(MoebiusError, match="norm_num_groups is 0"):
        map_unet(outlines("unet_full_keys.json"), {"norm_num_groups": 0})


def test_convolutions_in_another_layout_are_refused() -> None:
    source = outlines("vae_tiny_keys.json")
    for name, tensor in source.items():
        if tensor.shape[2:] == (3, 3):
            source[name] = replace(tensor, raw=tensor.raw.transpose(0, 2, 3, 1))
    with pytest.raises(MoebiusError, match="not a Moebius VAE"):
        map_vae(source, json.loads((DATA / "vae_tiny_config.json").read_text()))


# Folders


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_stored_values_are_the_rounded_source(tmp_path: Path, vae_source: Path, dtype: str) -> None:
    out = tmp_path / "model"
    config = convert_checkpoint(NANO, vae_source, out, dtype=dtype)
    assert config == ModelConfig.load(out)
    assert config.dtype == dtype
    assert listing(tmp_path) == ["model", "source"]
    weights = mx.load(str(out / "vae.safetensors"))
    assert isinstance(weights, dict)
    name = "encoder.conv_in.weight"
    expected = mx.array(fill(name, (16, 3, 3, 3)).transpose(0, 2, 3, 1)).astype(getattr(mx, dtype))
    assert weights[name].dtype == expected.dtype
    assert mx.array_equal(weights[name], expected)
    assert [file.name for file in verify(out)] == ["unet.safetensors", "vae.safetensors"]


@pytest.mark.parametrize(("value", "dtype", "fits"), [
    (1e5, "float16", False), (1e5, "bfloat16", True), (np.nan, "float32", False), (np.inf, "bfloat16", False),
])  # fmt: skip
def test_values_that_do_not_survive_are_refused(
    tmp_path: Path, vae_source: Path, value: float, dtype: str, fits: bool
) -> None:
    name = "decoder.conv_in.bias"
    write_vae(vae_source, **{name: np.full(96, value)})
    if fits:
        convert_checkpoint(NANO, vae_source, tmp_path / "model", dtype=dtype)
        return
    with pytest.raises(MoebiusError, match=name):
        convert_checkpoint(NANO, vae_source, tmp_path / "model", dtype=dtype)
    assert listing(tmp_path) == ["source"]


def test_networks_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "four"
    folder.mkdir()
    shutil.copy(DATA / "vae_tiny_config.json", folder / "config.json")
    shapes = {k: tuple(shape) for k, (shape, _) in json.loads((DATA / "vae_tiny_keys.json").read_text()).items()}
    torch_zip.write_torch_zip(folder / "diffusion_pytorch_model.bin", shapes, fill, "<f4")
    with pytest.raises(MoebiusError, match=r"VAE of 4 channels wants a U-Net of 9 channels in and 4 out, .* 17 and 8"):
        convert_checkpoint(NANO, folder, tmp_path / "model")
    assert listing(tmp_path) == ["four"]


def test_all_files_are_on_the_disk_before_the_folder_gets_its_name(
    tmp_path: Path, vae_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    synced: set[int] = set()

    def fsync(handle: int) -> None:
        if not out.exists():
            synced.add(os.fstat(handle).st_ino)

    monkeypatch.setattr("os.fsync", fsync)
    convert_checkpoint(NANO, vae_source, out)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) >= 3
    assert {path.stat().st_ino for path in files} <= synced


def test_existing_folder_stays_unless_all_goes_well(tmp_path: Path, vae_source: Path) -> None:
    out = tmp_path / "model"
    convert_checkpoint(NANO, vae_source, out)
    before = contents(out)
    with pytest.raises(MoebiusError, match="overwrite=True"):
        convert_checkpoint(NANO, vae_source, out, dtype="float32")
    write_vae(vae_source, **{"decoder.conv_out.bias": np.full(3, np.nan)})
    with pytest.raises(MoebiusError, match=r"decoder\.conv_out\.bias"):
        convert_checkpoint(NANO, vae_source, out, overwrite=True)
    assert contents(out) == before
    write_vae(vae_source)
    convert_checkpoint(NANO, vae_source, out, dtype="float32", overwrite=True)
    assert ModelConfig.load(out).dtype == "float32"
    assert listing(tmp_path) == ["model", "source"]


def test_overwrite_replaces_nothing_but_model_folders(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "holiday.jpg").write_bytes(b"dear")
    with pytest.raises(MoebiusError, match="not a model folder"):
        convert_checkpoint(NANO, NANO / "vae", photos, overwrite=True)
    assert contents(photos) == {"holiday.jpg": b"dear"}


def test_verify_finds_damage(tmp_path: Path) -> None:
    def damaged(name: str) -> Path:
        folder = tmp_path / str(len(listing(tmp_path)))
        shutil.copytree(BUNDLED["nano"], folder)
        return folder / name

    path = damaged("unet.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(MoebiusError, match=r"unet\.safetensors.*SHA-256"):
        verify(path.parent)

    path = damaged("vae.safetensors")
    path.unlink()
    with pytest.raises(MoebiusError, match=r"vae\.safetensors"):
        verify(path.parent)

    path = damaged("config.json")
    path.write_text(path.read_text().replace('"local_kernel_size": 7', '"local_kernel_size": 9'))
    with pytest.raises(MoebiusError, match=r"pos_conv\.weight \[4, 7, 7\] instead of \[4, 9, 9\]"):
        verify(path.parent)


# Command line


@pytest.mark.parametrize("module", ["convert", "mlx_moebius.convert"])
def test_both_names_of_the_command(tmp_path: Path, module: str) -> None:
    def call(*arguments: str | Path) -> tuple[int, str, str]:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    code, table, errors = call(NANO, tmp_path / "model")
    assert (code, errors) == (0, "")
    assert call("--verify", tmp_path / "model") == (0, table, "")
    code, table, errors = call(DATA / "torch_files" / "whole_module.pt", tmp_path / "other")
    assert (code, table, errors.count("\n")) == (1, "", 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent", "OUT"], "no such file or folder"),
        ([DATA, "OUT"], "holds no diffusion_pytorch_model.bin"),
        ([NANO, NANO], "already exists"),
        ([NANO, "OUT", "--vae", "absent"], "no such file or folder"),
        ([NANO, "OUT", "--vae", NANO], "belongs beside the weights"),
        ([NANO, "absent/OUT"], "cannot write"),
        ([NANO], "give SOURCE and OUT"),
        (["--verify", "absent"], "is not a model folder"),
        ([NANO, "OUT", "--verify", "absent"], "takes no SOURCE"),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str | Path], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert listing(tmp_path) == []


# Released size


@pytest.mark.slow
def test_released_size_in_bounded_memory(tmp_path: Path) -> None:
    for keys, name in (("unet_full_keys.json", "unet.bin"), ("vae_full_keys.json", "vae.bin")):
        shapes = {key: tuple(shape) for key, (shape, _) in json.loads((DATA / keys).read_text()).items()}
        torch_zip.write_torch_zip(tmp_path / name, shapes, lambda _, shape: np.ones(shape, np.float32))
    shutil.copy(DATA / "vae_full_config.json", tmp_path / "config.json")
    assert (tmp_path / "unet.bin").stat().st_size > 450e6
    script = """
import resource, sys
from pathlib import Path
from mlx_moebius.convert.folder import convert_checkpoint, verify
folder = Path(sys.argv[1])
convert_checkpoint(folder / "unet.bin", folder / "vae.bin", folder / "model", dtype=sys.argv[2], overwrite=True)
print(sum(file.parameters for file in verify(folder / "model")))
status = Path("/proc/self/status")  # ru_maxrss counts the parent's memory on Linux
if status.exists():
    print(next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if "VmHWM" in line))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    trained = 226_041_531 + 83_653_863
    for dtype in ("float16", "float32"):
        command = [sys.executable, "-c", script, str(tmp_path), dtype]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
        parameters, peak = map(int, done.stdout.split())
        assert parameters >= trained  # and the running statistics
        assert peak < 1.5e9


@pytest.mark.parametrize("part", ["unet", "vae"])
@pytest.mark.parametrize(
    "values",
    [
        {"layers_per_block": 10**9},
        {"layers_per_block": 1.5},
        {"layers_per_block": "2"},
        {"block_out_channels": [32] * 10_000},
        {"block_out_channels": [2**40, 64, 128]},
        {"block_out_channels": []},
        {"block_out_channels": 32},
        {"norm_num_groups": 0},
        {"in_channels": -1},
        {"in_channels": None},
        {"in_channels": [[1]]},
    ],
    ids=str,
)
def test_configurations_from_elsewhere_are_bounded(part: str, values: dict[str, object], tmp_path: Path) -> None:
    shutil.copytree(BUNDLED["nano"], tmp_path / "nano")
    path = tmp_path / "nano/config.json"
    config = json.loads(path.read_text())
    config[part] |= values
    path.write_text(json.dumps(config))
    with pytest.raises(MoebiusError) as caught:
        verify(tmp_path / "nano")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_photo_is_no_checkpoint(tmp_path: Path) -> None:
    code, out, err = run(CHECKOUT / "examples" / "fish.jpg", tmp_path / "OUT")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "cannot read tensors from" in err
    assert "fish.jpg" in err
    assert not (tmp_path / "OUT").exists()
