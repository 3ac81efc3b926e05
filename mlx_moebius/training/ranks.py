"""Processes that learn together, on one machine or on several (`mlx.launch`).

Processes are called ranks; the first one writes. All ranks must ask each other the same questions in the same order. A
rank that is alone answers itself.
"""

from __future__ import annotations

from itertools import accumulate

import mlx.core as mx

from mlx_moebius.training.network import Arrays

MESSAGE = 4_000_000  # numbers that ranks exchange at once: each exchange waits for all ranks, however small it is


class Ranks:
    """The ranks of a run."""

    def __init__(self) -> None:
        self.group = mx.distributed.init()
        self.rank, self.size = self.group.rank(), self.group.size()

    @property
    def first(self) -> bool:
        """Whether this rank is the one that judges, saves and reports."""
        return self.rank == 0

    def mean(self, arrays: Arrays) -> Arrays:
        """The means over all ranks."""
        if self.size == 1:
            return arrays
        return {name: total / self.size for name, total in self._sums(arrays).items()}

    def any(self, flag: bool) -> bool:
        """Whether any rank says so."""
        return flag if self.size == 1 else int(self._sum(mx.array(int(flag)))) > 0

    def given(self, value: int) -> int:
        """The first rank's number."""
        return value if self.size == 1 else int(self._sum(mx.array(value if self.first else 0)))

    def shared(self, arrays: Arrays) -> Arrays:
        """The first rank's arrays, for which others give some of the same names, shapes and types."""
        if self.size == 1:
            return arrays
        return self._sums({n: arrays[n] if self.first else mx.zeros_like(arrays[n]) for n in sorted(arrays)})

    def _sums(self, arrays: Arrays) -> Arrays:
        """The sums over all ranks."""
        sums: Arrays = {}
        for names in messages(arrays):
            total = self._sum(mx.concatenate([arrays[name].reshape(-1) for name in names]))
            ends = list(accumulate(arrays[name].size for name in names))
            parts = mx.split(total, ends[:-1])
            sums |= {name: part.reshape(arrays[name].shape) for name, part in zip(names, parts, strict=True)}
        return {name: sums[name] for name in arrays}

    def _sum(self, array: mx.array) -> mx.array:
        # On the CPU, where waiting for others trips no watchdog of the GPU. One after the other: sums that are put off
        # would be computed in an order that depends on what else a rank has put off.
        total = mx.distributed.all_sum(array, group=self.group, stream=mx.cpu)
        mx.eval(total)
        return total


def messages(arrays: Arrays) -> list[list[str]]:
    """The names of arrays, in groups of one type that ranks exchange at once: `MESSAGE` numbers, or one array."""
    groups: list[list[str]] = []
    last: dict[mx.Dtype, tuple[list[str], int]] = {}  # the group that is still open, and its numbers
    for name, array in arrays.items():
        names, size = last.get(array.dtype, ([], MESSAGE))
        if size + array.size > MESSAGE:
            names, size = [], 0
            groups.append(names)
        names.append(name)
        last[array.dtype] = (names, size + array.size)
    return groups
