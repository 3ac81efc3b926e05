"""Signals that end a run: noted while a step is computed, acted upon between two steps."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, an orderly end, a terminal that was closed


@contextmanager
def signals_noted(signals: tuple[signal.Signals, ...] = SIGNALS) -> Iterator[Callable[[], int]]:
    """A function that gives the number of the signal that came, 0 before one did.

    A second one interrupts at once. What the process was told to ignore (`nohup`) stays ignored.
    """
    came = 0

    def note(number: int, frame: Any) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = number

    handled = [number for number in signals if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]
    before = [(number, signal.signal(number, note)) for number in handled]
    try:
        yield lambda: came
    finally:
        for number, handler in before:
            signal.signal(number, handler)
