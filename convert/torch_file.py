"""Tensors in a file that `torch.save` wrote, without PyTorch: the zip format and the older one.

zip: NAME/data.pkl, NAME/data/KEY (one storage a file, uncompressed), NAME/byteorder.
Older: five pickles (magic number, protocol, machine, value, keys), then a count and the elements for every key.
Source: PyTorch `torch/serialization.py`; PKWARE APPNOTE 6.3, sections 4.3.7, 4.3.12 and 4.3.16.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np

from mlx_moebius.convert.stored_tensor import STORAGE_DTYPES, Array, StoredTensor, view
from mlx_moebius.convert.torch_pickle import StorageRef, TensorRef, read_pickle

ZIP_START = b"PK\x03\x04"
ENTRY = b"PK\x01\x02"
END = b"PK\x05\x06"
MAX_PICKLE_BYTES = 16 * 2**20
MAX_ENTRIES = 0xFFFE  # 0xFFFF says "see the zip64 record", which files under 4 GB do not need
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

# Where trainers put the weights: PyTorch Lightning, most scripts, PyTorch's own tutorials, DeepSpeed.
STATE_DICTS = ("state_dict", "model", "model_state_dict", "module")
AVERAGE, AVERAGE_NAMES = "ema_buffers", "ema_name_map"  # `save_litema` in the official trainer's ema.py

Extents = dict[str, tuple[int, int]]
"""Name -> first byte in the file, number of bytes."""


def read_torch(data: Array) -> dict[str, StoredTensor]:
    """Tensors of the state dict in the file whose bytes are `data` (memory-mapped uint8), as views of it.

    Takes a dict of tensors, a dict that holds one beside other things (see `_state_dict`), or a moving average of the
    official trainer. Raises ValueError, LookupError, TypeError or struct.error when the file is damaged or wants more
    than tensors.
    """
    is_zip = data[:4].tobytes() == ZIP_START
    value, storages = _read_zip(data) if is_zip else _read_legacy(data)
    tensors = {}
    for name, ref in _state_dict(value).items():
        if not isinstance(name, str) or not isinstance(ref, TensorRef):
            raise ValueError(f"{str(name)[:100]!r} in its state dict is not a tensor")
        tensors[name] = _tensor(data, ref, *storages[ref.storage.key])
    return tensors


def _state_dict(value: Any) -> dict[Any, Any]:
    """The dict of tensors in a file: all of it, or what it holds under one of the names in STATE_DICTS."""
    if not isinstance(value, dict) or not value:
        raise ValueError("it holds no state dict (a dict from names to tensors)")
    if AVERAGE in value and AVERAGE_NAMES in value:
        return _average(value[AVERAGE], value[AVERAGE_NAMES])
    for name in STATE_DICTS:
        if isinstance(value.get(name), dict) and value[name]:
            return value[name]
    return value


def _average(buffers: Any, names: Any) -> dict[Any, Any]:
    """The weights in a `LitEma` of the official trainer, under their full names; it stores them without the dots."""
    if not isinstance(buffers, dict) or not isinstance(names, dict) or not names:
        raise ValueError("its moving average is damaged")
    return {name: buffers[short] for name, short in names.items()}


def _tensor(data: Array, ref: TensorRef, start: int, size: int) -> StoredTensor:
    """The view that `ref` describes of the storage at bytes [start, start + size)."""
    size = min(size, ref.storage.numel * _itemsize(ref.storage))
    offset = ref.offset * _itemsize(ref.storage)
    if offset < 0:
        raise ValueError("a tensor starts before its storage")
    return view(data, ref.storage.dtype, start + offset, size - offset, ref.shape, ref.strides)


def _read_zip(data: Array) -> tuple[Any, Extents]:
    """The pickled value, and where the storages lie."""
    entries = _zip_entries(data)
    pickles = [name for name in entries if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError("it is a zip file, but not one that torch.save wrote")
    folder = pickles[0].removesuffix("data.pkl")

    def content(name: str) -> bytes:
        start, size = entries[name]
        if size > MAX_PICKLE_BYTES:
            raise ValueError(f"its {name[:100]!r} is too large")
        return data[start : start + size].tobytes()

    if folder + "byteorder" in entries and content(folder + "byteorder") != b"little":
        raise ValueError("it was written on a big-endian machine")
    prefix = folder + "data/"
    storages = {name.removeprefix(prefix): extent for name, extent in entries.items() if name.startswith(prefix)}
    return read_pickle(BytesIO(content(pickles[0]))), storages


def _zip_entries(data: Array) -> Extents:
    """Where the files in the zip lie.

    Raises ValueError for compressed or encrypted ones, which torch never writes.
    """
    tail_start = max(0, data.size - 22 - 0xFFFF)  # the end record: 22 bytes and a comment
    end = data[tail_start:].tobytes()
    found = end.rfind(END)
    if found < 0:
        raise ValueError("its zip directory is missing: the file is cut short or damaged")
    count, size, position = struct.unpack_from("<HII", end, found + 10)
    if count > MAX_ENTRIES or position + size > data.size or size < 46 * count:
        raise ValueError("its zip directory is damaged or larger than a checkpoint's")
    directory = data[position : position + size].tobytes()
    entries: Extents = {}
    at = 0
    for _ in range(count):
        signature, flags, method = struct.unpack_from("<4s4xHH", directory, at)
        packed, unpacked, name_length, extra, comment = struct.unpack_from("<IIHHH", directory, at + 20)
        (header,) = struct.unpack_from("<I", directory, at + 42)
        name = directory[at + 46 : at + 46 + name_length].decode()
        if signature != ENTRY or name in entries:
            raise ValueError("its zip directory is damaged")
        if method != 0 or flags & 1 or packed != unpacked:
            raise ValueError(f"its entry {name[:100]!r} is compressed or encrypted, which torch.save never does")
        # The local header repeats name and extra field, the latter with another length (torch pads it to align data).
        local, local_name, local_extra = struct.unpack("<4s22xHH", data[header : header + 30].tobytes())
        start = header + 30 + local_name + local_extra
        if local != ZIP_START or start + unpacked > data.size:
            raise ValueError(f"its entry {name[:100]!r} lies outside the file")
        entries[name] = (start, unpacked)
        at += 46 + name_length + extra + comment
    return entries


def _read_legacy(data: Array) -> tuple[Any, Extents]:
    """The pickled value, and where the storages lie."""
    stream = BytesIO(data[:MAX_PICKLE_BYTES].tobytes())
    try:
        magic = read_pickle(stream)
    except (ValueError, LookupError, TypeError):
        magic = None
    if type(magic) is not int or magic != LEGACY_MAGIC:
        raise ValueError("it is not a file that torch.save wrote")
    refs: dict[str, StorageRef] = {}
    protocol, machine, value, keys = (read_pickle(stream, refs) for _ in range(4))
    if protocol != LEGACY_PROTOCOL or not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("it was written by another version of torch.save or on a big-endian machine")
    storages: Extents = {}
    position = stream.tell()
    for key in keys:
        if not isinstance(key, str):  # a hostile one could be costly to hash
            raise ValueError("its list of storages is damaged")
        (count,) = struct.unpack("<q", data[position : position + 8].tobytes())
        size = count * _itemsize(refs[key])
        if count < 0 or position + 8 + size > data.size:
            raise ValueError("its storages are cut short or damaged")
        storages[key] = (position + 8, size)
        position += 8 + size
    return value, storages


def _itemsize(storage: StorageRef) -> int:
    """Bytes an element."""
    return np.dtype(STORAGE_DTYPES[storage.dtype]).itemsize
