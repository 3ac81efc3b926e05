"""Safetensors files, tensor by tensor: reading maps the file, writing streams it, so neither holds a model in memory.

Format: 8 bytes little-endian length n, n bytes of JSON {name: {dtype, shape, data_offsets}}, then the elements.
Source: huggingface/safetensors, README "Format".

The safetensors package writes from a dictionary of all tensors and reads bfloat16 into no numpy type. It is what the
tests compare with.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from mlx_moebius.convert.stored_tensor import STORAGE_DTYPES, Array, StoredTensor, view
from mlx_moebius.files import flush_to_disk
from mlx_moebius.networks.config import FileRecord

DTYPES = {
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "U8": "uint8",
    "U32": "uint32",
    "BOOL": "bool",
}
CODES = {name: code for code, name in DTYPES.items()}
MAX_HEADER_BYTES = 4 * 2**20


def read_safetensors(data: Array) -> dict[str, StoredTensor]:
    """Tensors of the file whose bytes are `data` (memory-mapped uint8), as views of it.

    Raises ValueError, LookupError, TypeError, RecursionError or struct.error when it is damaged.
    """
    (length,) = struct.unpack("<Q", data[:8].tobytes())
    if length > min(MAX_HEADER_BYTES, data.size - 8):
        raise ValueError("its header is cut short, damaged or larger than a checkpoint's")
    header = json.loads(data[8 : 8 + length].tobytes().decode())
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        dtype = DTYPES[entry["dtype"]]
        if begin < 0:
            raise ValueError(f"its tensor {name[:100]!r} lies outside the data")
        tensor = view(data, dtype, 8 + length + begin, end - begin, entry["shape"])
        if tensor.raw.nbytes != end - begin:
            raise ValueError(f"the size of its tensor {name[:100]!r} does not fit its shape")
        tensors[name] = tensor
    if not tensors:
        raise ValueError("it holds no tensors")
    return tensors


def write_safetensors(
    path: Path, outlines: Mapping[str, tuple[tuple[int, ...], str]], arrays: Iterable[Array]
) -> FileRecord:
    """Write tensors in the order of `outlines` (name -> shape, type); `arrays` gives their row-major elements.

    Returns the file's name, size and SHA-256.
    """
    header: dict[str, object] = {"__metadata__": {"format": "mlx"}}
    position = 0
    for name, (shape, dtype) in outlines.items():
        end = position + math.prod(shape) * np.dtype(STORAGE_DTYPES[dtype]).itemsize
        header[name] = {"dtype": CODES[dtype], "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # elements start at a multiple of 8
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for part in (struct.pack("<Q", len(text)), text):
            file.write(part)
            digest.update(part)
        for (name, (shape, dtype)), array in zip(outlines.items(), arrays, strict=True):
            if array.shape != shape or array.dtype != STORAGE_DTYPES[dtype]:
                raise ValueError(f"{name} came as {array.dtype} {array.shape}")
            file.write(array.data)
            digest.update(array.data)
        size = file.tell()
        file.flush()
        flush_to_disk(file.fileno())
    return FileRecord(path.name, size, digest.hexdigest())
