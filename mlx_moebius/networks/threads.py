"""MLX in a program with threads or forks: what must be done when a thread ends, and what is refused after a fork.

MLX keeps streams and compiled functions for every thread that computes. A thread must clear them before it ends.
Otherwise the C++ library clears them too late, without Python's lock, and the process ends (exit code 134, seen with
MLX 0.32.4 on Linux). MLX also starts threads to compute on. A forked child does not have them and would wait for ever.
"""

from __future__ import annotations

import os
import threading

import mlx.core as mx

from mlx_moebius.errors import MoebiusError

_thread = threading.local()
_computed = False  # before the fork
_forked = False  # from a process in which MLX had computed


class _Cleanup:
    """Clears MLX's streams when the thread that made this object ends: Python then lets go of its thread-locals."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()

    def __del__(self) -> None:
        if threading.get_ident() == self.thread:  # not at the program's end, for a thread that still runs
            mx.clear_streams()


def prepare_thread() -> None:
    """Call this where MLX is about to compute.

    Raises MoebiusError in a process that was forked from one in which MLX had computed.
    """
    if _forked:
        raise MoebiusError(
            "this process was forked from one in which MLX had computed, and MLX's threads do not survive that: "
            'start it with the method "spawn" of multiprocessing'
        )
    if threading.current_thread() is not threading.main_thread() and not hasattr(_thread, "cleanup"):
        _thread.cleanup = _Cleanup()


def _before_fork() -> None:
    global _computed
    _computed = mx.get_peak_memory() + mx.get_active_memory() + mx.get_cache_memory() > 0


def _in_child() -> None:
    global _forked
    _forked = _forked or _computed


os.register_at_fork(before=_before_fork, after_in_child=_in_child)
