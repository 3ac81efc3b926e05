"""Receives what browsers and programs send, up to a limit. Nothing is kept if it breaks off or is too large."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from mlx_moebius.photos.photo import opened
from mlx_moebius.schema import build
from mlx_moebius.ui.refusals import Refused

MAX_BYTES = 500_000_000  # of a file
MAX_JSON = 32_000_000
NAME = re.compile(r"[^\w .()+,@&'-]")
MAX_NAME = 180  # bytes, of the 255 that a file system allows; "_filled" and the like are added

T = TypeVar("T")


def file_name(name: str) -> str:
    """A name for a file that was sent, without folders and special characters."""
    plain = NAME.sub("_", re.split(r"[/\\]", name)[-1]).strip(". ")
    path = Path(plain or "photo")
    stem = path.stem.encode()[:MAX_NAME].decode(errors="ignore")
    return f"{stem}{path.suffix[:10]}"


async def receive(request: Request, file: Path, most: int = MAX_BYTES) -> None:
    """Write a request's body to a file. The file is removed if the body does not arrive whole or is too large."""
    try:
        with file.open("xb") as target:
            async for chunk in bounded(request, most):
                target.write(chunk)
        if not file.stat().st_size:
            raise Refused(400, f"{file.name}: the file is empty")
    except OSError as error:
        file.unlink(missing_ok=True)
        raise Refused(507, f"the file could not be kept: {error.strerror}") from None
    except BaseException:
        file.unlink(missing_ok=True)
        raise


async def bounded(request: Request, most: int) -> AsyncIterator[bytes]:
    """A request's body in pieces. Raises Refused once it is longer than `most`, or is going to be."""
    too_large = Refused(413, f"the file is larger than {most // 1_000_000} MB, the limit")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > most:
        raise too_large
    received = 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > most:
                raise too_large
            yield chunk
    except ClientDisconnect:
        raise Refused(400, "the file did not arrive whole") from None


async def read_json(request: Request) -> Any:
    """A request's body as JSON values. Raises Refused."""
    body = b"".join([chunk async for chunk in bounded(request, MAX_JSON)])
    try:
        return json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Refused(400, "the request is not JSON") from None


def built(cls: type[T], values: Any) -> T:
    """A dataclass from JSON values. Raises Refused for what does not fit."""
    try:
        return build(cls, values)
    except ValueError as error:
        raise Refused(400, str(error)) from None


def check_size(file: Path) -> None:
    """Check a picture's header, its type and size. Raises MoebiusError before anything is decoded."""
    with opened(file):
        pass
