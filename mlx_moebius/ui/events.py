"""Server-sent events to every open page of a session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

PING = 5.0  # seconds; a page that hears nothing for longer knows that the server is gone
BEHIND = 1000  # events that a page may be behind before its stream ends; it connects again and asks for the state


class Events:
    """The listeners of one session. `tell` may be called from any thread."""

    def __init__(self) -> None:
        self._listeners: dict[asyncio.Queue[bytes | None], asyncio.AbstractEventLoop] = {}

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def tell(self, kind: str, values: dict[str, Any]) -> None:
        """Tell all listeners."""
        self._put(event(kind, values))

    def close(self) -> None:
        """End all streams."""
        self._put(None)

    def _put(self, line: bytes | None) -> None:
        for listener, loop in list(self._listeners.items()):
            try:
                loop.call_soon_threadsafe(self._deliver, listener, line)
            except RuntimeError:  # the loop has ended, and with it the stream
                self._listeners.pop(listener, None)

    def _deliver(self, listener: asyncio.Queue[bytes | None], line: bytes | None) -> None:
        if listener.qsize() < BEHIND:
            listener.put_nowait(line)
        elif listener.qsize() == BEHIND:
            listener.put_nowait(None)

    async def stream(self) -> AsyncIterator[bytes]:
        """Events from now on, with a ping after `PING` seconds without any."""
        listener: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._listeners[listener] = asyncio.get_running_loop()
        try:
            yield event("ping", {})
            while True:
                try:
                    line = await asyncio.wait_for(listener.get(), PING)
                except asyncio.TimeoutError:
                    line = event("ping", {})
                if line is None:
                    return
                yield line
        finally:
            self._listeners.pop(listener, None)


def event(kind: str, values: dict[str, Any]) -> bytes:
    """One server-sent event with JSON data."""
    return f"event: {kind}\ndata: {json.dumps(values)}\n\n".encode()
