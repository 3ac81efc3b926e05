"""What is selected instead of painted: proposals for the page, and masks for other programs."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request as Asked
from starlette.responses import Response
from starlette.routing import Route

from mlx_moebius.alignment.carry import carried
from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.photo import Photo, read_photo
from mlx_moebius.selection.object import ObjectCut
from mlx_moebius.selection.people import What, find_instances
from mlx_moebius.selection.request import MOST, Selection, parse, select
from mlx_moebius.selection.shadow import shadow_of
from mlx_moebius.ui.answers import Json
from mlx_moebius.ui.api import Api, mask_stroke
from mlx_moebius.ui.outline import Loop, encloses, inside, outline_of
from mlx_moebius.ui.pictures import Picture
from mlx_moebius.ui.refusals import Refused, in_form, sentence
from mlx_moebius.ui.rest_api import check_files, keep, read_form
from mlx_moebius.ui.tiles import black_and_white, png
from mlx_moebius.ui.uploads import built, check_size, read_json

INSTANCES: tuple[What, ...] = ("people", "subjects")
"""Kinds of which each person or thing is a proposal of its own."""
OBJECTS = ("box", "lasso", "line")
"""Kinds that strokes correct."""
SPECKS = ("dust", "hairs")
"""Kinds of which every loop is a proposal of its own."""


@dataclass(frozen=True, slots=True)
class Correction:
    """A stroke that adds to an object or takes away from it: points in pixels of the photo, and its width."""

    add: bool
    points: tuple[tuple[float, float], ...]
    size: float = 10.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the page wants selected: texts of `selection.request`, strokes that correct the object, its shadow too.

    `on` is the version of the photo; None: the current one.
    """

    selected: tuple[str, ...]
    strokes: tuple[Correction, ...] = ()
    shadow: bool = False
    on: int | None = None


@dataclass(frozen=True, slots=True)
class Carried:
    """The photo whose mask is wanted, and the version `on` which it is wanted; None: the current one."""

    source: str
    on: int | None = None


@dataclass(frozen=True, slots=True)
class LoadedMask:
    """A mask that came from a file: the photo `source` that it was loaded for, and its name there."""

    source: str
    mask: str


@dataclass(frozen=True, slots=True)
class LastCut:
    """The object that was selected last, by this text and these strokes, and its mask."""

    text: str
    strokes: tuple[Correction, ...]
    cut: ObjectCut
    mask: Mask


