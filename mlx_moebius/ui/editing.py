"""Photos that another program hands over, such as Lightroom: edited one after the other, and written back in place."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as Asked
from starlette.responses import Response
from starlette.routing import Route

from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import sha256
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.photos.save import check_output, default_output, replace_by
from mlx_moebius.ui.answers import Json
from mlx_moebius.ui.api import Api
from mlx_moebius.ui.pictures import Picture
from mlx_moebius.ui.refusals import Refused, sentence
from mlx_moebius.ui.sessions import Sessions
from mlx_moebius.ui.uploads import read_json

LOOK = 0.25  # seconds between two looks for the page
CLOSED = 4.0  # seconds without a page after which it counts as closed; a reload takes less


class Editing:
    """The photos `files`, of which the first that is not done is open on the page.

    Raises MoebiusError for a file that cannot be read, or cannot be written in its own format.
    """

    def __init__(self, sessions: Sessions, files: Sequence[Path]) -> None:
        self.sessions = sessions
        self._left = [(file, sha256(check(file))) for file in files]
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._picture = self._open()

    def about(self) -> dict[str, Any] | None:
        """What the page is to open; None when all are done."""
        return {"id": self._picture.id, "left": len(self._left)} if self._picture else None

    def _open(self) -> Picture | None:
        """Open the first file that is left: a copy, so that another program may do with the file what it wants."""
        if not self._left:
            return None
        file, _ = self._left[0]
        copy = self.sessions.shared.new_folder() / file.name
        shutil.copyfile(file, copy)
        picture = Picture(copy, copy.parent)
        self.sessions.shared.add(picture)
        return picture

    def finish(self, identity: str) -> list[str]:
        """Write the current version back, and open the next file. Raises Refused, with the file as it is.

        Returns what could not be kept, a line each.
        """
        notes: list[str] = []
        with self._lock:
            picture = self._picture
            if picture is None or picture.id != identity:
                raise Refused(409, "this photo has been written already")
            (file, found), version = self._left[0], picture.version()
            if version.id:
                if not file.is_file() or sha256(file) != found:
                    raise Refused(
                        409,
                        f"{file.name} was changed or moved by another program meanwhile: download the result instead",
                    )
                notes = replace_by(version.file, file)
            self._left.pop(0)
            self._picture = self._open()
            self.sessions.forget(self.sessions.shared, picture)
            if self._picture is None:
                self._done.set()
        return [sentence(note, file.parent) for note in notes]

    def wait(self) -> bool:
        """Wait until all are done, or the page is closed. Returns whether all are done."""
        opened, last = False, time.monotonic()
        while not self._done.wait(LOOK):
            if any(session.events.heard for session in list(self.sessions.sessions.values())):
                opened, last = True, time.monotonic()
            elif opened and time.monotonic() - last > CLOSED:
                return False
        time.sleep(2 * LOOK)  # for the page to hear of it
        return True


class EditingApi:
    """The page's request to write a photo back."""

    def __init__(self, api: Api, editing: Editing) -> None:
        self.api = api
        self.editing = editing

    def routes(self) -> list[Route]:
        """Addresses and their handlers."""
        return [Route("/api/editing/done", self.done, methods=["POST"])]

    async def done(self, request: Asked) -> Response:
        """Write a photo back; the answer says which comes next."""
        self.api.session(request)
        values: Any = await read_json(request)
        identity = values.get("photo") if isinstance(values, dict) else None
        notes = await run_in_threadpool(self.editing.finish, str(identity))
        return Json({"editing": self.editing.about(), "notes": notes})


def check(file: Path) -> Path:
    """The file itself, also behind a link. Raises MoebiusError where it could not be written back."""
    photo = read_photo(file)
    if default_output(file).suffix.lower() != file.suffix.lower():
        raise MoebiusError(f"{file} cannot be written in its own format: hand over a TIFF, PNG or JPEG")
    check_output(photo, file)
    return file
