"""The page's API: state, photos, versions, strokes, masks, runs and events, as JSON and pictures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as Asked
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.presets import PRESETS, presets_are_alike
from mlx_moebius.photos.formats import EXTENSIONS
from mlx_moebius.photos.pairing import masks_beside, match_masks
from mlx_moebius.photos.save import check_output
from mlx_moebius.selection.people import obstacle as people_obstacle
from mlx_moebius.ui.answers import Json, attachment, file_answer
from mlx_moebius.ui.archive import pack
from mlx_moebius.ui.downloads import ModelDownload
from mlx_moebius.ui.guard import Door
from mlx_moebius.ui.pictures import Picture
from mlx_moebius.ui.refusals import Refused, sentence
from mlx_moebius.ui.runs import MAX_SEEDS, MAX_STEPS, Request, Runs
from mlx_moebius.ui.series import Series
from mlx_moebius.ui.sessions import Session, Sessions
from mlx_moebius.ui.tiles import black_and_white, mask_tile, png
from mlx_moebius.ui.uploads import MAX_BYTES, built, check_size, file_name, read_json, receive

TOKEN = "x-moebius-token"
FOREVER = {"cache-control": "private, max-age=86400, immutable"}  # a version's pixels never change


def mask_stroke(name: str) -> dict[str, Any]:
    """The stroke of a mask that came from a file."""
    return {"tool": "mask", "mask": name, "size": 0, "points": []}


class Api:
    """Handlers of the page's requests. Ids of photos and runs cannot be guessed; only their session is told them."""

    def __init__(
        self,
        sessions: Sessions,
        runs: Runs,
        door: Door,
        series: Series | None = None,
        editing: Callable[[], dict[str, Any] | None] = lambda: None,
    ) -> None:
        self.sessions = sessions
        self.runs = runs
        self.door = door
        self.series = series
        self.editing = editing
        self.download = ModelDownload(sessions, door.alone)

    def routes(self) -> list[Route]:
        """Addresses and their handlers."""
        photo = "/api/photos/{id}"
        version = photo + "/versions/{version:int}"
        tile = "tiles/{level:int}/{x:int}/{y:int}"
        run = "/api/runs/{id}"
        return [
            Route("/api/state", self.state),
            Route("/api/events", self.events),
            Route("/api/photos", self.open, methods=["POST"]),
            Route("/api/model", self.get_model, methods=["POST"]),
            Route("/api/zip", self.zip, methods=["POST"]),
            Route("/api/pairs", self.pair, methods=["POST"]),
            Route(photo, self.photo),
            Route(photo, self.close, methods=["DELETE"]),
            Route(f"{photo}/versions", self.add_version, methods=["POST"]),
            Route(f"{version}/{tile}", self.tile),
            Route(f"{version}/thumbnail", self.thumbnail),
            Route(f"{version}/file", self.file),
            Route(f"{photo}/current", self.go_to, methods=["POST"]),
            Route(f"{photo}/strokes", self.paint, methods=["PUT"]),
            Route(f"{photo}/mask", self.mask),
            Route(f"{photo}/mask", self.load_mask, methods=["POST"]),
            Route(f"{photo}/masks/{{mask}}/{tile}", self.mask_tile),
            Route(f"{photo}/runs", self.start, methods=["POST"]),
            Route(run, self.run),
            Route(run, self.cancel, methods=["DELETE"]),
            Route(f"{run}/preview", self.preview),
            Route(f"{run}/choose", self.choose, methods=["POST"]),
        ]

    # The session.

    def session(self, request: Asked) -> Session:
        """The session of a request, by the token that only the page knows. Raises Refused."""
        session = self.sessions.session(request.headers.get(TOKEN))
        if session is None:
            raise Refused(401, "the page has been started anew: reload it")
        return session

    def listening(self, request: Asked) -> Session:
        """The session whose events are wanted. An EventSource sends no headers, and in a frame no cookies."""
        given = (request.headers.get(TOKEN), request.query_params.get("session"), request.cookies.get(self.door.cookie))
        session = next((found for token in given if (found := self.sessions.session(token))), None)
        if session is None:
            raise Refused(401, "the page has been started anew: reload it")
        return session

    def state(self, request: Asked) -> Response:
        """The state of the page; a browser without a session gets one."""
        given = request.headers.get(TOKEN) or request.cookies.get(self.door.cookie)
        session = self.sessions.session(given) or self.sessions.new_session()
        answer = Json(self._state(session))
        self.keep_session(answer, session)
        return answer

    def keep_session(self, answer: Response, session: Session) -> None:
        """Let the browser remember its session."""
        answer.set_cookie(self.door.cookie, session.token, httponly=True, samesite="strict")

    def _state(self, session: Session) -> dict[str, Any]:
        models = self.sessions.models()
        sampling = {model: self.sessions.sampling(model) for model in models}
        return {
            "boot": self.sessions.boot,
            "token": session.token,
            "models": models,
            "model": self.sessions.model,
            "presets": list(PRESETS),
            "defaults": {
                model: {
                    "steps": values.num_steps,
                    "guidance": values.guidance_scale,
                    "guided": values.guidance_scale != 1,
                    "presets_alike": presets_are_alike(values),
                }
                for model, values in sampling.items()
            },
            "limits": {
                "max_seeds": MAX_SEEDS,
                "max_steps": MAX_STEPS,
                "max_bytes": MAX_BYTES,
            },
            "extensions": list(EXTENSIONS),
            "photos": [
                {"id": picture.id, "name": picture.name}
                for picture in session.pictures.values()
                if not picture.shot_for
            ],
            "series": None if self.series is None else self.series.about(),
            "editing": self.editing(),
            "handed": self.sessions.handed,
            "download": self.download.shown(),
            "alone": self.door.alone,
            "select": {"people": people_obstacle()},
        }

    async def events(self, request: Asked) -> Response:
        """What happens from now on, as server-sent events."""
        return StreamingResponse(self.listening(request).events.stream(), media_type="text/event-stream")

    # Photos.

    def picture(self, request: Asked, changing: bool = False) -> Picture:
        """The photo that a request names. A request that changes it needs the token too."""
        owner, picture = self.sessions.picture(request.path_params["id"])
        if changing and self.session(request) is not owner and owner is not self.sessions.shared:
            raise Refused(404, "this photo is no longer open here: open it again")
        self.sessions.use(picture)
        return picture

    def shown(self, picture: Picture) -> dict[str, Any]:
        """A photo as the page gets it, with its runs that have not ended."""
        return picture.shown() | {"runs": [self.runs.shown(run) for run in self.runs.of(picture)]}

    async def open(self, request: Asked) -> Response:
        """Take a photo's file."""
        session = self.session(request)
        folder = session.new_folder()
        file = folder / file_name(request.query_params.get("name", ""))
        try:
            await receive(request, file)
            return Json(await run_in_threadpool(self._opened, session, file), 201)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, MoebiusError) and not isinstance(error, Refused):
                raise Refused(400, sentence(error, folder)) from None
            raise

    def _opened(self, session: Session, file: Path) -> dict[str, Any]:
        check_size(file)
        picture = Picture(file, file.parent)
        check_output(picture.photo(), file)
        session.add(picture)
        self.sessions.use(picture)
        return self.shown(picture)

    def get_model(self, request: Asked) -> Response:
        """Begin to download the released model."""
        self.session(request)
        self.download.start()
        return Json(self.download.shown(), 202)

    async def zip(self, request: Asked) -> Response:
        """The results of several photos in one file."""
        session = self.session(request)
        values = await read_json(request)
        ids = values.get("photos") if isinstance(values, dict) else None
        if not isinstance(ids, list) or not all(isinstance(name, str) for name in ids):
            raise Refused(400, "photos must be a list of ids")
        pictures = [self.sessions.picture(name)[1] for name in ids]
        folder = session.new_folder()
        file = folder / "photos.zip"
        try:
            packed = await run_in_threadpool(pack, pictures, file)
            if not packed:
                raise Refused(400, "none of these photos has a result yet")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        for version in packed:
            version.saved = True
        return file_answer(file, BackgroundTask(shutil.rmtree, folder, ignore_errors=True))

    async def pair(self, request: Asked) -> Response:
        """Which of these names of files are masks, and of which photos among them."""
        self.session(request)
        values = await read_json(request)
        names = values.get("names") if isinstance(values, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise Refused(400, "names must be a list of names")
        files = [Path(name) for name in dict.fromkeys(names)]
        masks = masks_beside(files)
        found = match_masks([name for name in files if name not in masks], sorted(masks))
        return Json({"masks": {str(few[0]): str(photo) for photo, few in found.items() if len(few) == 1}})

    def photo(self, request: Asked) -> Response:
        """A photo with its versions and strokes."""
        return Json(self.shown(self.picture(request)))

    def close(self, request: Asked) -> Response:
        """Forget a photo."""
        picture = self.picture(request, changing=True)
        self.sessions.forget(self.session(request), picture)
        return Response(status_code=204)

    async def add_version(self, request: Asked) -> Response:
        """Take a version's file from the browser, which kept it while the server was gone."""
        picture = self.picture(request, changing=True)
        file = await self._received(request, picture, f"restored-{picture.name}")
        given = {name: request.query_params.get(name, "") for name in ("seed", "made_from")}
        values = {name: int(text[:20]) if text.isdecimal() else None for name, text in given.items()}

        def add() -> dict[str, Any]:
            check_size(file)
            picture.add_file(file, values)
            return self.shown(picture)

        return Json(await self._kept(file, add), 201)

    async def _received(self, request: Asked, picture: Picture, name: str) -> Path:
        folder = self.session(request).new_folder()
        file = folder / file_name(name)
        await receive(request, file)
        return file

    async def _kept(self, file: Path, read: Any) -> Any:
        """The result of `read`; if the file cannot be read, it is removed."""
        try:
            return await run_in_threadpool(read)
        except MoebiusError as error:
            shutil.rmtree(file.parent, ignore_errors=True)
            raise Refused(getattr(error, "status", 400), sentence(error, file.parent)) from None

    def tile(self, request: Asked) -> Response:
        """A tile of a version."""
        asked = request.path_params
        picture = self.picture(request)
        tile = picture.levels(asked["version"]).tile(asked["level"], asked["x"], asked["y"])
        if tile is None:
            raise Refused(404, "the photo has no such tile")
        return Response(tile[0], media_type=tile[1], headers=FOREVER)

    def thumbnail(self, request: Asked) -> Response:
        """A version, small."""
        content, kind = self.picture(request).levels(request.path_params["version"]).thumbnail()
        return Response(content, media_type=kind, headers=FOREVER)

    def file(self, request: Asked) -> Response:
        """A version's file, for the user; with `keep`, for the browser's store."""
        version = self.picture(request).version(request.path_params["version"])
        if not version.file.is_file():
            raise Refused(404, "this version's file is gone")
        if "keep" not in request.query_params:
            version.saved = True
        return file_answer(version.file)

    async def go_to(self, request: Asked) -> Response:
        """Go to another version: undo or redo a fill."""
        picture = self.picture(request, changing=True)
        values = await read_json(request)
        number = values.get("version") if isinstance(values, dict) else None
        if not isinstance(number, int):
            raise Refused(400, "version must be a whole number")
        await run_in_threadpool(picture.go_to, number)
        return Json(await run_in_threadpool(self.shown, picture))

    # What is painted.

    async def paint(self, request: Asked) -> Response:
        """Keep the strokes on the current version."""
        picture = self.picture(request, changing=True)
        values = await read_json(request)
        if not isinstance(values, dict):
            raise Refused(400, "the strokes must be an object")
        await run_in_threadpool(picture.paint, values.get("done", []), values.get("undone", []))
        return Response(status_code=204)

    def mask(self, request: Asked) -> Response:
        """Everything that is painted, as a mask file of the photo's size."""
        picture = self.picture(request)
        name = f"{Path(picture.name).stem}_mask.png"
        headers = attachment(name)
        return Response(png(black_and_white(picture.mask())), media_type="image/png", headers=headers)

    async def load_mask(self, request: Asked) -> Response:
        """Take a mask's file. The answer is a stroke like any other."""
        picture = self.picture(request, changing=True)
        file = await self._received(request, picture, request.query_params.get("name", "the mask"))

        def load() -> tuple[str, list[str]]:
            check_size(file)
            return picture.load_mask(file)

        name, warnings = await self._kept(file, load)
        shutil.rmtree(file.parent, ignore_errors=True)
        return Json({"stroke": mask_stroke(name), "warnings": warnings}, 201)

    def mask_tile(self, request: Asked) -> Response:
        """A tile of a mask that came from a file."""
        asked = request.path_params
        mask = self.picture(request).masks.get(asked["mask"])
        tile = None if mask is None else mask_tile(mask, asked["level"], asked["x"], asked["y"])
        if tile is None:
            raise Refused(404, "the mask has no such tile")
        return Response(tile, media_type="image/png", headers=FOREVER)

    # Runs.

    async def start(self, request: Asked) -> Response:
        """Queue a run of what is painted."""
        picture = self.picture(request, changing=True)
        session = self.sessions.picture(picture.id)[0]
        values = await read_json(request)
        wanted = built(Request, {"model": self.sessions.model} | values if isinstance(values, dict) else values)
        visitor = self.session(request)
        run = await run_in_threadpool(lambda: self.runs.start(session, picture, wanted, visitor=visitor))
        return Json(self.runs.shown(run), 202)

    def run(self, request: Asked) -> Response:
        """The state of a run."""
        return Json(self.runs.shown(self.runs.run(request.path_params["id"])))

    def cancel(self, request: Asked) -> Response:
        """End a run, at once."""
        self.session(request)
        run = self.runs.run(request.path_params["id"])
        self.runs.cancel(run)
        return Json(self.runs.shown(run))

    def preview(self, request: Asked) -> Response:
        """A picture of the fill so far."""
        run = self.runs.run(request.path_params["id"])
        if not run.preview:
            raise Refused(404, "there is no picture of this run")
        return Response(run.preview, media_type="image/webp")

    async def choose(self, request: Asked) -> Response:
        """Go on with one of the fills of a run."""
        self.session(request)
        run = self.runs.run(request.path_params["id"])
        values = await read_json(request)
        number = values.get("version") if isinstance(values, dict) else None
        if not isinstance(number, int):
            raise Refused(400, "version must be a whole number")
        await run_in_threadpool(run.picture.choose, number, run.id)
        return Json(await run_in_threadpool(self.shown, run.picture))
