"""The API for other programs: a photo and a mask in one request, the filled photo in the answer."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request as Asked
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from mlx_moebius.alignment.shot import Shot, read_shot
from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.photos.mask_files import load_mask, transparent
from mlx_moebius.photos.patch import patch_mode
from mlx_moebius.photos.photo import photo_from_image, read_photo
from mlx_moebius.photos.save import check_output, encode
from mlx_moebius.schema import build
from mlx_moebius.selection.request import parse, select
from mlx_moebius.ui.answers import Json, file_answer
from mlx_moebius.ui.events import event
from mlx_moebius.ui.openapi import describe, html
from mlx_moebius.ui.pictures import Picture
from mlx_moebius.ui.refusals import Refused, in_form, sentence
from mlx_moebius.ui.runs import MAX_SEEDS, Request, Run, Runs
from mlx_moebius.ui.sessions import Session, Sessions
from mlx_moebius.ui.tiles import black_and_white
from mlx_moebius.ui.uploads import MAX_BYTES, bounded, built, check_size, file_name

PAGE_FIELDS = ("model", "preset", "seed", "extend", "gravity")  # fields that go into the `Request`
LIMITED = {"num_steps": "steps", "guidance_scale": "guidance", "dilate": "dilate"}  # and what bounds them for visitors
OUTPUTS = ("photo", "patch")
MAX_OTHERS = 8  # other shots that a form may bring
MAX_MASKS = 8  # masks, which are united
KINDS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


@dataclass(slots=True)
class Order:
    """What a form asks for: the page's request, fields of `Settings` in `more`, a photo or a patch, selections."""

    request: Request
    more: Mapping[str, Any] = field(default_factory=dict)
    as_patch: bool = False
    selected: tuple[str, ...] = ()


