"""A private folder for the kernels that MLX's CPU back end compiles on Linux.

`mlx.compile` writes fused kernels below the temporary directory ("mlx/VERSION/cpu"), calls g++, and loads the library
that lies there, whoever put it there. The directory is the C++ library's: TMPDIR, read whenever a kernel is needed. So
TMPDIR leads to a folder that only its owner can write, kept between runs, since compiling takes seconds; Python's own
temporary files stay where they were. This must act before MLX computes anything.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path


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


use_private_kernels()
