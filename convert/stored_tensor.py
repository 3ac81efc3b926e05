"""A tensor as it lies in a file: a view of memory-mapped bytes and the name of their type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# NumPy has no bfloat16: its bits are kept as uint16.
STORAGE_DTYPES = {
    "float16": "<f2",
    "bfloat16": "<u2",
    "float32": "<f4",
    "float64": "<f8",
    "int8": "<i1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
    "uint8": "<u1",
    "uint32": "<u4",
    "bool": "|b1",
}
MAX_RANK = 8
MAX_DIMENSION = 2**40


@dataclass(frozen=True, slots=True, eq=False)
class StoredTensor:
    """Raw elements (bfloat16 as uint16 bits) and their type's name; mostly a view of a file, so not read yet."""

    raw: Array
    dtype: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape, in the layout of the file."""
        return self.raw.shape

    @property
    def is_floating(self) -> bool:
        """Whether the elements are floating-point numbers."""
        return "float" in self.dtype

    def numpy(self) -> Array:
        """The values; bfloat16 widened to float32, which is exact."""
        if self.dtype != "bfloat16":
            return self.raw
        return (self.raw.astype(np.uint32) << 16).view(np.float32)


Tensors = dict[str, StoredTensor]
"""Tensors by name."""


def view(
    buffer: Array, dtype: str, start: int, available: int, shape: Sequence[int], strides: Sequence[int] | None = None
) -> StoredTensor:
    """The tensor that starts at byte `start` of `buffer` (uint8) and ends within `available` bytes from there.

    `strides` are in elements; none means row-major. Raises ValueError when shape and strides leave those bytes.
    """
    if len(shape) > MAX_RANK:
        raise ValueError(f"a tensor has {len(shape)} dimensions")
    if strides is None:
        strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    if len(shape) != len(strides):
        raise ValueError(f"a tensor has {len(shape)} dimensions and {len(strides)} strides")
    if not all(isinstance(n, int) and 0 <= n <= MAX_DIMENSION for n in (start, *shape, *strides)):
        raise ValueError("a tensor has an impossible offset, shape or stride")
    element = np.dtype(STORAGE_DTYPES[dtype])
    if 0 in shape:
        return StoredTensor(np.zeros(shape, element), dtype)
    last = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if (last + 1) * element.itemsize > available or start + (last + 1) * element.itemsize > buffer.size:
        raise ValueError("a tensor reaches beyond its storage")
    steps = tuple(stride * element.itemsize for stride in strides)
    return StoredTensor(np.ndarray(tuple(shape), element, buffer.data, start, steps), dtype)


def encode(values: Array, dtype: str) -> Array:
    """Row-major elements of `values` in the type called `dtype`, rounded to nearest even (bfloat16 as uint16 bits).

    Values that do not fit become infinite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype != "bfloat16":
            return np.ascontiguousarray(values, STORAGE_DTYPES[dtype])
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded: Array = (bits + (0x7FFF + (bits >> 16 & 1))) >> 16
    return rounded.astype("<u2")