class RestApi:
    """`/fill`, `/v1/images/edits`, and their description."""

    def __init__(self, sessions: Sessions, runs: Runs) -> None:
        self.sessions = sessions
        self.runs = runs

    def routes(self) -> list[Route]:
        """Addresses and their handlers."""
        return [
            Route("/fill", self.fill, methods=["POST"]),
            Route("/v1/images/edits", self.edit, methods=["POST"]),
            Route("/v1/models", self.models),
            Route("/openapi.json", self.openapi),
            Route("/docs", self.docs),
        ]

    def models(self, request: Asked) -> Response:
        """The models on this computer, in the well-known API's form."""
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "local"} for name in self.sessions.models()]
        return Json({"object": "list", "data": models})

    def openapi(self, request: Asked) -> Response:
        """The API's description for programs."""
        return Json(describe(self.sessions.models()))

    def docs(self, request: Asked) -> Response:
        """The API's description for people."""
        return HTMLResponse(html(describe(self.sessions.models())))

    async def fill(self, request: Asked) -> Response:
        """Fill a photo by a mask and send it back; with `Accept: text/event-stream`, send progress."""
        session = self.sessions.new_session(guest=True)
        form = FormData()
        try:
            form = await read_form(request)
            order = self._order(form)
            run = await run_in_threadpool(self._start, session, form, order)
            if "text/event-stream" in request.headers.get("accept", ""):
                session.held = False  # listeners keep it; then it stays for a while, for the file
                return StreamingResponse(self._progress(session, run), media_type="text/event-stream")
            await self._wait(request, run)
            version = run.picture.version(run.versions[0])
            leave = BackgroundTask(self.sessions.end, session)
            return file_answer(version.file, leave, run.warnings)
        except BaseException:
            self.sessions.end(session)
            raise
        finally:
            await form.close()

    def _order(self, form: FormData) -> Order:
        check_files(form, "photo", "mask", "from")
        for name, most in (("photo", 1), ("mask", MAX_MASKS), ("from", MAX_OTHERS)):
            if len(form.getlist(name)) > most:
                raise Refused(400, f"{name} may be given {'once' if most == 1 else f'{most} times at most'}")
        values = {name: value_of(text) for name, text in form.items() if isinstance(text, str)}
        known = {setting.name for setting in fields(Settings)} | {*PAGE_FIELDS, "output", "select"}
        if unknown := sorted(set(values) - known):
            raise Refused(400, f"there is no setting {unknown[0][:60]!r}")
        values.pop("select", None)
        selected = tuple(parse(text).text for text in form.getlist("select") if isinstance(text, str))
        values["extend"] = str(values.get("extend") or "")
        output = values.pop("output", None) or "photo"
        if output not in OUTPUTS:
            raise Refused(400, f"output must be one of {', '.join(OUTPUTS)}")
        if output == "patch" and (values["extend"] or values.get("reference")):
            raise Refused(400, "a patch has the photo's own frame: leave extend and reference out")
        asked = {name: value for name, value in values.items() if name in PAGE_FIELDS and value is not None}
        more = {name: value for name, value in values.items() if name not in PAGE_FIELDS and value is not None}
        Settings(**more)  # refuses what is out of bounds
        for name in LIMITED.keys() & more.keys():
            check_limit(name, more[name])
        request = built(Request, {"model": self.sessions.model, "yes": True} | asked)
        return Order(request, more, output == "patch", selected)

    def _start(self, session: Session, form: FormData, order: Order) -> Run:
        picture = self._photo(session, form, "photo")
        masks = [mask for mask in form.getlist("mask") if isinstance(mask, UploadFile)]
        strokes: list[Any] = []
        for mask in masks:
            file = keep(session, mask, "the mask")
            try:
                check_size(file)
                strokes.append(mask_stroke(picture.load_mask(file)[0]))
            except MoebiusError as error:
                raise Refused(getattr(error, "status", 400), sentence(error, file.parent, face=in_form)) from None
        if not masks and not order.request.extend and not order.selected:
            raise Refused(400, "give a mask, a selection, or an extension")
        if form.get("from") and not masks and not order.selected:
            raise Refused(400, "from shows what a mask hides: give a mask or a selection too, or leave from out")
        if order.selected:
            found = select(picture.photo(), order.selected)
            if not found.any():
                raise Refused(400, f"there is no {' or '.join(order.selected)} in the photo, nothing would be filled")
            strokes.append(mask_stroke(picture.keep_mask(found)))
        others = [self._other(session, upload) for upload in form.getlist("from") if isinstance(upload, UploadFile)]
        picture.paint(strokes, [])
        if order.as_patch:
            patch_mode(picture.photo())  # refuses a photo that has none
        return self.runs.start(session, picture, order.request, order.more, in_form, order.as_patch, others)

    def _other(self, session: Session, upload: UploadFile) -> Shot:
        """Another shot of the scene. Raises Refused for what cannot be read."""
        file = keep(session, upload, "from")
        try:
            check_size(file)
            return read_shot(file)
        except MoebiusError as error:
            raise Refused(getattr(error, "status", 400), sentence(error, file.parent, face=in_form)) from None

    def _photo(self, session: Session, form: FormData, *names: str) -> Picture:
        upload = next((file for name in names if isinstance(file := form.get(name), UploadFile)), None)
        if upload is None:
            raise Refused(400, f"give a file as {names[0]}")
        kept = keep(session, upload, names[0])
        picture = Picture(kept, kept.parent)
        try:
            check_size(kept)
            check_output(picture.photo(), kept)
        except MoebiusError as error:
            raise Refused(getattr(error, "status", 400), sentence(error, kept.parent, face=in_form)) from None
        session.add(picture)
        self.sessions.use(picture)
        return picture

    async def _wait(self, request: Asked, run: Run) -> None:
        """Wait for a run's end, and cancel it if the client disconnects. Raises Refused when there is no fill."""
        gone = asyncio.create_task(left(request))
        try:
            await asyncio.wait({gone, asyncio.wrap_future(run.finished)}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            self.runs.cancel(run)  # does nothing if it has ended
        if run.state != "done":
            raise Refused(400, run.error or "the run was cancelled")

    async def _progress(self, session: Session, run: Run) -> AsyncIterator[bytes]:
        """Progress as events; the last one says where the file is."""
        try:
            async for line in session.events.stream():
                if run.ended is not None:
                    break
                yield line
        finally:
            self.runs.cancel(run)  # does nothing if it has ended
        if run.state == "done":
            url = f"/api/photos/{run.picture.id}/versions/{run.versions[0]}/file"
            yield event("done", {"url": url, "warnings": run.warnings})
        else:
            yield event("failed", {"error": run.error or "the run was cancelled"})

    async def edit(self, request: Asked) -> Response:
        """Fill a photo for clients of the well-known API for editing images."""
        try:
            session = self.sessions.new_session(guest=True)
            form = FormData()
            try:
                form = await read_form(request)
                run = await run_in_threadpool(self._start_edit, session, form)
                await self._wait(request, run)
                kind = str(form.get("output_format") or "png")
                images = await run_in_threadpool(
                    lambda: [encoded(run.picture, number, kind) for number in run.versions]
                )
            finally:
                self.sessions.end(session)
                await form.close()
        except MoebiusError as error:
            body = {
                "message": sentence(error, face=in_form),
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
            return Json({"error": body}, getattr(error, "status", 400))
        data = [{"b64_json": base64.b64encode(image).decode()} for image in images]
        more = {"warnings": run.warnings} if run.warnings else {}
        return Json({"created": int(time.time()), "data": data, **more})

    def _start_edit(self, session: Session, form: FormData) -> Run:
        if str(form.get("output_format") or "png") not in KINDS:
            raise Refused(400, f"output_format must be one of {', '.join(KINDS)}")
        if value_of(str(form.get("stream") or "false").lower()):
            raise Refused(400, "the picture comes in one answer: leave stream out")
        if form.get("response_format") == "url":
            raise Refused(400, "response_format must be b64_json")
        check_files(form, "image", "image[]", "mask")
        picture = self._photo(session, form, "image", "image[]")
        photo = picture.photo()
        upload = form.get("mask")
        if isinstance(upload, UploadFile):
            file = keep(session, upload, "the mask")
            try:
                check_size(file)
                drawing = read_photo(file)
                if (alpha := drawing.alpha()) is None or not (alpha < 128).any():
                    raise Refused(400, "the mask must be transparent where to fill; nothing in it is")
                holes = photo_from_image(black_and_white(alpha < 128))
                mask, _ = load_mask(photo, [holes])
            except MoebiusError as error:
                raise Refused(getattr(error, "status", 400), sentence(error, file.parent, face=in_form)) from None
        elif photo.alpha() is not None:
            mask = transparent(photo)
        else:
            raise Refused(400, "give a mask that is transparent where to fill")
        picture.paint([mask_stroke(picture.keep_mask(mask))], [])
        count, model = value_of(str(form.get("n") or 1)), str(form.get("model") or "")
        known = model if model in self.sessions.models() else self.sessions.model  # tools send other names
        if not isinstance(count, int) or not 1 <= count <= MAX_SEEDS:
            raise Refused(400, f"n must be a whole number from 1 to {MAX_SEEDS}")
        wanted = built(Request, {"model": known, "count": count, "yes": True})
        return self.runs.start(session, picture, wanted, {"opaque": True}, in_form)


async def read_form(request: Asked) -> FormData:
    """A form with files, which are bounded as they arrive. Raises Refused."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refused(415, "send a form with files (multipart/form-data)")
    parser = MultiPartParser(
        request.headers,
        bounded(request, 2 * MAX_BYTES),  # type: ignore[arg-type]
        max_files=4 * MAX_OTHERS,  # more than is allowed, which is then refused by its name
        max_fields=40,
    )
    try:
        return await parser.parse()
    except MultiPartException as error:
        if "maximum size" in error.message:
            raise Refused(413, "a field of text is too long: photos and masks must be files") from None
        raise Refused(400, f"the form cannot be read: {error.message}") from None


def check_files(form: FormData, *names: str) -> None:
    """Raise Refused where one of these is text, such as base64, instead of a file."""
    for name in names:
        if any(isinstance(given, str) for given in form.getlist(name)):
            raise Refused(400, f"{name} must be a file")


def keep(session: Session, upload: UploadFile, name: str) -> Path:
    """Save a form's file in a new folder. Raises Refused when it is too large or empty."""
    if not upload.size:
        raise Refused(400, f"{upload.filename or name}: the file is empty")
    if upload.size > MAX_BYTES:
        raise Refused(413, f"{upload.filename or name}: the file is larger than {MAX_BYTES // 1_000_000} MB, the limit")
    file = session.new_folder() / file_name(upload.filename or name)
    try:
        with file.open("xb") as target:
            shutil.copyfileobj(upload.file, target)
    except OSError as error:
        raise Refused(507, f"the file could not be kept: {error.strerror}") from None
    return file


def value_of(text: str) -> Any:
    """A form's text read as JSON, or as it is if it is no JSON."""
    try:
        return json.loads(text) if len(text) < 100 else text
    except (ValueError, RecursionError):
        return text


def check_limit(name: str, value: Any) -> None:
    """Raise Refused for a field of `Settings` that is beyond what a visitor may ask for."""
    field_of_request = LIMITED[name]
    try:
        build(Request, {"model": "", field_of_request: value})
    except ValueError as error:
        raise Refused(400, name + str(error).removeprefix(field_of_request)) from None


def mask_stroke(name: str) -> dict[str, Any]:
    """A mask that was loaded, as a stroke."""
    return {"tool": "mask", "mask": name}


def encoded(picture: Picture, number: int, kind: str) -> bytes:
    """A version's file in the format `kind`. Raises MoebiusError when the format cannot hold it."""
    version = picture.version(number)
    if version.file.suffix.lower() == f".{kind}":
        return version.file.read_bytes()
    name = check_output(picture.photo(number), version.file.with_suffix(f".{kind}"))
    return encode(picture.photo(number), name)[0]


async def left(request: Asked) -> None:
    """Return when the client has disconnected."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
