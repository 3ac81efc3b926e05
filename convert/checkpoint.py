"""Any checkpoint file, by its content: tensors by name, memory-mapped."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np

from mlx_moebius.convert.safetensors_file import read_safetensors
from mlx_moebius.convert.stored_tensor import Tensors
from mlx_moebius.convert.torch_file import read_torch
from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import HEAD, saved_instead

WEIGHT_NAMES = ("diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors")

# What PyTorch puts before names: DistributedDataParallel, torch.compile.
WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:module|_orig_mod)\.")
BATCH_NORM = re.compile(r"(.*\.(?:bn\d|norm_[qv])\.)weight")  # of the U-Net
STATISTICS = ("running_mean", "running_var")

# Several tensors may share a storage, or repeat it with stride 0; beyond this it is not a checkpoint but a bomb.
MAX_GROWTH = 4
SLACK = 2**20
MAX_NAME = 256


def read_tensors(path: Path) -> Tensors:
    """Tensors in a `.safetensors` file or in one that `torch.save` wrote (`.bin`, `.pt`, `.pth`), as views of it.

    Nothing in the file is executed. Raises MoebiusError, in one line, for whatever is not such a file.
    """
    try:
        data = np.memmap(path, np.uint8, mode="r")
        if (other := saved_instead(data[:HEAD].tobytes(), data.size)) is not None:
            raise ValueError(other)
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


def read_checkpoint(path: Path) -> tuple[Tensors, list[Path]]:
    """Tensors of a trainer's checkpoint under the names that the network gives them, and the files they came from.

    What PyTorch puts before names is taken off. A moving average of the weights mostly lacks BatchNorm's statistics:
    what it lacks is then taken from the checkpoint beside it. Raises MoebiusError.
    """
    tensors = _unwrapped(path)
    norms = [match[1] for name in tensors if (match := BATCH_NORM.fullmatch(name))]
    if not norms or any(f"{norm}{kind}" in tensors for norm in norms for kind in STATISTICS):
        return tensors, [path]
    beside = next((file for name in WEIGHT_NAMES if (file := path.with_name(name)).is_file() and file != path), None)
    if beside is None:
        raise MoebiusError(
            f"{path} has no BatchNorm statistics, as a trainer's moving average: put the checkpoint of the same step "
            f"beside it, as {WEIGHT_NAMES[0]}"
        )
    whole = _unwrapped(beside)
    if unknown := sorted(set(tensors) - set(whole)):
        raise MoebiusError(f"{path} and {beside} are not of one network: only the first has {unknown[0][:160]}")
    return whole | tensors, [path, beside]


def _unwrapped(path: Path) -> Tensors:
    tensors: Tensors = {}
    for name, tensor in read_tensors(path).items():
        short = WRAPPERS.sub("", name)
        if short in tensors:
            raise MoebiusError(f"{path} holds {short[:160]} twice, once as {name[:160]}")
        tensors[short] = tensor
    return tensors


def find_weights(path: Path) -> Path:
    """`path` itself if it is a file, else the weight file in that folder."""
    if path.is_file():
        return path
    for name in WEIGHT_NAMES:
        if (path / name).is_file():
            return path / name
    reason = f"it holds no {' or '.join(WEIGHT_NAMES)}" if path.is_dir() else "no such file or folder"
    raise MoebiusError(f"no checkpoint at {path}: {reason}")
