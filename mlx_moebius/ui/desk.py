"""Who is here: every visitor's session, and the worker that they share. Knows nothing of Gradio."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mlx_moebius.ui.jobs import Worker
from mlx_moebius.ui.session import Session


class Desk:
    """All visitors' sessions, by names that the browser's tabs have, and the worker; files lie under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.worker = Worker()
        self.sessions: dict[str, Session] = {}

    def session(self, visitor: str) -> Session:
        """The visitor's own; a new one at the first call."""
        if visitor not in self.sessions:
            self.sessions[visitor] = Session(Path(tempfile.mkdtemp(dir=self.folder, prefix="session-")))
        return self.sessions[visitor]

    def leave(self, visitor: str) -> None:
        """The tab was closed: its job ends, its photos are forgotten."""
        session = self.sessions.pop(visitor, None)
        if session is not None:
            session.close()
