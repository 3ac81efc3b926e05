"""What a browser asks a running page for, without a browser."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from mlx_moebius.ui.server import Server

QUICK = {"model": "nano", "detail": False}


def brush(*points: tuple[float, float], size: float = 10) -> dict[str, Any]:
    """A stroke of the brush."""
    return {"tool": "brush", "size": size, "points": [list(point) for point in points]}


class Visitor(httpx.Client):
    """A page of the server: its token, its photo's address, and the events that it was told."""

    def __init__(self, server: Server) -> None:
        headers = {"authorization": f"Bearer {server.token}"}
        super().__init__(base_url=server.address, headers=headers, timeout=60, trust_env=False)
        self.server = server
        self.state: dict[str, Any] = self.get("/api/state").json()
        self.headers["x-moebius-token"] = self.state["token"]

    def open(self, photo: Path, name: str | None = None) -> dict[str, Any]:
        """Open a photo."""
        answer = self.post("/api/photos", params={"name": name or photo.name}, content=photo.read_bytes())
        assert answer.status_code == 201, answer.text
        opened: dict[str, Any] = answer.json()
        return opened

    def photo(self, photo: dict[str, Any]) -> dict[str, Any]:
        """A photo as it is by now."""
        shown: dict[str, Any] = self.get(f"/api/photos/{photo['id']}").json()
        return shown

    def paint(self, photo: dict[str, Any], *strokes: dict[str, Any]) -> None:
        """Paint on it."""
        answer = self.put(f"/api/photos/{photo['id']}/strokes", json={"done": strokes, "undone": []})
        assert answer.status_code == 204, answer.text

    def start(self, photo: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Start a run."""
        answer = self.post(f"/api/photos/{photo['id']}/runs", json=QUICK | options)
        assert answer.status_code == 202, answer.text
        started: dict[str, Any] = answer.json()
        return started

    def ended(self, run: dict[str, Any]) -> dict[str, Any]:
        """A run once it has ended."""
        with self.listening() as events:
            now: dict[str, Any] = self.get(f"/api/runs/{run['id']}").json()
            while now["state"] in ("waiting", "running"):
                now = events.next("run", lambda each: each["id"] == run["id"])
        return now

    def run(self, photo: dict[str, Any], **options: Any) -> dict[str, Any]:
        """A run from start to end."""
        return self.ended(self.start(photo, **options))

    def pixels(self, photo: dict[str, Any], version: int) -> np.ndarray:
        """What a version's file holds."""
        content = self.get(f"/api/photos/{photo['id']}/versions/{version}/file?keep=1").content
        return np.asarray(Image.open(io.BytesIO(content)))

    def listening(self) -> Listener:
        """The events from now on."""
        return Listener(self)


class Listener:
    """Events as they come; those after the first `ping` are all that happen."""

    def __init__(self, visitor: Visitor, path: str = "") -> None:
        self.path = path or f"/api/events?session={visitor.state['token']}"
        self.client = httpx.Client(base_url=visitor.base_url, timeout=60, trust_env=False)

    def __enter__(self) -> Listener:
        self.stream = self.client.stream("GET", self.path)
        answer = self.stream.__enter__()
        assert answer.status_code == 200
        self.events = parsed(answer.iter_lines())
        self.next("ping")
        return self

    def next(self, kind: str, wanted: Callable[[dict[str, Any]], bool] = lambda values: True) -> dict[str, Any]:
        """The next event of a kind that is wanted."""
        return next(values for name, values in self.events if name == kind and wanted(values))

    def __exit__(self, *error: object) -> None:
        self.stream.__exit__(None, None, None)
        self.client.close()


def parsed(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Server-sent events: their kinds and values."""
    kind = ""
    for line in lines:
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield kind, json.loads(line.removeprefix("data: "))


class Held:
    """Keeps the worker busy until it is let go, so that what was asked for meanwhile waits."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.go = threading.Event()

    def __enter__(self) -> Held:
        begun = threading.Event()

        def task() -> None:
            begun.set()
            self.go.wait(60)

        self.server.sessions.worker.submit(task)
        assert begun.wait(60)
        return self

    def __exit__(self, *error: object) -> None:
        self.go.set()
