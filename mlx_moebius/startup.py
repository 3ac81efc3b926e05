"""What happens first in a process that runs one of our commands: `python -m mlx_moebius...`, or one of our scripts.

The package imports this module before all others, so it imports only the standard library.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

COMMANDS = ("generate", "train", "convert", "models", "ui", "benchmark")
SCRIPTS = ("mlx-moebius", *(f"mlx_moebius.{name}" for name in COMMANDS))


def is_our_process() -> bool:
    """Whether Python was started to run one of our commands, and not a program that uses the package."""
    if sys.argv[:1] == ["-m"]:  # Python is still looking for the module: its name stands before its arguments
        module = sys.orig_argv[-len(sys.argv)].removeprefix("-m")
        return module.partition(".")[0] == "mlx_moebius"
    return bool(sys.argv) and os.path.basename(sys.argv[0]) in SCRIPTS


def prepare() -> None:
    """Import code only from where it was installed, and let Ctrl-C end the imports without a traceback."""
    ignored = getattr(sys.flags, "safe_path", False) or sys.flags.isolated
    if sys.argv[:1] == ["-m"] and not ignored:
        # Python puts the current folder first. It may hold photos from anybody: a typer.py among them would be run.
        del sys.path[0]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        global _ends_at_once
        _ends_at_once = True


def interruptible() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, as usual, so that work can be ended in order.

    SIGTERM and a closed terminal window raise SystemExit, so that no temporary file stays.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if threading.current_thread() is threading.main_thread() and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)
    if _ends_at_once and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


_ends_at_once = False
if is_our_process():
    prepare()
