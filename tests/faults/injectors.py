"""Faults for tests, each a line to use: a kill at the n-th write, a disk that is full, a clock that is wrong,
a link that is cut.

A write is whatever changes a folder: opening a file to write, syncing, renaming, removing, making a folder. Python
announces these as audit events, so the code under test needs no seams; syncing, which it does not, is replaced.
"""

from __future__ import annotations

import os
import resource
import socket
import stat
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
TORN = 9  # bytes at the end of a file that a power cut takes when it comes before they are synced


class KilledError(BaseException):
    """The process is dead: from here on, whatever it does to the folder raises this again."""


class Watch:
    """Counts the writes below a folder, and does something at one of them, just before it happens."""

    def __init__(self, folder: Path, at: int | None, action: Callable[[], None]) -> None:
        self.folder, self.at, self.action = str(folder), at, action
        self.count = 0
        self.lock = threading.Lock()

    def write(self) -> None:
        """One more write is about to happen."""
        with self.lock:
            self.count += 1
            due = self.at is not None and self.count > self.at
        if due:
            self.action()

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """See `sys.addaudithook`."""
        writes = event in CHANGES or (event == "open" and bool(arguments[2] & WRITING))
        if writes and isinstance(arguments[0], str | os.PathLike) and os.fspath(arguments[0]).startswith(self.folder):
            self.write()

    def sync(self, handle: int) -> None:
        """Instead of `os.fsync`: real disks need no test, but what was not synced yet may be torn."""
        try:
            self.write()
        except KilledError:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                os.ftruncate(handle, max(0, os.fstat(handle).st_size - TORN))
            raise


_watch: Watch | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watch is not None:
        _watch.audit(event, arguments)


sys.addaudithook(_hook)


def die() -> None:
    """End as a killed process does, seen from the folder: nothing is written any more."""
    raise KilledError


@contextmanager
def killed_at(folder: Path, write: int | None = None, action: Callable[[], None] = die) -> Iterator[Watch]:
    """Do `action` at the write of this number, from 0, below a folder; None only counts."""
    global _watch
    sync = os.fsync
    _watch = Watch(folder, write, action)
    os.fsync = _watch.sync  # type: ignore[assignment]
    try:
        yield _watch
    finally:
        _watch, os.fsync = None, sync


def disk_of(size: int) -> Callable[[], None]:
    """For `preexec_fn` of a process: no file of it can grow beyond `size` bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@contextmanager
def clock_set(module: types.ModuleType, year: int) -> Iterator[None]:
    """Let a module that imports `datetime.datetime` live in another year."""
    sound = module.datetime

    class Elsewhen(sound):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, zone: Any = None) -> Any:
            return sound.now(zone).replace(year=year)

    module.datetime = Elsewhen  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.datetime = sound  # type: ignore[attr-defined]


class Link:
    """A wire between two addresses, which can be cut: nothing gets through any more, and nobody is told."""

    def __init__(self, start: tuple[str, int], end: tuple[str, int]) -> None:
        self.end, self.whole = end, threading.Event()
        self.whole.set()
        self.server = socket.create_server(start)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """From now on, all is silence."""
        self.whole.clear()

    def close(self) -> None:
        """Nobody waits for it any more."""
        with suppress(OSError):  # macOS has none for a server, and needs none
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:  # closed meanwhile
                return
            while (far := self._reached()) is None:
                if self.server.fileno() < 0:
                    return
                threading.Event().wait(0.05)  # nobody listens there yet
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._relay, args=pair, daemon=True).start()

    def _reached(self) -> socket.socket | None:
        try:
            return socket.create_connection(self.end)
        except OSError:
            return None

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        while (data := source.recv(65536)) and self.whole.is_set():
            target.sendall(data)
        if self.whole.is_set():
            target.close()
