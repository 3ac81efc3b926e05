"""The one exception that users are meant to read, and how the command lines show it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


def printable(text: str) -> str:
    """A text for the terminal: control characters, which a file's name may hold, are shown as escapes."""
    return "".join(c if c.isprintable() or "\ud800" <= c <= "\udfff" else repr(c)[1:-1] for c in text)


class MoebiusError(Exception):
    """Bad input or an impossible request: one line that says what is wrong and what to do."""


@contextmanager
def one_line_errors(status: int = 1) -> Iterator[None]:
    """Show a MoebiusError as one line on standard error, without a traceback, and exit with `status`.

    So also where memory runs out. A process that is told to end (SIGTERM, a closed window) cleans up first.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if threading.current_thread() is threading.main_thread() and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)
    try:
        yield
    except MemoryError:
        print("error: not enough memory: close other programs, or use a smaller photo", file=sys.stderr)
        raise SystemExit(status) from None
    except MoebiusError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        raise SystemExit(status) from None


def _end(number: int, frame: FrameType | None) -> None:
    """Unwind, so that no temporary file stays."""
    raise SystemExit(128 + number)
