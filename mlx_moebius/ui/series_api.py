"""The page's API for a folder of photos."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as Asked
from starlette.responses import Response
from starlette.routing import Route

from mlx_moebius.ui.answers import Json
from mlx_moebius.ui.api import Api, mask_stroke
from mlx_moebius.ui.refusals import Refused
from mlx_moebius.ui.runs import Request
from mlx_moebius.ui.series import FolderPicture, Series
from mlx_moebius.ui.uploads import built, read_json


class SeriesApi:
    """The strip of a folder's photos, and their queue. All else is as for any photo (`Api`)."""

    def __init__(self, api: Api, series: Series) -> None:
        self.api = api
        self.series = series

    def routes(self) -> list[Route]:
        """Addresses and their handlers."""
        return [
            Route("/api/series", self.shown),
            Route("/api/series/{id}/thumbnail", self.thumbnail),
            Route("/api/series/{id}/queue", self.queue, methods=["POST"]),
            Route("/api/series/{id}/skip", self.skip, methods=["POST"]),
            Route("/api/series/{id}/accept", self.accept, methods=["POST"]),
            Route("/api/series/{id}/mask", self.mask, methods=["POST"]),
        ]

    def picture(self, request: Asked) -> FolderPicture:
        """The photo that a request names."""
        return self.series.picture(request.path_params["id"])

    def shown(self, request: Asked) -> Response:
        """All photos and their states; only to the page, since it names them."""
        self.api.session(request)
        return Json(self.series.shown())

    def thumbnail(self, request: Asked) -> Response:
        """A photo or its result, small."""
        content = self.series.thumbnail(self.picture(request))
        return Response(content, media_type="image/webp", headers={"cache-control": "private, max-age=86400"})

    async def queue(self, request: Asked) -> Response:
        """Save the mask and queue the photo."""
        visitor = self.api.session(request)
        picture = self.picture(request)
        values: Any = await read_json(request)
        wanted = built(Request, {"model": self.api.sessions.model} | values if isinstance(values, dict) else values)
        run = await run_in_threadpool(self.series.queue, picture, wanted, visitor)
        return Json(self.api.runs.shown(run), 202)

    async def skip(self, request: Asked) -> Response:
        """Leave a photo as it is."""
        self.api.session(request)
        picture = self.picture(request)
        await run_in_threadpool(self.series.skip, picture)
        return Json(self.series.item(picture))

    async def accept(self, request: Asked) -> Response:
        """Note that a result is good."""
        self.api.session(request)
        picture = self.picture(request)
        values: Any = await read_json(request)
        number = values.get("version") if isinstance(values, dict) else None
        if not isinstance(number, int):
            raise Refused(400, "version must be a whole number")
        await run_in_threadpool(picture.accept, number)
        return Json(self.series.item(picture))

    async def mask(self, request: Asked) -> Response:
        """The mask that lies beside a photo, as a stroke."""
        self.api.session(request)
        picture = self.picture(request)
        if picture.mask_file is None:
            raise Refused(404, "no mask lies beside this photo")
        name, warnings = await run_in_threadpool(picture.load_mask, picture.mask_file)
        return Json({"stroke": mask_stroke(name), "warnings": warnings}, 201)
