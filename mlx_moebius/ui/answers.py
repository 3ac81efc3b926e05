"""Responses that all APIs share: JSON, files under the names that users know, and faults in one sentence."""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
BUSY = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Json(JSONResponse):
    """JSON in ASCII: names of files may contain bytes that are no text, and those cannot be written as UTF-8."""

    def render(self, content: Any) -> bytes:
        """The answer's body."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def attachment(name: str) -> dict[str, str]:
    """The header that gives a download its name."""
    return {"content-disposition": f"attachment; filename*=utf-8''{quote(name, errors='replace')}"}


def file_answer(file: Path, after: BackgroundTask | None = None, warnings: Sequence[str] = ()) -> Response:
    """A file to download under its name; warnings go into a header, as a JSON list."""
    more = {"x-moebius-warnings": json.dumps(list(warnings))} if warnings else {}
    return FileResponse(file, headers=attachment(file.name) | more, background=after)


def failed(_: Request, error: Exception) -> Response:
    """The answer to an error of the system: no space, too many files, or something unexpected."""
    number = getattr(error, "errno", None)
    if number in NO_ROOM or number in BUSY:
        why = str(getattr(error, "strerror", error)).lower()
        return Json({"error": f"the server cannot do this now: {why}"}, 507 if number in NO_ROOM else 503)
    return broken(_, error)


def broken(_: Request, error: Exception) -> Response:
    """The answer to an unexpected error; the server's terminal shows where it was raised."""
    return Json({"error": f"something went wrong ({type(error).__name__})"}, 500)
