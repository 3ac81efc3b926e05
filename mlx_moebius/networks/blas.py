"""What MLX's CPU back end on Linux needs from the system to be fast: OpenBLAS, and memory that stays.

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


def keep_freed_memory() -> None:
    """Let glibc reuse freed memory instead of returning it to the kernel.

    MLX's CPU back end calls malloc for every result. glibc maps each large one anew, so that every page faults
    again: an addition of large arrays takes four times as long as with memory at hand.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, -1)  # never


BLAS = load_openblas()
keep_freed_memory()
