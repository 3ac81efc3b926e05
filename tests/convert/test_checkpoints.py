"""Checkpoints as trainers leave them: wrapped names, dicts around them, moving averages; and what is saved instead."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mlx_moebius.convert.checkpoint import read_checkpoint, read_tensors
from mlx_moebius.convert.folder import convert_checkpoint, verify
from mlx_moebius.convert.mapping import map_unet
from mlx_moebius.errors import MoebiusError
from mlx_moebius.models.cache import BUNDLED
from mlx_moebius.networks.config import UNET_NAME
from mlx_moebius.networks.weights import load_diffusion
from tests.support import torch_zip
from tests.support.golden import DATA

NANO = DATA / "nano"
WEIGHTS = "diffusion_pytorch_model.bin"
AVERAGE = "diffusion_pytorch_model.EMA.bin"
Values = dict[str, np.ndarray]


def nano() -> Values:
    return {name: np.array(tensor.numpy(), "<f4") for name, tensor in read_tensors(NANO / WEIGHTS).items()}


def pickled(values: Iterable[tuple[str, np.ndarray]], first: int = 0) -> bytes:
    """An OrderedDict of tensors inside a pickle, whose storages have the keys `first`, `first` + 1, ..."""
    items = ((name, torch_zip.tensor(str(first + i), v.shape)) for i, (name, v) in enumerate(values))
    return torch_zip.state_dict(items).removeprefix(b"\x80\x02").removesuffix(b".")


def plain(items: Iterable[tuple[str, bytes]]) -> bytes:
    """A dict of pickled values."""
    return b"}(" + b"".join(torch_zip.text(name) + value for name, value in items) + b"u"


def write(path: Path, top: Iterable[tuple[str, bytes]], storages: Iterable[np.ndarray]) -> Path:
    entries: list[tuple[str, bytes | np.ndarray]] = [("data.pkl", b"\x80\x02" + plain(top) + b".")]
    entries += [(f"data/{i}", values) for i, values in enumerate(storages)]
    torch_zip.write_entries(path, entries)
    return path


def write_average(path: Path, values: Values) -> Path:
    """As the official trainer's `save_litema` does: names without dots, and a table of them."""
    short: Values = {"decay": np.array(0.9999, "<f4"), "num_updates": np.array(7, "<f4")}
    short |= {name.replace(".", ""): value for name, value in values.items()}
    names = plain((name, torch_zip.text(name.replace(".", ""))) for name in values)
    return write(path, [("ema_buffers", pickled(short.items())), ("ema_name_map", names)], short.values())


def parameters(values: Values) -> Values:
    """Those that an optimiser trains, a little away from what they were."""
    kept = {n: v for n, v in values.items() if not n.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    return {name: value * np.float32(1.01) for name, value in kept.items()}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_what_pytorch_puts_before_names_is_taken_off(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "model.safetensors"
    save_file({prefix + name: value for name, value in nano().items()}, path)
    tensors, files = read_checkpoint(path)
    assert files == [path]
    assert tensors.keys() == nano().keys()
    map_unet(tensors)


def test_a_wrapper_inside_a_name_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({name.replace("diff_model.", "diff_model._orig_mod."): value for name, value in nano().items()}, path)
    assert read_checkpoint(path)[0].keys() == nano().keys()


def test_two_names_for_one_tensor_are_refused(tmp_path: Path) -> None:
    save_file({"x.weight": np.zeros(2), "module.x.weight": np.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(MoebiusError, match=r"x\.weight twice"):
        read_checkpoint(tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", ["state_dict", "model", "model_state_dict", "module"])
def test_a_state_dict_inside_another_dict(tmp_path: Path, name: str) -> None:
    values = nano()
    top = [("step", torch_zip.number(1000)), (name, pickled(values.items()))]
    tensors = read_tensors(write(tmp_path / "file.pt", top, values.values()))
    assert tensors.keys() == values.keys()
    assert all(np.array_equal(tensors[key].numpy(), value) for key, value in values.items())


def test_the_official_trainers_average_takes_statistics_from_beside_it(tmp_path: Path) -> None:
    shutil.copytree(NANO, tmp_path / "run")
    values = nano()
    average = write_average(tmp_path / "run" / AVERAGE, parameters(values))
    config = convert_checkpoint(average, tmp_path / "run" / "vae", tmp_path / "out", dtype="float32")
    verify(tmp_path / "out")
    assert [file.name for file in config.sources[:2]] == [AVERAGE, WEIGHTS]
    converted = read_tensors(tmp_path / "out" / UNET_NAME)
    for name, expected in (
        ("conv_in.bn1.running_mean", values["diff_model.conv_in.bn1.running_mean"]),
        ("conv_in.bn1.weight", values["diff_model.conv_in.bn1.weight"] * np.float32(1.01)),
    ):
        assert np.array_equal(converted[name].numpy(), expected)


def test_an_average_alone_says_what_it_lacks(tmp_path: Path) -> None:
    average = write_average(tmp_path / AVERAGE, parameters(nano()))
    with pytest.raises(MoebiusError, match=f"no BatchNorm statistics.*beside it, as {WEIGHTS}"):
        read_checkpoint(average)


def test_an_average_of_another_network_is_refused(tmp_path: Path) -> None:
    shutil.copy(NANO / WEIGHTS, tmp_path / WEIGHTS)
    average = write_average(tmp_path / AVERAGE, parameters(nano()) | {"diff_model.more.weight": np.zeros(2, "<f4")})
    with pytest.raises(MoebiusError, match=r"not of one network.*diff_model\.more\.weight"):
        read_checkpoint(average)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 19000000\n"
PAGE = b"\xef\xbb\xbf\n<!DOCTYPE html><html><head><title>Sign in</title></head></html>"


@pytest.mark.parametrize("name", ["model.bin", "model.safetensors"])
@pytest.mark.parametrize(("content", "said"), [(POINTER, "Git LFS pointer"), (PAGE, "web page")])
def test_what_was_saved_in_place_of_weights_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MoebiusError, match=f"cannot read tensors from .*{said}"):
        read_tensors(tmp_path / name)


@pytest.mark.parametrize(("content", "said"), [(POINTER, "Git LFS pointer"), (PAGE, "web page")])
def test_so_is_it_in_a_model_folder(tmp_path: Path, content: bytes, said: str) -> None:
    shutil.copytree(BUNDLED["nano"], tmp_path / "model")
    (tmp_path / "model" / UNET_NAME).write_bytes(content)
    with pytest.raises(MoebiusError, match=f"{UNET_NAME}: it is a {said}"):
        load_diffusion(tmp_path / "model")
