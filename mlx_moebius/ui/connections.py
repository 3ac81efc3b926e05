"""Connections that ask for nothing make room for those that do."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 400  # at once; a page takes a few
PATIENCE = 20.0  # seconds that a connection may take to ask for something


def most_connections() -> int:
    """How many there may be: at most `MOST`, and half of the files that this process may have open."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if files == resource.RLIM_INFINITY else max(16, min(MOST, files // 2))


class Connection(H11Protocol):
    """A connection of a browser or program.

    It is closed when it asks for nothing within `PATIENCE`, and at once where there are more than `most_connections`
    and it has waited longest.
    """

    since = 0.0
    patience: asyncio.TimerHandle | None = None

    @property
    def asks(self) -> bool:
        """Whether there is a request that has not been answered yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        """Make room for it."""
        super().connection_made(transport)
        self._wait()
        waiting = [each for each in self.connections if isinstance(each, Connection) and not each.asks]
        waiting.sort(key=lambda each: each.since)
        for each in waiting[: max(0, len(self.connections) - most_connections())]:
            each.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """It was closed, here or there."""
        if self.patience is not None:
            self.patience.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._wait()
        super().on_response_complete()

    def _wait(self) -> None:
        if self.patience is not None:
            self.patience.cancel()
        self.since = self.loop.time()
        self.patience = self.loop.call_later(PATIENCE, self._give_up)

    def _give_up(self) -> None:
        if not self.asks:
            self.transport.close()
