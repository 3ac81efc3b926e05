"""Idle connections are closed when others need their place."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 400  # at once; a page takes a few
PATIENCE = 20.0  # seconds that a connection may be idle


def most_connections() -> int:
    """The limit on connections: half of the files that this process may have open, from 16 to `MOST`."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if files == resource.RLIM_INFINITY else max(16, min(MOST, files // 2))


class Connection(H11Protocol):
    """A connection of a browser or program.

    It is closed after being idle for `PATIENCE`. When there are more than `most_connections`, those idle for longest
    are closed at once.
    """

    since = 0.0
    patience: asyncio.TimerHandle | None = None

    @property
    def asks(self) -> bool:
        """Whether there is a request that has not been answered yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        """Close idle connections if there are too many with the new one."""
        super().connection_made(transport)
        self._wait()
        idle = [other for other in self.connections if isinstance(other, Connection) and not other.asks]
        idle.sort(key=lambda other: other.since)
        for other in idle[: max(0, len(self.connections) - most_connections())]:
            other.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection was closed, by either side."""
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
