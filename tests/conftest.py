"""Loaded before every test module: OpenBLAS must come in before any of them imports mlx.core."""

import mlx_moebius  # noqa: F401
