"""Our safetensors files and those of the safetensors package are each other's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from mlx_moebius.convert.safetensors_file import read_safetensors, write_safetensors


def test_each_reads_what_the_other_writes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "a.weight": rng.standard_normal((3, 5)).astype(np.float32),
        "b": rng.integers(0, 9, (7,), np.uint8),
        "empty": np.zeros((0, 4), np.float16),
    }
    outlines = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
    write_safetensors(tmp_path / "ours.safetensors", outlines, arrays.values())
    save_file(arrays, tmp_path / "theirs.safetensors")
    read = load_file(tmp_path / "ours.safetensors")
    tensors = read_safetensors(np.fromfile(tmp_path / "theirs.safetensors", np.uint8))
    assert set(read) == set(tensors) == set(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        assert np.array_equal(read[name], array)
        assert tensors[name].raw.view(array.dtype).reshape(array.shape).tobytes() == array.tobytes()
