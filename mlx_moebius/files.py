"""Atomic writing of files, locks, and checksums."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from mlx_moebius.errors import MoebiusError

BLOCK = 1 << 20  # bytes read at a time
HEAD = 256  # bytes at the start of a file that `saved_instead` needs
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
WEB_PAGE = (b"<!doctype html", b"<html", b"<?xml")
EVERYBODY = 0o666  # permissions of a new file, which the user's umask restricts


@contextmanager
def replacing(
    path: Path, prepare: Callable[[Path], None] | None = None, *, overwrite: bool = True, mode: int = EVERYBODY
) -> Iterator[BinaryIO]:
    """Write a new file, which takes the place of `path` at the end of the block. After an error nothing remains of it.

    It is written under another name in the same folder, brought to disk and then renamed. From the start it has no more
    permissions than `mode`, so that a part of a private file is private. `prepare` is called with its temporary path
    before the rename. Where `path` is a symbolic link, the file that it points to is replaced. Without `overwrite`, a
    file that has appeared at `path` in the meantime is kept.

    Raises MoebiusError when the file cannot be written, or when it exists and must not be replaced.
    """
    path = followed(path)
    temporary = path.with_name(f".moebius-{secrets.token_hex(6)}.part")  # same folder: a rename is atomic
    try:
        with os.fdopen(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o666 | stat.S_IWUSR), "wb"
        ) as f:
            with suppress(BlockingIOError):
                lock(f.fileno())  # tells `remove_left_parts` that somebody writes it
            yield f
            f.flush()
            flush_to_disk(f.fileno())
            if prepare is not None:
                prepare(temporary)
            if overwrite:
                os.replace(temporary, path)
            else:
                _rename_to_new(temporary, path)
        sync_folder(path.parent)
    except FileExistsError:
        raise MoebiusError(f"{path} was made by somebody else meanwhile and is kept: give another name") from None
    except OSError as error:
        raise MoebiusError(f"{path} could not be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Rename a file, but raise FileExistsError where `path` exists."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, such as exFAT: hold the name by an empty file
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.replace(temporary, path)


def remove_left_parts(folder: Path) -> None:
    """Remove half-written files of killed processes, in a folder and all folders inside. Files being written stay."""
    for part in folder.rglob(".moebius-*.part"):
        with suppress(OSError):  # another process may remove it at this moment
            handle = os.open(part, os.O_RDONLY)
            try:
                if lock(handle):
                    part.unlink()
            finally:
                os.close(handle)


def followed(path: Path) -> Path:
    """The target of a symbolic link; other paths are returned unchanged. Raises MoebiusError for a circular link."""
    try:
        target = path.resolve() if path.is_symlink() else path
    except (OSError, RuntimeError):
        target = path
    if target.is_symlink():  # Python 3.13 resolves a circle to a link of it
        raise MoebiusError(f"{path} is a link that leads to itself")
    return target


def lock(handle: int, wait: bool = False) -> bool:
    """Lock an open file or folder against other processes, until it is closed.

    Returns False where the file system has no locks (some network shares). Raises BlockingIOError when another process
    holds the lock and `wait` is False.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


@contextmanager
def locked(folder: Path, warn: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """Lock a folder against other runs within the block. Raises MoebiusError when another run has locked it.

    Where the file system has no locks, `warn` is told and the run goes on.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            if not lock(handle):
                warn(f"the disk of {folder} has no locks: see to it that no second run writes into it")
        except BlockingIOError:
            raise MoebiusError(f"another run is writing into {folder}: wait for it, or choose another one") from None
        yield
    finally:
        os.close(handle)


def flush_to_disk(handle: int) -> None:
    """Wait until an open file is on the disk. On a Mac, `fsync` leaves it in the drive's cache, F_FULLFSYNC not."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        try:
            fcntl.fcntl(handle, full)
            return
        except OSError:  # a network share that has no such call
            pass
    os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Bring new names in a folder to disk, where the file system can, so that they survive a power cut."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            flush_to_disk(handle)
        finally:
            os.close(handle)


def sync_files(folder: Path) -> None:
    """Bring all files in a folder, and their names, to disk. Raises OSError."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        elif path.is_file():
            sync_file(path)
    sync_folder(folder)


def sync_file(path: Path) -> None:
    """Bring a file that was written to disk. Raises OSError."""
    with path.open("rb") as file:
        flush_to_disk(file.fileno())


def printable(name: str) -> str:
    """A name, or a line with a name, as text for the terminal: control characters in it become escapes."""
    return "".join(c if c.isprintable() or "\ud800" <= c <= "\udfff" else repr(c)[1:-1] for c in name)


def expanded(name: str) -> Path:
    """A path of which `~` or `~somebody` is the home folder, where there is such a user."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def check_regular(path: Path) -> None:
    """Raise MoebiusError, without the path, for a pipe, a device or a socket, of which reading may wait for ever.

    Raises OSError.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise MoebiusError("it is a pipe, a device or a socket, not a file: save it as a file first")


def permissions(paths: Iterable[Path]) -> int:
    """The read and write permissions that all files share, for a file made from them. The owner always has both."""
    mode = EVERYBODY
    for path in paths:
        with suppress(OSError):
            mode &= path.stat().st_mode
    return mode | stat.S_IRUSR | stat.S_IWUSR


def make_folder(folder: Path, mode: int) -> None:
    """Make a folder and its parents. Only their owner gets more permissions than `mode` has. Raises MoebiusError."""
    try:
        if not folder.parent.is_dir():
            make_folder(folder.parent, mode)
        folder.mkdir(mode=mode | stat.S_IRWXU, exist_ok=True)
    except OSError as error:
        raise MoebiusError(f"{folder} cannot be made: {error.strerror or error}") from None


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file. Raises MoebiusError when it cannot be read."""
    try:
        return digest(path, hashlib.sha256())
    except OSError as error:
        raise MoebiusError(f"{path} cannot be read: {error.strerror or error}") from None


def sha256_once(path: Path) -> str:
    """The same, computed once as long as the file's size and time stay as they are. Raises MoebiusError."""
    try:
        found = path.stat()
    except OSError as error:
        raise MoebiusError(f"{path} cannot be read: {error.strerror or error}") from None
    return _sha256_at(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4096)
def _sha256_at(path: Path, size: int, changed: int) -> str:
    return sha256(path)


def digest(path: Path, algorithm: hashlib._Hash) -> str:
    """Hexadecimal digest of a file. `algorithm` is a hash object of hashlib, which may hold a prefix already.

    Raises OSError, and MoebiusError for what is no regular file.
    """
    try:
        check_regular(path)
    except MoebiusError as error:
        raise error.within(path) from None
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            algorithm.update(block)
    return algorithm.hexdigest()


def saved_instead(head: bytes, size: int) -> str | None:
    """Recognise a file that was saved instead of a large one: a Git LFS pointer or a web page.

    Returns words that follow "FILE: ", or None for other files. `head` are the file's first HEAD bytes, `size` is its
    size in bytes.
    """
    if head.startswith(LFS_POINTER):
        return (
            f"it is a Git LFS pointer ({size} bytes), not the file itself: run `git lfs pull` in its repository, "
            "or download the file"
        )
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(WEB_PAGE):
        return "it is a web page, not the file itself: download that (its site may want you to log in first)"
    return None
