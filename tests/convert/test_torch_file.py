"""Checkpoint files: every kind of tensor is read exactly, and nothing hostile gets further than one line."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mlx_moebius.convert.checkpoint import read_tensors
from mlx_moebius.convert.safetensors_file import write_safetensors
from mlx_moebius.convert.stored_tensor import encode
from mlx_moebius.errors import MoebiusError
from tests.support import torch_zip
from tests.support.golden import DATA, golden

FILES = DATA / "torch_files"
GOLDEN = {
    "tensors_zip.pt": "tensors",
    "tensors_legacy.pt": "tensors",
    "nested_state_dict.pt": "tensors",
    "module_state_dict.bin": "module",
}


def refusal(path: Path) -> str:
    """The message with which the file is refused, which must be one line."""
    with pytest.raises(MoebiusError) as caught:
        read_tensors(path)
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    return message


def archive(tmp_path: Path, pickled: bytes, storage: bytes = bytes(64), byteorder: bytes = b"little") -> Path:
    path = tmp_path / "file.pt"
    torch_zip.write_entries(path, [("data.pkl", pickled), ("data/0", storage), ("byteorder", byteorder)])
    return path


def one_tensor(tmp_path: Path, value: bytes) -> Path:
    return archive(tmp_path, torch_zip.state_dict([("x", value)]))


@pytest.mark.parametrize(("name", "group"), GOLDEN.items())
def test_reads_what_torch_wrote(name: str, group: str) -> None:
    expected = {
        key.split("/", 1)[1]: value for key, value in golden("torch_files/expected.npz").items() if group in key
    }
    tensors = read_tensors(FILES / name)
    assert tensors.keys() == expected.keys()
    for key, value in expected.items():
        values = tensors[key].numpy()
        assert values.dtype == value.dtype, key
        np.testing.assert_array_equal(values, value, err_msg=key)
    if group == "tensors":
        assert tensors["bf16"].dtype == "bfloat16"


def test_whole_module_is_refused_by_name() -> None:
    assert "torch.nn.modules.container.Sequential" in refusal(FILES / "whole_module.pt")


@pytest.mark.parametrize(
    "lookup",
    [b"cos\nsystem\n", torch_zip.text("os") + torch_zip.text("system") + b"\x93"],
    ids=["GLOBAL", "STACK_GLOBAL"],
)
def test_code_is_refused_by_name_and_not_run(tmp_path: Path, lookup: bytes) -> None:
    mark = tmp_path / "executed"
    pickled = b"\x80\x04" + lookup + torch_zip.text(f"touch {mark}") + b"\x85R."
    assert "'os.system'" in refusal(archive(tmp_path, pickled))
    assert not mark.exists()


@pytest.mark.parametrize(
    "value",
    [
        torch_zip.tensor("0", (17,)),
        torch_zip.tensor("0", (4, 4), offset=1),
        torch_zip.tensor("0", (2, 2), offset=-1),
        torch_zip.tensor("0", (2, 2), strides=(-1, 1)),
        torch_zip.tensor("0", (-2, 2)),
        torch_zip.tensor("0", (2, 2), strides=(1,)),
        torch_zip.tensor("0", (2, 2), strides=(15, 1)),
        torch_zip.tensor("0", (2, 2), numel=3),
        torch_zip.tensor("0", (2**61, 8)),
        torch_zip.tensor("0", (2**30, 2**30), strides=(0, 0)),
        torch_zip.tensor("0", (1,) * 40),
        torch_zip.tensor("1", (2, 2)),
    ],
    ids=[
        "too long", "offset too large", "negative offset", "negative stride", "negative length", "too few strides",
        "stride too large", "storage smaller than claimed", "overflow", "expanded bomb", "rank", "no such storage",
    ],
)  # fmt: skip
def test_impossible_tensors(tmp_path: Path, value: bytes) -> None:
    refusal(one_tensor(tmp_path, value))


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02}" + b"(" * 200_000 + b"t" * 200_000 + b"K\x01s.",  # hashing this key would exhaust the C stack
        b"\x80\x02}r\xff\xff\xff\xff.",  # a memo of 2**32 entries
        b"\x80\x02" + b"}" * 1_500_000 + b".",
        b"\x80\x02K\x01.",
        torch_zip.state_dict([("x", torch_zip.number(1))]),
        b"\x80\x02}q\x00X\x0a\x00\x00\x00state_dicth\x00s.",  # holds itself
        b"",
    ],
    ids=["deep key", "memo", "too many instructions", "no dict", "no tensor", "cycle", "empty"],
)
def test_impossible_pickles(tmp_path: Path, pickled: bytes) -> None:
    refusal(archive(tmp_path, pickled))


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", "x" * 10_000])
def test_names_that_would_garble_a_message(tmp_path: Path, name: str) -> None:
    refusal(archive(tmp_path, torch_zip.state_dict([(name, torch_zip.tensor("0", (2, 2)))])))


def test_big_endian_is_refused(tmp_path: Path) -> None:
    pickled = torch_zip.state_dict([("x", torch_zip.tensor("0", (2, 2)))])
    assert "big-endian" in refusal(archive(tmp_path, pickled, byteorder=b"big"))


def test_compressed_entries_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", torch_zip.state_dict([("x", torch_zip.tensor("0", (2**20,)))]))
        file.writestr("archive/data/0", bytes(2**22))
    assert "compressed" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"\x80", b"PK\x03\x04", b"not a checkpoint", bytes(1000), b"\x80\x02K\x01."])
@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_other_files(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    refusal(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "absent.bin")
    refusal(tmp_path)


@pytest.mark.parametrize("name", ["tensors_zip.pt", "tensors_legacy.pt"])
def test_cut_short_anywhere(tmp_path: Path, name: str) -> None:
    content = (FILES / name).read_bytes()
    path = tmp_path / name
    for length in range(0, len(content), 13):
        path.write_bytes(content[:length])
        refusal(path)


@pytest.mark.parametrize("name", [*GOLDEN, "whole_module.pt", "file.safetensors"])
def test_damaged_bytes_never_crash(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "file.safetensors":
        save_file({"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.ones(3, np.float16)}, path)
    else:
        path.write_bytes((FILES / name).read_bytes())
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    messages = []
    for _ in range(300):
        damaged = bytearray(content)
        for position in rng.integers(len(content), size=rng.integers(1, 4)):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            for tensor in read_tensors(path).values():
                assert tensor.numpy().nbytes < 2**22
        except MoebiusError as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert not any("\n" in message for message in messages)


def test_safetensors_written_by_the_library(tmp_path: Path) -> None:
    arrays: dict[str, np.ndarray] = {
        "a": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        "b": np.array([1, 2], np.float16),
        "scalar": np.array(3.0),
        "empty": np.zeros((0, 4), np.int64),
    }
    save_file(arrays, tmp_path / "file.safetensors")
    tensors = read_tensors(tmp_path / "file.safetensors")
    assert tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(tensors[name].numpy(), array)
        assert tensors[name].dtype == array.dtype


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_safetensors_that_mlx_and_we_read_back(tmp_path: Path, dtype: str) -> None:
    values = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32)
    path = tmp_path / "file.safetensors"
    shapes = {"a": ((64, 3), dtype), "b": ((3, 64), dtype)}
    write_safetensors(path, shapes, [encode(values, dtype), encode(values.T, dtype)])
    rounded = np.array(mx.array(values).astype(getattr(mx, dtype)).astype(mx.float32))
    loaded = mx.load(str(path))
    assert isinstance(loaded, dict)
    for name, expected in (("a", rounded), ("b", rounded.T)):
        assert loaded[name].dtype == getattr(mx, dtype)
        np.testing.assert_array_equal(np.array(loaded[name].astype(mx.float32)), expected)
        np.testing.assert_array_equal(read_tensors(path)[name].numpy(), expected)
    if dtype != "bfloat16":  # which NumPy, and so the library's NumPy side, lacks
        assert load_file(path).keys() == shapes.keys()


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 17]}},
        {"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [-8, 8]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]}},
        {"a": {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [1] * 100_000, "data_offsets": [0, 4]}},
        {"a": {"dtype": "X9", "shape": [4], "data_offsets": [0, 16]}},
        {"a": [1]},
        [1],
        {},
    ],
)
def test_impossible_safetensors(tmp_path: Path, header: object) -> None:
    text = json.dumps(header).encode()
    path = tmp_path / "file.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    refusal(path)


def test_deeply_nested_safetensors_header(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(struct.pack("<Q", 10**6) + b"[" * 10**6)
    refusal(path)
