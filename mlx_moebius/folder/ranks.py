"""The ranks of a run: processes, maybe on several hosts, that see the same folders and share the photos.

A rank that is killed, or whose connection is lost, must not stop the others for ever. MLX reports a closed connection,
but not a silent one, so waiting is bounded.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import mlx.core as mx

from mlx_moebius.errors import MoebiusError
from mlx_moebius.folder import ledger
from mlx_moebius.photos.pairing import Pair

PATIENCE = 300.0  # seconds in which no rank finishes a photo, after which this rank stops waiting


class LostError(MoebiusError):
    """Another rank has ended, or cannot be reached any more."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """The ranks of a run that writes into `output`. This process is number `rank` of `size`."""

    group: mx.distributed.Group
    output: Path

    @classmethod
    def join(cls, output: Path) -> Ranks:
        """Connect with the ranks that the launcher has started, if any. Raises MoebiusError when that fails."""
        try:
            ranks = cls(mx.distributed.init(), output)
        except RuntimeError as error:
            raise MoebiusError(f"the ranks cannot connect: {' '.join(str(error).split())}") from None
        if ranks.size > 1:  # when a rank fails, the launcher sends SIGTERM to the others: they stop as for Ctrl-C
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        return ranks

    @property
    def rank(self) -> int:
        """This rank's number, from 0."""
        return self.group.rank()

    @property
    def size(self) -> int:
        """The number of ranks."""
        return self.group.size()

    def share(self, pairs: list[Pair]) -> list[Pair]:
        """The photos that this rank fills."""
        return pairs[self.rank :: self.size]

    def meet(self) -> None:
        """Wait for all ranks, as long as photos are being done. Raises LostError when a rank does not arrive."""
        if self.size == 1:
            return
        failures: list[RuntimeError] = []

        def wait() -> None:
            try:
                mx.eval(mx.distributed.all_sum(mx.ones(1), group=self.group, stream=mx.cpu))
            except RuntimeError as error:  # the connection was closed
                failures.append(error)

        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        patience = float(os.environ.get("MLX_MOEBIUS_PATIENCE", PATIENCE))
        seen, until = ledger.sizes(self.output), time.monotonic() + patience
        while waiting.is_alive() and time.monotonic() < until:
            waiting.join(min(1.0, patience))
            if (now := ledger.sizes(self.output)) != seen:
                seen, until = now, time.monotonic() + patience
        if failures or waiting.is_alive():
            raise LostError("another rank has ended or cannot be reached")

    def tell(self, pairs: list[Pair]) -> str:
        """Say how many photos every rank has done, from the ledgers of all ranks."""
        records = ledger.read(self.output)
        done = {name for name, record in records.items() if "error" not in record}
        return ", ".join(
            f"rank {rank} has done {_count(share, done)} of {len(share)}"
            for rank in range(self.size)
            for share in [pairs[rank :: self.size]]
        )


def _count(pairs: Iterable[Pair], done: set[str]) -> int:
    return sum(pair.name.as_posix() in done for pair in pairs)


def leave(status: int) -> NoReturn:
    """End this process at once. An ordinary exit would wait for MLX, which still waits for a lost rank."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
