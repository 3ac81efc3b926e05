"""OpenBLAS for MLX's CPU back end on Linux.

The Linux wheel of MLX links the reference BLAS, 30 to 50 times slower than OpenBLAS. A library loaded
with RTLD_GLOBAL before `mlx.core` takes precedence over it, so this module must be imported first.
"""

from __future__ import annotations

import ctypes
import sys


def load_openblas() -> str:
    """Make the system's OpenBLAS visible to MLX, where that helps; returns the name of the BLAS that MLX will use."""
    if sys.platform != "linux":
        return "Accelerate" if sys.platform == "darwin" else "built in"
    if "mlx.core" in sys.modules:
        return "as loaded before mlx_moebius"
    try:
        ctypes.CDLL("libopenblas.so.0", mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return "reference BLAS (slow; install OpenBLAS: apt install libopenblas0-pthread)"
    return "OpenBLAS"


BLAS = load_openblas()
