"""NumPy's work on all cores, with the same results as on one.

Parts that do not need each other run side by side on a few threads; NumPy and Pillow let go of Python's lock while they
compute. BLAS must have one thread meanwhile: its own would take the cores away, and the number of its threads changes
the last bits of its results. So those are the same on every number of cores.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

MOST = 8  # threads: more wait for Python's lock

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_inside = threading.local()  # `busy` in a thread that works for `side_by_side`
_lock = threading.Lock()
_users = 0  # of BLAS with one thread
_threads_before = 1


def side_by_side(work: Callable[[Item], Answer], items: Iterable[Item], most: int = MOST) -> list[Answer]:
    """`[work(item) for item in items]`, up to `most` of them at a time; inside `work`, one after the other.

    Raises the first error in the order of the items.
    """
    todo = list(items)
    helpers = min(workers(), most, len(todo)) - 1
    with one_blas_thread():
        if helpers < 1 or getattr(_inside, "busy", False):
            return [work(item) for item in todo]
        rest = iter(enumerate(todo))
        answers: dict[int, Answer] = {}
        errors: dict[int, BaseException] = {}

        def take() -> None:
            _inside.busy = True
            try:
                while not errors:
                    with taking:
                        index, item = next(rest, (-1, None))
                    if index < 0:
                        return
                    try:
                        answers[index] = work(item)  # type: ignore[arg-type]
                    except BaseException as error:
                        errors[index] = error
            finally:
                _inside.busy = False

        taking = threading.Lock()
        others = [_pool().submit(take) for _ in range(helpers)]
        try:
            take()
        finally:
            wait([other for other in others if not other.cancel()])
        if errors:
            raise errors[min(errors)]
        return [answers[index] for index in range(len(todo))]


def workers() -> int:
    """Cores that this process may use, at most `MOST`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """NumPy's OpenBLAS computes on one thread inside; other BLAS libraries, such as Apple's, stay as they are."""
    global _users, _threads_before
    blas = _openblas()
    if blas is None:
        yield
        return
    get, put = blas
    with _lock:
        if not _users:
            _threads_before = get()
            put(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                put(_threads_before)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, MOST - 1), "side_by_side")


@cache
def _openblas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """Functions of the OpenBLAS that NumPy is linked to: how many threads it has, and to set that. None without it."""
    import numpy.linalg  # noqa: F401

    linked = sys.modules.get("numpy.linalg._umath_linalg")
    try:
        library = ctypes.CDLL(getattr(linked, "__file__", ""))
    except (OSError, TypeError):
        return None
    for name in ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_", "openblas_{}_num_threads"):
        get, put = (getattr(library, name.format(verb), None) for verb in ("get", "set"))
        if get is not None and put is not None:
            get.restype, put.argtypes, put.restype = ctypes.c_int, [ctypes.c_int], None
            return get, put
    return None
