"""The visitors' sessions with their pictures, and the worker that they share."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlx_moebius.models import installed, locate
from mlx_moebius.networks.config import ModelConfig, SamplingConfig
from mlx_moebius.runtime import make_private
from mlx_moebius.ui.events import Events
from mlx_moebius.ui.jobs import Worker, not_here
from mlx_moebius.ui.pictures import Picture
from mlx_moebius.ui.refusals import Refused

MAX_SESSIONS = 32
MAX_GUESTS = 24  # requests of programs at a time
MAX_PICTURES = 300  # of a session
OPEN_PICTURES = 6  # of all sessions, with pixels at hand; those of others are read again when needed
OPEN_BYTES = 1_000_000_000  # of their pixels; the photo used last stays, whatever its size
GONE = 900.0  # seconds of silence after which a session is forgotten; the browser brings its photos again


class Session:
    """One browser: its pictures, and the listeners to its events. Its files lie in `folder`, inside `home`.

    A `guest` is a program. Its session is `held` as long as its request is worked on.
    """

    def __init__(self, home: Path, name: str, guest: bool = False) -> None:
        self.token = secrets.token_urlsafe(24)
        self.home = home
        self.folder = home / name
        self.guest = guest
        self.held = guest
        self.events = Events()
        self.pictures: dict[str, Picture] = {}
        self.seen = 0.0

    def add(self, picture: Picture) -> None:
        """Add a photo that was opened. Raises Refused when there are too many."""
        if len(self.pictures) >= MAX_PICTURES:
            raise Refused(429, f"{MAX_PICTURES} photos are open, which is the limit: close some")
        self.pictures[picture.id] = picture

    def new_folder(self) -> Path:
        """A new folder for a picture. Raises MoebiusError."""
        try:
            for folder in (self.home, self.folder):  # again, if somebody has removed them
                make_private(folder)
            return Path(tempfile.mkdtemp(dir=self.folder, prefix="photo-"))
        except OSError as error:
            raise Refused(507, f"the page's temporary folder cannot be used: {error.strerror or error}") from None

    def close(self) -> None:
        """Forget everything."""
        self.events.close()
        self.pictures.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


class Sessions:
    """All sessions, by their tokens, with files under `folder`.

    `model` is what the page starts with: a name, or a folder of a model.
    Raises MoebiusError when there is no such model.
    """

    def __init__(self, folder: Path, model: str, clock: Callable[[], float] = time.monotonic) -> None:
        if locate(model) is None:
            raise not_here(model)
        self.folder = folder
        self.model = Path(model).name if Path(model).is_dir() else model
        self._sources = {self.model: model}
        self.worker = Worker()
        self.boot = secrets.token_urlsafe(8)
        self.clock = clock
        self.sessions: dict[str, Session] = {}
        self.lock = threading.RLock()
        self.open: dict[str, Picture] = {}  # pictures with pixels at hand, the one used last at the end
        self.shared = Session(folder, "series")  # for the photos of a folder, which everybody sees
        self.handed: str | None = None  # the photo that a Python program shows
        self.leaving: list[Callable[[Picture], None]] = []
        self.closing: list[Callable[[], None]] = []

    # Models.

    def models(self) -> list[str]:
        """Names of the models that the page offers."""
        return list(dict.fromkeys([self.model, *installed()]))

    def source(self, model: str) -> str:
        """The name or folder to load a model from. Raises Refused when the model is not on this computer."""
        if model in self._sources:
            return self._sources[model]
        if model not in installed():
            raise Refused(400, f"{model[:60]} is not on this computer: choose one of {', '.join(self.models())}")
        return model

    def config(self, model: str) -> ModelConfig:
        """A model's description; the model is not loaded."""
        folder = locate(self.source(model))
        assert folder is not None
        return ModelConfig.load(folder)

    def sampling(self, model: str) -> SamplingConfig:
        """A model's default settings for sampling."""
        return self.config(model).sampling

    # Sessions.

    def new_session(self, guest: bool = False) -> Session:
        """A session for a browser without one, or for a program. Raises Refused when too many are in use."""
        with self.lock:
            self.sweep()
            same = [session for session in self.sessions.values() if session.guest == guest]
            if len(same) >= (MAX_GUESTS if guest else MAX_SESSIONS):
                idle = [session for session in same if not session.events.heard and not session.held]
                if not idle and guest:
                    raise Refused(429, f"{MAX_GUESTS} requests are worked on, which is the limit: ask again later")
                if not idle:
                    raise Refused(503, f"{MAX_SESSIONS} pages are open, which is the limit: close one")
                self.end(min(idle, key=lambda session: (bool(session.pictures), session.seen)))
            session = Session(self.folder, f"session-{secrets.token_hex(6)}", guest)
            session.seen = self.clock()
            self.sessions[session.token] = session
            return session

    def session(self, token: str | None) -> Session | None:
        """The session of a token."""
        with self.lock:
            session = self.sessions.get(token or "")
            if session is not None:
                session.seen = self.clock()
            return session

    def sweep(self) -> None:
        """Forget sessions that nobody listens to any more, and give memory that is not needed back to the system."""
        with self.lock:
            for session in list(self.sessions.values()):
                if session.events.heard or session.held:
                    session.seen = self.clock()
                elif self.clock() - session.seen > GONE:
                    self.end(session)
        self.worker.tidy()

    def end(self, session: Session) -> None:
        """Forget a session, its photos and its runs."""
        with self.lock:
            self.sessions.pop(session.token, None)
            for picture in list(session.pictures.values()):
                self.forget(session, picture)
            session.close()

    # Pictures.

    def picture(self, identity: str) -> tuple[Session, Picture]:
        """A photo by its id, which cannot be guessed, and its session. Raises Refused when it is gone."""
        with self.lock:
            for session in (self.shared, *self.sessions.values()):
                if identity in session.pictures:
                    session.seen = self.clock()
                    picture = session.pictures[identity]
                    if picture.is_there():
                        return session, picture
                    self.forget(session, picture)  # the page brings it again
        raise Refused(404, "this photo is no longer open here: open it again")

    def use(self, picture: Picture) -> None:
        """Note that a picture is used now. Pixels of pictures that were not used for long are freed."""
        with self.lock:
            self.open[picture.id] = self.open.pop(picture.id, picture)
            size = 0
            for place, other in enumerate(reversed(list(self.open.values()))):
                size += other.open_bytes
                if place and (place >= OPEN_PICTURES or size > OPEN_BYTES):
                    del self.open[other.id]
                    other.set_aside()

    def tell(self, session: Session, kind: str, values: dict[str, Any]) -> None:
        """Send an event to a session's pages, or to all pages if the session is the shared one."""
        for listening in list(self.sessions.values()) if session is self.shared else [session]:
            listening.events.tell(kind, values)

    def forget(self, session: Session, picture: Picture) -> None:
        """Close a photo, and end its runs."""
        with self.lock:
            session.pictures.pop(picture.id, None)
            for shot in [other for other in session.pictures.values() if other.shot_for == picture.id]:
                self.forget(session, shot)
            self.open.pop(picture.id, None)
            for leave in self.leaving:
                leave(picture)
        picture.close()

    def close(self) -> None:
        """End all sessions."""
        for close in self.closing:
            close()
        for session in list(self.sessions.values()):
            self.end(session)
