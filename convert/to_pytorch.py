"""Writes the U-Net of a model folder as a PyTorch checkpoint: released names and layouts, for the official code."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from mlx_moebius.convert.checkpoint import read_tensors
from mlx_moebius.convert.mapping import UNET_LAYOUTS, check_parameters, unet_shapes
from mlx_moebius.convert.safetensors_file import write_safetensors
from mlx_moebius.convert.stored_tensor import StoredTensor, Tensors
from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import sync_file, sync_folder
from mlx_moebius.networks.config import UNET_NAME, ModelConfig

PREFIX = "diff_model."
WITHOUT_PREFIX = "embedding_layer."
COUNTER = "num_batches_tracked"  # of a BatchNorm; PyTorch expects it, nothing reads it


def lay_back(tensor: StoredTensor, layout: str) -> StoredTensor | None:
    """The inverse of `mapping.lay_out`; None when the rank does not fit."""
    before, after = (side.split() for side in layout.split(" -> "))
    if len(tensor.shape) != len(after):
        return None
    kept = [axis for axis in before if axis != "1"]
    view = tensor.raw.transpose([after.index(axis) for axis in kept])
    shape = iter(view.shape)
    return StoredTensor(view.reshape([1 if axis == "1" else next(shape) for axis in before]), tensor.dtype)


def released_tensors(folder: Path) -> Tensors:
    """The U-Net of a model folder as the released checkpoint has it, in the type that the folder stores.

    Raises MoebiusError when the folder is no model, or a quantized one, whose weights are rounded.
    """
    config = ModelConfig.load(folder)
    if config.quantization is not None:
        raise MoebiusError(f"{folder} is quantized: give the model that it was made from")
    stored = read_tensors(folder / UNET_NAME)
    check_parameters(f"U-Net ({folder / UNET_NAME})", stored, unet_shapes(config.unet))
    tensors: Tensors = {}
    for name, tensor in stored.items():
        views = (lay_back(tensor, layout) for pattern, layout in UNET_LAYOUTS if re.fullmatch(pattern, name))
        laid = next(view for view in views if view is not None)
        released = name if name.startswith(WITHOUT_PREFIX) else PREFIX + name
        tensors[released] = laid
        if name.endswith(".running_mean"):
            counter = released.removesuffix("running_mean") + COUNTER
            tensors[counter] = StoredTensor(np.zeros((), "<i8"), "int64")
    return tensors


def write_released(folder: Path, out: Path) -> int:
    """Write `out` (safetensors), whole or not at all; returns the number of tensors. Raises MoebiusError."""
    if out.suffix != ".safetensors":
        raise MoebiusError(f"{out} must end in .safetensors")
    if out.exists():
        raise MoebiusError(f"{out} already exists; choose another name")
    tensors = released_tensors(folder)
    outlines = {name: (tensor.shape, tensor.dtype) for name, tensor in sorted(tensors.items())}
    part = out.with_name(f".{out.name}.part")
    try:
        write_safetensors(part, outlines, (np.array(tensors[name].raw, order="C") for name in outlines))
        sync_file(part)
        os.replace(part, out)
        sync_folder(out.parent)
    except OSError as error:
        raise MoebiusError(f"cannot write {out}: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)
    return len(outlines)
