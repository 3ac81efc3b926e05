"""What MLX's CPU back end on Linux needs from the system: OpenBLAS, memory that is kept, a private folder for kernels.

The Linux wheel of MLX links the reference BLAS, 30 to 50 times slower than OpenBLAS. A library loaded with RTLD_GLOBAL
before `mlx.core` takes precedence over it, so this module must be imported first; a warning says so where it was not.

`mx.compile` writes fused kernels below the temporary directory ("mlx/VERSION/cpu"), calls g++, and loads the library
that lies there, whoever put it there. The C++ library reads the directory from TMPDIR whenever it needs a kernel. So
during evaluation TMPDIR names a folder that only the user can write (`private_kernels`). The folder is kept between
runs, since compiling takes seconds.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def load_openblas() -> str:
    """Load the system's OpenBLAS for MLX, where that helps. Returns the name of the BLAS that MLX will use."""
    if sys.platform != "linux":
        return "Accelerate" if sys.platform == "darwin" else "built in"
    if "mlx.core" in sys.modules:
        if hasattr(ctypes.CDLL(None), "openblas_get_config"):  # loaded for all by somebody else
            return "OpenBLAS"
        core = sys.modules["mlx.core"]
        if core.default_device() != core.gpu:
            warnings.warn(
                "mlx.core was imported before mlx_moebius: MLX computes several times slower on this CPU, without "
                "OpenBLAS. Import mlx_moebius first",
                RuntimeWarning,
                stacklevel=3,
            )
        return "reference BLAS (slow; import mlx_moebius before mlx.core)"
    try:
        with _idle_threads_asleep():
            ctypes.CDLL("libopenblas.so.0", mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return "reference BLAS (slow; install OpenBLAS: apt install libopenblas0-pthread)"
    return "OpenBLAS"


@contextmanager
def _idle_threads_asleep() -> Iterator[None]:
    """An OpenBLAS that is loaded in this block lets its threads sleep as soon as they have nothing to do.

    Otherwise each waits with a busy core for tens of milliseconds after every product, while other work needs the core.
    What the environment says goes before.
    """
    name = "OPENBLAS_THREAD_TIMEOUT"  # in powers of two of a cycle, read when the library is loaded
    if name in os.environ:
        yield
        return
    os.environ[name] = "4"
    try:
        yield
    finally:
        del os.environ[name]


def keep_freed_memory() -> None:
    """Let glibc reuse freed memory instead of returning it to the kernel.

    MLX's CPU back end calls malloc for every result. glibc maps new pages for every large result, and all of them
    fault: an addition of large arrays takes four times as long as with memory that is reused.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, -1)  # never


def return_freed_memory() -> None:
    """Give freed memory back to the system, for a time in which nothing is computed."""
    import mlx.core as mx

    mx.clear_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def default_folder() -> Path:
    """The folder where kernels are kept, in the user's cache."""
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


class _Kernels:
    """The private folder, and the number of blocks that use it now."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blocks = 0
        self.folder: Path | None = None
        self.outside: str | None = None  # TMPDIR outside all blocks
        self.warned = False

    def enter(self) -> None:
        with self.lock:
            self.folder = self.folder or self._found()
            if self.folder is not None and self.blocks == 0:
                with suppress(OSError):  # no temporary folder at all: whoever needs one will say so
                    tempfile.gettempdir()  # decided now, so that Python's temporary files do not move
                self.outside = os.environ.get("TMPDIR")
                os.environ["TMPDIR"] = str(self.folder)
            self.blocks += 1

    def leave(self) -> None:
        with self.lock:
            self.blocks -= 1
            if self.folder is None or self.blocks:
                return
            if self.outside is None:
                os.environ.pop("TMPDIR", None)
            else:
                os.environ["TMPDIR"] = self.outside

    def _found(self) -> Path | None:
        """The folder; None where it cannot be made. MLX then computes without compiled kernels."""
        import mlx.core as mx  # not before OpenBLAS

        try:
            folder = default_folder()
            make_private(folder)
        except (OSError, RuntimeError) as error:  # the latter where a user has no home
            if not self.warned:
                reason = getattr(error, "strerror", None) or error
                text = f"no private folder for kernels ({reason}): computing without them, slower"
                print(f"warning: {text}", file=sys.stderr)
            self.warned = True
            mx.disable_compile()
            return None
        return folder


_kernels = _Kernels()


@contextmanager
def private_kernels() -> Iterator[None]:
    """Within this block MLX compiles kernels in the private folder. Where there is none, it computes without them.

    All code that evaluates arrays belongs in such a block. After it, TMPDIR is the user's again, so that no child
    process sees the folder.
    """
    if sys.platform != "linux":
        yield
        return
    _kernels.enter()
    try:
        yield
    finally:
        _kernels.leave()


BLAS = load_openblas()
keep_freed_memory()
