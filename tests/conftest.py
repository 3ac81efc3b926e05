"""Loaded before every test module, hence before any of them imports mlx.core."""

import os

os.environ.setdefault("MLX_ENABLE_TF32", "0")  # parity in float32 wants all of its bits, also on an M5 or NVIDIA GPU

import mlx_moebius  # noqa: F401  (loads OpenBLAS)
