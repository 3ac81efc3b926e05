"""The released model, fetched because somebody at this computer presses a button on the page."""

from __future__ import annotations

import threading
from typing import Any

from mlx_moebius.errors import MoebiusError
from mlx_moebius.models import DEFAULT_MODEL, find_model, home, locate, slug
from mlx_moebius.ui.refusals import Refused, sentence
from mlx_moebius.ui.sessions import Sessions

SIZE = 1_100_000_000  # bytes to download, about
TELL = 0.5  # seconds between two reports


class ModelDownload:
    """The download of the default model. `allowed` is False where the page is served to other computers."""

    def __init__(self, sessions: Sessions, allowed: bool) -> None:
        self.sessions = sessions
        self.allowed = allowed
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._line = ""
        self._error: str | None = None

    @property
    def going(self) -> bool:
        """Whether it is under way."""
        return self._thread is not None and self._thread.is_alive()

    def shown(self) -> dict[str, Any]:
        """As the page gets it."""
        here = locate(DEFAULT_MODEL) is not None
        state = "here" if here else "going" if self.going else "failed" if self._error else "absent"
        return {
            "name": DEFAULT_MODEL,
            "state": state,
            "allowed": self.allowed,
            "size": SIZE,
            "bytes": 0 if here else _received(),
            "doing": self._line,
            "error": self._error,
        }

    def start(self) -> None:
        """Begin, unless it is under way or done. Raises Refused where that is not allowed."""
        if not self.allowed:
            raise Refused(403, "this page is open to other computers: get the model on the computer that serves it")
        with self._lock:
            if self.going or locate(DEFAULT_MODEL) is not None:
                return
            self._error = None
            self._thread = threading.Thread(target=self._fetch, daemon=True, name="download")
            self._thread.start()
        threading.Thread(target=self._report, args=[self._thread], daemon=True, name="download report").start()

    def _fetch(self) -> None:
        try:
            find_model(DEFAULT_MODEL, self._note)
        except MoebiusError as error:
            self._error = sentence(error)

    def _note(self, line: str) -> None:
        self._line = line.partition(" ")[0]  # "downloading", "converting", "verifying"

    def _report(self, fetching: threading.Thread) -> None:
        while fetching.is_alive():
            self._tell()
            fetching.join(TELL)
        self._tell()

    def _tell(self) -> None:
        self.sessions.tell(self.sessions.shared, "model", self.shown())


def _received() -> int:
    """Bytes that have come so far; an earlier attempt's count too, since they are not asked for again."""
    total = 0
    for path in (home() / "downloads" / slug(DEFAULT_MODEL)).rglob("*"):
        if path.is_file() and "converted" not in path.parts:
            total += path.stat().st_size
    return total
