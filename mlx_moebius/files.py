"""Files that appear under their name whole or not at all, and what identifies a file's content."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mlx_moebius.errors import MoebiusError

BLOCK = 1 << 20  # bytes read at a time


@contextmanager
def replacing(path: Path, prepare: Callable[[Path], None] | None = None) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends, whole and on disk; nothing remains on an error.

    It is written under another name in the same folder and then renamed. `prepare` is called with that name before the
    rename, for permissions and the like. Where `path` is a symbolic link, what it points to is replaced.
    Raises MoebiusError when the file cannot be written.
    """
    if path.is_symlink():
        path = path.resolve()
    temporary = path.with_name(f".moebius-{secrets.token_hex(6)}.part")  # same folder: a rename is atomic
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if prepare is not None:
            prepare(temporary)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise MoebiusError(f"{path} could not be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder alone, until the process ends. Raises MoebiusError when another run holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MoebiusError(f"another run is writing into {folder}: wait for it, or choose another one") from None
        yield
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Bring a folder's new names to disk, where the file system can: a power cut then takes none of them back."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file. Raises MoebiusError when it cannot be read."""
    try:
        return digest(path, hashlib.sha256())
    except OSError as error:
        raise MoebiusError(f"{path} cannot be read: {error.strerror or error}") from None


def digest(path: Path, algorithm: hashlib._Hash) -> str:
    """Hexadecimal digest of a file, by an algorithm of hashlib that may have been fed already. Raises OSError."""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            algorithm.update(block)
    return algorithm.hexdigest()
