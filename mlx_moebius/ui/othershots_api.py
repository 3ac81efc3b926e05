"""The page's API for other shots of a photo's scene: which are offered, one more from a file, what they would give."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as Asked
from starlette.responses import Response
from starlette.routing import Route

from mlx_moebius.errors import MoebiusError
from mlx_moebius.schema import Bounds
from mlx_moebius.ui.answers import Json
from mlx_moebius.ui.api import Api
from mlx_moebius.ui.othershots import OtherShots, hash_of
from mlx_moebius.ui.pictures import Picture
from mlx_moebius.ui.refusals import Refused, sentence
from mlx_moebius.ui.runs import MAX_DILATE
from mlx_moebius.ui.sessions import Session
from mlx_moebius.ui.strokes import MAX_SHOTS
from mlx_moebius.ui.uploads import built, check_size, file_name, read_json, receive


@dataclass(frozen=True, slots=True)
class Wanted:
    """Ids of shots to look at together, and how far the mask grows."""

    shots: tuple[str, ...]
    dilate: Annotated[int, Bounds(0, MAX_DILATE)] | Literal["auto"] = "auto"


class OtherShotsApi:
    """`/api/photos/{id}/others`: shots are offered (GET), given (POST) and looked at (POST look)."""

    def __init__(self, api: Api, shots: OtherShots) -> None:
        self.api = api
        self.shots = shots
        self._looking = threading.Lock()  # one after the other: each takes all cores

    def routes(self) -> list[Route]:
        """Addresses and their handlers."""
        others = "/api/photos/{id}/others"
        return [
            Route(others, self.offered),
            Route(others, self.add, methods=["POST"]),
            Route(f"{others}/look", self.look, methods=["POST"]),
        ]

    async def offered(self, request: Asked) -> Response:
        """The photos that may show the same scene."""
        session, picture = self.api.session(request), self.api.picture(request)

        def find() -> list[dict[str, Any]]:
            return [_shown(other) for other in self.shots.offered(session, picture)]

        return Json({"shots": await run_in_threadpool(find)})

    async def add(self, request: Asked) -> Response:
        """Take the file of another shot, which is offered for this photo only and is no photo of the page."""
        session, picture = self.api.session(request), self.api.picture(request, changing=True)
        folder = session.new_folder()
        file = folder / file_name(request.query_params.get("name", ""))
        try:
            await receive(request, file)
            return Json(await run_in_threadpool(self._added, session, picture, file), 201)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, MoebiusError) and not isinstance(error, Refused):
                raise Refused(400, sentence(error, folder)) from None
            raise

    def _added(self, session: Session, picture: Picture, file: Path) -> dict[str, Any]:
        check_size(file)
        if hash_of(file) == hash_of(picture.source):
            raise Refused(400, f"{file.name} is the photo itself: give another shot of the scene")
        same = (other for other in session.pictures.values() if other.shot_for == picture.id)
        known = next((other for other in same if hash_of(other.source) == hash_of(file)), None)
        if known is not None:
            shutil.rmtree(file.parent, ignore_errors=True)
            return _shown(known)
        shot = Picture(file, file.parent)
        shot.shot_for = picture.id
        shot.photo()
        session.add(shot)
        self.api.sessions.use(shot)
        return _shown(shot)

    async def look(self, request: Asked) -> Response:
        """What shots would give of what is painted, together."""
        session, picture = self.api.session(request), self.api.picture(request)
        wanted = built(Wanted, await read_json(request))
        if not 0 < len(wanted.shots) <= MAX_SHOTS:
            raise Refused(400, f"shots must be 1 to {MAX_SHOTS} ids")
        offered = {other.id: other for other in await run_in_threadpool(self.shots.offered, session, picture)}
        if missing := [name for name in wanted.shots if name not in offered]:
            raise Refused(404, f"there is no other shot {missing[0][:60]!r} for this photo")

        def look() -> dict[str, Any]:
            with self._looking:
                return self.shots.look(picture, [offered[name] for name in wanted.shots], wanted.dilate)

        return Json(await run_in_threadpool(look))


def _shown(shot: Picture) -> dict[str, Any]:
    """A shot as the page gets it: `file` and `sha256` name it in strokes."""
    return {"id": shot.id, "file": shot.source.name, "sha256": hash_of(shot.source)}
