"""The page as an ASGI application: its files, its API, and the API for other programs."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from mlx_moebius.errors import MoebiusError
from mlx_moebius.ui.answers import Json, broken, failed
from mlx_moebius.ui.api import Api
from mlx_moebius.ui.editing import Editing, EditingApi
from mlx_moebius.ui.guard import Door, Guard
from mlx_moebius.ui.margin import MarginApi
from mlx_moebius.ui.othershots_api import OtherShotsApi
from mlx_moebius.ui.refusals import Refused, in_form, on_page, sentence
from mlx_moebius.ui.rest_api import RestApi
from mlx_moebius.ui.runs import Runs
from mlx_moebius.ui.selecting import Selecting
from mlx_moebius.ui.series import Series
from mlx_moebius.ui.series_api import SeriesApi
from mlx_moebius.ui.sessions import Sessions

STATIC = Path(__file__).parent / "static"
TOKEN = "{{token}}"
REMEMBERED = 30 * 24 * 3600  # seconds for which a browser remembers the token

for extension, kind in ((".js", "text/javascript"), (".css", "text/css"), (".svg", "image/svg+xml")):
    mimetypes.add_type(kind, extension)  # some systems' tables are wrong, and browsers insist on these


class Files(StaticFiles):
    """The page's files; browsers ask at every use whether they are still the same."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        """As Starlette's, with a header."""
        answer = super().file_response(*args, **options)
        answer.headers["cache-control"] = "no-cache"
        return answer


def build(
    sessions: Sessions,
    door: Door,
    started: Callable[[], None] = lambda: None,
    folders: tuple[Path, Path] | None = None,
    editing: Editing | None = None,
) -> Starlette:
    """The application; `started` is called once it answers. `folders` of a series: its photos, its results.

    `editing` are photos that another program has handed over.

    Raises MoebiusError when the folders cannot be used.
    """
    runs = Runs(sessions)
    series = None if folders is None else Series(sessions, runs, *folders)
    api = Api(sessions, runs, door, series, (lambda: None) if editing is None else editing.about)

    def page(request: Request) -> Response:
        """The page, with the token of its session. The browser remembers this token and the door's."""
        session = sessions.session(request.cookies.get(door.cookie)) or sessions.new_session()
        text = (STATIC / "index.html").read_text()
        answer = HTMLResponse(text.replace(TOKEN, session.token))
        api.keep_session(answer, session)
        answer.set_cookie(door.token_cookie, door.token, REMEMBERED, httponly=True, samesite="strict")
        return answer

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        started()
        yield

    return Starlette(
        routes=[
            Route("/", page),
            *api.routes(),
            *RestApi(sessions, runs).routes(),
            *Selecting(api).routes(),
            *MarginApi(api).routes(),
            *OtherShotsApi(api, runs.shots).routes(),
            *([] if series is None else SeriesApi(api, series).routes()),
            *([] if editing is None else EditingApi(api, editing).routes()),
            Mount("/static", Files(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, door=door)],
        exception_handlers={MoebiusError: refused, HTTPException: unknown, OSError: failed, Exception: broken},
        lifespan=lifespan,
    )


def refused(request: Request, error: Exception) -> Response:
    """The answer to a refusal: one sentence, and the values that belong to it."""
    status, more = (error.status, error.more) if isinstance(error, Refused) else (400, {})
    face = on_page if request.url.path.startswith("/api/") else in_form
    return Json({"error": sentence(error, face=face)} | more, status)


def unknown(_: Request, error: Exception) -> Response:
    """The answer at an address that does not exist."""
    assert isinstance(error, HTTPException)
    return Json({"error": "there is nothing at this address"}, error.status_code)
