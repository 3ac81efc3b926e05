"""Writes files as `torch.save` does, tensor by tensor, without PyTorch; and hostile ones."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

STORAGES = {"<f2": "HalfStorage", "<f4": "FloatStorage", "<f8": "DoubleStorage", "<i8": "LongStorage"}


def text(value: str) -> bytes:
    """BINUNICODE."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    """LONG1."""
    raw = value.to_bytes(8, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def numbers(values: Iterable[int]) -> bytes:
    """A tuple of integers."""
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(
    key: str,
    shape: tuple[int, ...],
    dtype: str = "<f4",
    *,
    numel: int | None = None,
    offset: int = 0,
    strides: tuple[int, ...] | None = None,
) -> bytes:
    """`torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, False, OrderedDict())`."""
    strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape))) if strides is None else strides
    numel = int(np.prod(shape)) if numel is None else numel
    storage = b"(" + text("storage") + f"ctorch\n{STORAGES[dtype]}\n".encode() + text(key) + text("cpu")
    storage += number(numel) + b"tQ"
    hooks = b"ccollections\nOrderedDict\n)R"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage + number(offset) + numbers(shape) + numbers(strides) + b"\x89" + hooks + b"tR"
    )  # fmt: skip


def state_dict(items: Iterable[tuple[str, bytes]]) -> bytes:
    """A pickle of an OrderedDict from names to already pickled values."""
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + b"".join(text(name) + value for name, value in items) + b"u."


def write_entries(path: Path, entries: Iterable[tuple[str, bytes | np.ndarray]]) -> None:
    """An uncompressed zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries:
            archive.writestr(f"archive/{name}", content.tobytes() if isinstance(content, np.ndarray) else content)


def write_torch_zip(
    path: Path,
    shapes: dict[str, tuple[int, ...]],
    values: Callable[[str, tuple[int, ...]], np.ndarray],
    dtype: str = "<f2",
) -> None:
    """A checkpoint with `values(name, shape)` in `dtype`, or int64 where they are; one tensor in memory at a time."""

    def dtype_of(name: str) -> str:
        return "<i8" if name.endswith("num_batches_tracked") else dtype

    def entries() -> Iterable[tuple[str, bytes | np.ndarray]]:
        yield "data.pkl", state_dict((n, tensor(str(i), s, dtype_of(n))) for i, (n, s) in enumerate(shapes.items()))
        yield "byteorder", b"little"
        for i, (name, shape) in enumerate(shapes.items()):
            yield f"data/{i}", values(name, shape).astype(dtype_of(name))
        yield "version", b"3\n"

    write_entries(path, entries())
