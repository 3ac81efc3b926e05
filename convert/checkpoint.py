"""Any checkpoint file, by its content: tensors by name, memory-mapped."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from mlx_moebius.convert.safetensors_file import read_safetensors
from mlx_moebius.convert.stored_tensor import StoredTensor
from mlx_moebius.convert.torch_file import read_torch
from mlx_moebius.errors import MoebiusError

WEIGHT_NAMES = ("diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors")

# Several tensors may share a storage, or repeat it with stride 0; beyond this it is not a checkpoint but a bomb.
MAX_GROWTH = 4
SLACK = 2**20
MAX_NAME = 256


def read_tensors(path: Path) -> dict[str, StoredTensor]:
    """Tensors in a `.safetensors` file or in one that `torch.save` wrote (`.bin`, `.pt`, `.pth`), as views of it.

    Nothing in the file is executed. Raises MoebiusError, in one line, for whatever is not such a file.
    """
    try:
        data = np.memmap(path, np.uint8, mode="r")
        read = read_safetensors if path.suffix == ".safetensors" else read_torch
        tensors = read(data)
        if not all(name.isprintable() and len(name) <= MAX_NAME for name in tensors):
            raise ValueError("a tensor's name is not a name")
        if sum(tensor.raw.nbytes for tensor in tensors.values()) > MAX_GROWTH * data.size + SLACK:
            raise ValueError("its tensors claim far more memory than the file has")
        return tensors
    except OSError as error:
        raise MoebiusError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError, struct.error, AttributeError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        if type(error) is not ValueError:  # not raised for the user's eyes
            reason = f"it is damaged ({reason})"
        raise MoebiusError(f"cannot read tensors from {path}: {reason}") from None


def find_weights(path: Path) -> Path:
    """`path` itself if it is a file, else the weight file in that folder."""
    if path.is_file():
        return path
    for name in WEIGHT_NAMES:
        if (path / name).is_file():
            return path / name
    reason = f"it holds no {' or '.join(WEIGHT_NAMES)}" if path.is_dir() else "no such file or folder"
    raise MoebiusError(f"no checkpoint at {path}: {reason}")