class Selecting:
    """`POST /api/photos/{id}/select` for the page, `POST /select` for other programs.

    The object that was cut last is kept, so that its next stroke needs no new cut.
    """

    def __init__(self, api: Api) -> None:
        self.api = api
        self.lock = threading.Lock()
        self.last: WeakKeyDictionary[Photo, LastCut] = WeakKeyDictionary()  # one; it goes with its photo's pixels

    def routes(self) -> list[Route]:
        """Addresses and their handlers."""
        return [
            Route("/api/photos/{id}/select", self.propose, methods=["POST"]),
            Route("/api/photos/{id}/outline", self.outline),
            Route("/api/photos/{id}/carried", self.carry, methods=["POST"]),
            Route("/api/photos/{id}/same-mask", self.same_mask, methods=["POST"]),
            Route("/select", self.select, methods=["POST"]),
        ]

    async def propose(self, request: Asked) -> Response:
        """Select in a version. The answer has outlines, which mean nothing until the page makes strokes of them."""
        picture = self.api.picture(request, changing=True)
        wanted = built(Wanted, await read_json(request))
        texts = [parse(text) for text in wanted.selected]
        if not texts:
            raise Refused(400, "selected must be a list of what is wanted, such as box:100,50,200,300")
        if sum(len(stroke.points) for stroke in wanted.strokes) > MOST:
            raise Refused(400, f"the strokes have more than {MOST} points")
        return Json(await run_in_threadpool(self._proposals, picture, texts, wanted), 201)

    def _proposals(self, picture: Picture, texts: list[Selection], wanted: Wanted) -> dict[str, Any]:
        photo = picture.photo(wanted.on)
        with self.lock:  # one after the other: each takes all cores
            masks = self._masks(photo, texts, wanted)
            found = [mask for mask in masks if mask.any()]
            shade = shadow_of(photo.rgb(), np.logical_or.reduce(found)) if wanted.shadow and found else None
        outlines = [outline_of(mask) for mask in found]
        if all(text.kind in SPECKS for text in texts):
            outlines = [[loop] for outline in outlines for loop in outline if encloses(loop)]
        parts = [part_of(outline) for outline in outlines]
        return {"parts": parts, "shadow": part_of(outline_of(shade)) if shade is not None and shade.any() else None}

    def _masks(self, photo: Photo, texts: list[Selection], wanted: Wanted) -> list[Mask]:
        if len(texts) == 1 and (
            kind := next((kind_here for kind_here in INSTANCES if kind_here == texts[0].kind), None)
        ):
            return find_instances(photo.rgb(), kind)
        if len(texts) == 1 and texts[0].kind in OBJECTS:
            return [self._object(photo, texts[0], wanted.strokes)]
        if wanted.strokes:
            raise Refused(400, "strokes correct one object: give a box, a lasso or a line alone")
        return [select(photo, texts)]

    def _object(self, photo: Photo, wanted: Selection, strokes: tuple[Correction, ...]) -> Mask:
        last = self.last.get(photo)
        if last is not None and last.text == wanted.text and strokes[: len(last.strokes)] == last.strokes:
            done, cut = last.strokes, last.cut
            if done == strokes:  # its shadow is wanted now
                return last.mask
        else:
            done, cut = (), cut_of(photo, wanted)
        self.last.clear()
        for stroke in strokes[len(done) :]:
            (cut.add if stroke.add else cut.remove)(stroke.points, stroke.size)
        self.last[photo] = LastCut(wanted.text, strokes, cut, cut.mask())
        return self.last[photo].mask

    async def outline(self, request: Asked) -> Response:
        """The outline of everything that is painted, masks from files too."""
        picture = self.api.picture(request)
        loops = await run_in_threadpool(lambda: outline_of(picture.mask()))
        width, height = picture.version().size
        return Json({"loops": [loop.tolist() for loop in loops], "width": width, "height": height})

    async def carry(self, request: Asked) -> Response:
        """Propose what is painted on the photo `source`, where it lies in this one. Refused if it is not there."""
        picture = self.api.picture(request, changing=True)
        wanted = built(Carried, await read_json(request))
        source = self.api.sessions.picture(wanted.source)[1]
        self.api.sessions.use(source)

        def find() -> list[dict[str, Any]]:
            with self.lock:
                found = carried(source.photo(), source.mask(), picture.photo(wanted.on))
            if isinstance(found, str) or not found.any():
                why = found if isinstance(found, str) else "does not show that place"
                raise Refused(409, f"{picture.name} {why}")
            return [part_of(outline_of(found))]

        return Json({"parts": await run_in_threadpool(find), "shadow": None}, 201)

    async def same_mask(self, request: Asked) -> Response:
        """Take over a mask that came from a file for another photo. The answer is a stroke like any other."""
        picture = self.api.picture(request, changing=True)
        wanted = built(LoadedMask, await read_json(request))
        mask = self.api.sessions.picture(wanted.source)[1].masks.get(wanted.mask)
        if mask is None:
            raise Refused(404, "the mask is not there any more: load it here too")
        (height, width), size = mask.shape, picture.version(None).size
        if (width, height) != size:
            raise Refused(409, f"the mask has {width} x {height} pixels, and the photo {size[0]} x {size[1]}")
        return Json({"stroke": mask_stroke(picture.keep_mask(mask))}, 201)

    async def select(self, request: Asked) -> Response:
        """Select in a photo that is sent, and answer with the mask."""
        session = self.api.sessions.new_session(guest=True)
        form = FormData()
        try:
            form = await read_form(request)
            check_files(form, "photo")
            upload = form.get("photo")
            texts = [text for text in form.getlist("select") if isinstance(text, str)]
            if unknown := sorted(set(form) - {"photo", "select"}):
                raise Refused(400, f"there is no setting {unknown[0][:60]!r}")
            if not isinstance(upload, UploadFile) or not texts:
                raise Refused(400, "give a file as photo, and what is wanted as select, such as box:100,50,200,300")
            file = keep(session, upload, "photo")

            def find() -> bytes:
                try:
                    wanted = [parse(text) for text in texts]
                    check_size(file)
                    photo = read_photo(file)
                    with self.lock:
                        return png(black_and_white(select(photo, wanted)))
                except MoebiusError as error:
                    raise Refused(getattr(error, "status", 400), sentence(error, file.parent, face=in_form)) from None

            return Response(await run_in_threadpool(find), media_type="image/png")
        finally:
            self.api.sessions.end(session)
            await form.close()


def part_of(outline: list[Loop]) -> dict[str, Any]:
    """A proposal as the page gets it: its outline, its box, and a place inside for a dot."""
    corners = np.concatenate(outline)
    box = [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()]
    return {"loops": [loop.tolist() for loop in outline], "box": box, "dot": inside(outline)}


def cut_of(photo: Photo, wanted: Selection) -> ObjectCut:
    """The object that a selection of the kinds box, lasso and line means."""
    if wanted.kind == "box":
        x, y, width, height = wanted.numbers[0]
        return ObjectCut(photo.rgb(), box=(round(x), round(y), round(x + width), round(y + height)))
    points = [(x, y) for x, y in wanted.numbers]
    return ObjectCut(photo.rgb(), lasso=points) if wanted.kind == "lasso" else ObjectCut(photo.rgb(), line=points)
