"""What MLX's CPU back end on Linux needs from the system: OpenBLAS, memory that stays, a private folder for kernels.

The Linux wheel of MLX links the reference BLAS, 30 to 50 times slower than OpenBLAS. A library loaded
with RTLD_GLOBAL before `mlx.core` takes precedence over it, so this module must be imported first.

`mlx.compile` writes fused kernels below the temporary directory ("mlx/VERSION/cpu"), calls g++, and loads the library
that lies there, whoever put it there. The directory is the C++ library's: TMPDIR, read whenever a kernel is needed. So
TMPDIR leads to a folder that only its owner can write, kept between runs, since compiling takes seconds; Python's
temporary files stay where they were. This must happen before MLX computes anything.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path


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


def return_freed_memory() -> None:
    """Give freed memory back to the system after all: for when nothing is to be computed soon."""
    import mlx.core as mx

    mx.clear_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def default_folder() -> Path:
    """Where kernels are kept: the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlx-moebius" / "kernels"


def make_private(folder: Path) -> None:
    """Make a folder that only this user can write, or check that it is one. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()  # a link may lead anywhere
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(f"{folder} is not this user's alone: remove it, or chmod 700") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} is read-only")


def use_private_kernels() -> None:
    """Let MLX compile in the private folder; where there can be none, let it do without compiled kernels."""
    if sys.platform != "linux":
        return
    try:
        folder = default_folder()
        make_private(folder)
    except (OSError, RuntimeError) as error:  # the latter where a user has no home
        reason = getattr(error, "strerror", None) or error
        print(f"warning: no private folder for kernels ({reason}): computing without them, slower", file=sys.stderr)
        os.environ["MLX_DISABLE_COMPILE"] = "1"
        return
    with suppress(OSError):  # no temporary folder at all: whoever needs one will say so
        tempfile.gettempdir()  # decided now, so that Python's temporary files do not move
    os.environ["TMPDIR"] = str(folder)


BLAS = load_openblas()
keep_freed_memory()
use_private_kernels()
