"""The ranks of a run: processes, maybe on several hosts, that see the same folders and share the photos.

A rank that is killed, or whose link is cut, must not hold up the others for ever: MLX tells of a closed connection,
and of a silent one nothing, so waiting is bounded.
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

PATIENCE = 300.0  # seconds without a photo of any rank, after which the others are given up


class LostError(MoebiusError):
    """Another rank has ended, or cannot be reached any more."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """All ranks of a run that writes into `output`; `rank` is this one of `size`."""

    group: mx.distributed.Group
    output: Path

    @classmethod
    def join(cls, output: Path) -> Ranks:
        """Connect with the ranks that the launcher has started, if any. Raises MoebiusError when that fails."""
        try:
            ranks = cls(mx.distributed.init(), output)
        except RuntimeError as error:
            raise MoebiusError(f"the ranks cannot connect: {' '.join(str(error).split())}") from None
        if ranks.size > 1:  # the launcher ends the others so when one has failed: finish what is in hand, as for Ctrl-C
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        return ranks

    @property
    def rank(self) -> int:
        """This rank's number, from 0."""
        return self.group.rank()

    @property
    def size(self) -> int:
        """How many there are."""
        return self.group.size()

    def share(self, pairs: list[Pair]) -> list[Pair]:
        """The photos that this rank fills."""
        return pairs[self.rank :: self.size]

    def meet(self) -> None:
        """Wait for all ranks, as long as photos are being done. Raises LostError when one does not come."""
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
        """What has been done, and by whom, from the ledgers of all."""
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
    """End this process while MLX still waits for a rank that will not come, which an ordinary end would wait for."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
