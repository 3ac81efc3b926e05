"""The one exception that users are meant to read, and how the command lines show it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class MoebiusError(Exception):
    """Bad input or an impossible request: one line that says what is wrong and what to do."""


@contextmanager
def one_line_errors(status: int = 1) -> Iterator[None]:
    """Show a MoebiusError as one line on standard error, without a traceback, and exit with `status`.

    So also where memory runs out.
    """
    try:
        yield
    except MemoryError:
        print("error: not enough memory: close other programs, or use a smaller photo", file=sys.stderr)
        raise SystemExit(status) from None
    except MoebiusError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(status) from None
