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
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from typing_extensions import Self

MOST = 8  # threads: more wait for Python's lock

Item = TypeVar("Item")
Answer = TypeVar("Answer")
First = TypeVar("First")
Second = TypeVar("Second")

_lock = threading.Lock()
_helping = 0  # threads, beside those that called
_users = 0  # of BLAS with one thread
_threads_before = 1


def side_by_side(work: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
    """`[work(item) for item in items]`, on all cores that are free. `work` may divide its own work, too.

    Raises the error of the first item that has one.
    """
    return list(in_order(work, list(items)))


def both(first: Callable[[], First], second: Callable[[], Second]) -> tuple[First, Second]:
    """`(first(), second())`, side by side."""
    parts: tuple[Callable[[], Any], ...] = first, second
    one, other = side_by_side(lambda part: part(), parts)
    return one, other


def in_order(
    work: Callable[[Item], Answer],
    items: Sequence[Item],
    needs: Sequence[Collection[int]] | None = None,
    most: int = MOST,
) -> Generator[Answer, None, None]:
    """Yield `work(item)` for every item, in order, with up to `most` at work at a time.

    `needs` are the numbers of earlier items, for each item, that must be done before it.
    """
    with one_blas_thread():
        yield from _Division(work, items, needs, most).answers_in_order()


class Arriving(Sequence[Item]):
    """`count` items that arrive one after the other. Reading one waits for it.

    To be used in a `with` block, in which they arrive. Who waits for one that has not gets a `CancelledError`.
    """

    def __init__(self, count: int) -> None:
        self._items = [Future[Item]() for _ in range(count)]
        self._arrived = 0

    def arrive(self, item: Item) -> None:
        """Let the next item be read."""
        self._items[self._arrived].set_result(item)
        self._arrived += 1

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [item.result() for item in self._items[index]]
        return self._items[index].result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for item in self._items[self._arrived :]:
            item.cancel()


class Ahead(Iterator[Item]):
    """The items of an iterator, made on a thread of their own while the caller does something else.

    The iterator's error comes after the items before it. To be used in a `with` block, at whose end nothing more is
    made.
    """

    def __init__(self, items: Iterator[Item]) -> None:
        self._items, self.left = items, False
        self._made: SimpleQueue[Future[Item]] = SimpleQueue()
        self._thread = threading.Thread(target=self._make, name="ahead")
        self._thread.start()

    def _make(self) -> None:
        ended: BaseException = StopIteration()
        try:
            for item in self._items:
                made = Future[Item]()
                made.set_result(item)
                self._made.put(made)
                if self.left:
                    break
        except BaseException as error:
            ended = error
        end = Future[Item]()
        end.set_exception(ended)
        self._made.put(end)

    def __next__(self) -> Item:
        made = self._made.get()
        if made.exception() is not None:
            self._made.put(made)  # for whoever asks again
        return made.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.left = True
        self._thread.join()


class _Division(Generic[Item, Answer]):
    """Work that is divided. No closures: these would keep each other, and what they work on, alive."""

    def __init__(
        self,
        work: Callable[[Item], Answer],
        items: Sequence[Item],
        needs: Sequence[Collection[int]] | None,
        most: int,
    ) -> None:
        self.work, self.items, self.needs, self.most = work, items, needs, most
        self.todo = list(range(len(items)))
        self.done: set[int] = set()
        self.answers: dict[int, Answer] = {}
        self.errors: dict[int, BaseException] = {}
        self.helpers: list[Future[None]] = []
        self.active = 0  # helpers that are at work
        self.changed = threading.Condition()

    def answers_in_order(self) -> Generator[Answer, None, None]:
        """Take part in the work, and yield what `in_order` yields."""
        try:
            for number in range(len(self.items)):
                while number not in self.done:
                    if self._one():
                        continue
                    with self.changed:  # another thread is at it, or at what it needs
                        if self.errors and number in self.todo:
                            break
                        if number not in self.done and self._ready() is None:
                            self.changed.wait()
                if number not in self.answers:
                    raise self.errors[min(self.errors)]
                yield self.answers.pop(number)
        finally:
            with self.changed:
                self.todo.clear()
            wait([helper for helper in self.helpers if not helper.cancel()])

    def _ready(self) -> int | None:
        """The next item that can be begun; to be called with `changed` held."""
        if self.errors:
            return None
        needs = self.needs
        return next((number for number in self.todo if needs is None or self.done.issuperset(needs[number])), None)

    def _one(self) -> bool:
        """Do one item, if any is ready, and call for help with the next."""
        with self.changed:
            number = self._ready()
            if number is None:
                return False
            self.todo.remove(number)
            if self.active < self.most - 1 and self._ready() is not None:
                helper = _helped(self._others)
                if helper is not None:
                    self.helpers.append(helper)
                    self.active += 1
        try:
            self.answers[number] = self.work(self.items[number])
        except BaseException as error:
            self.errors[number] = error
        with self.changed:
            self.done.add(number)
            self.changed.notify_all()
        return True

    def _others(self) -> None:
        while self._one():
            pass
        with self.changed:
            self.active -= 1


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


def _helped(work: Callable[[], None]) -> Future[None] | None:
    """`work` begun on another thread, if a core is free for it."""
    global _helping
    with _lock:
        if _helping >= workers() - 1:
            return None
        _helping += 1
    helper = _pool().submit(work)
    helper.add_done_callback(_finished)
    return helper


def _finished(_: Future[None]) -> None:
    global _helping
    with _lock:
        _helping -= 1


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
