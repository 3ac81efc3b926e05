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

    handled = [each for each in signals if each == signal.SIGINT or signal.getsignal(each) != signal.SIG_IGN]
    before = [(each, signal.signal(each, note)) for each in handled]
    try:
        yield lambda: came
    finally:
        for each, handler in before:
            signal.signal(each, handler)
