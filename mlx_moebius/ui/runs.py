"""Runs (one or more fills of a photo) that wait, are under way or have ended. A run can be cancelled at once."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal

from mlx_moebius.alignment.shot import Shot
from mlx_moebius.errors import Face, MoebiusError
from mlx_moebius.inpainting.detail import Growth
from mlx_moebius.inpainting.extend import Extension, parse_aspect, parse_sides
from mlx_moebius.inpainting.presets import Preset, preset_settings
from mlx_moebius.inpainting.settings import Seed
from mlx_moebius.networks.config import GuidanceScale
from mlx_moebius.photos.geometry import Box, Mask, union
from mlx_moebius.photos.growth import check_growth, grow, large_share
from mlx_moebius.photos.masks import components
from mlx_moebius.photos.photo import Photo
from mlx_moebius.schema import Bounds
from mlx_moebius.ui.jobs import Cancelled, Filled, Job, Progress, Report, Worker
from mlx_moebius.ui.othershots import OtherShots
from mlx_moebius.ui.pace import Course, Pace
from mlx_moebius.ui.pictures import Painted, Picture
from mlx_moebius.ui.refusals import Refused, on_page, sentence
from mlx_moebius.ui.sessions import Session, Sessions
from mlx_moebius.ui.strokes import chosen_shots
from mlx_moebius.ui.tiles import webp

MAX_SEEDS = 8
MAX_STEPS = 200
MAX_WAITING = 24  # runs of all visitors that have not ended
MAX_DILATE = 2000
KEPT_RUNS = 200  # ended ones that can still be asked for
BOXES = 16  # parts of a mask that are told apart

Gravity = Literal["center", "left", "right", "top", "bottom"]
State = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Request:
    """How to fill, as the page and other programs ask for it. None leaves the preset's and the model's values.

    `count` fills are made, with seeds from `seed` on. `extend` says what to add to the frame (empty: nothing), and
    `gravity` where the photo stays in it. `yes` allows filling more than half of the photo. `on` is the version to fill
    (None: the version that is current when the run starts). `strokes` say what to fill (None: what is painted when the
    run is asked for).
    """

    model: str
    preset: Preset = "standard"
    steps: Annotated[int, Bounds(1, MAX_STEPS)] | None = None
    guidance: GuidanceScale | None = None
    dilate: Annotated[int, Bounds(0, MAX_DILATE)] | Literal["auto"] = "auto"
    context: Annotated[float, Bounds(1, 1000)] = 2.0
    detail: bool = True
    seed: Seed = 0
    count: Annotated[int, Bounds(1, MAX_SEEDS)] = 1
    extend: str = ""
    gravity: Gravity = "center"
    yes: bool = False
    on: int | None = None
    strokes: Any = None

    def seeds(self) -> list[int]:
        """The seeds, one for each fill."""
        return [self.seed + i for i in range(self.count)]

    def changes(self, sessions: Sessions) -> dict[str, Any]:
        """Fields of `Settings`, without seed and extension. Raises MoebiusError for a model that is not here."""
        changes = preset_settings(self.preset, sessions.sampling(self.model))
        if self.steps is not None:
            changes["num_steps"] = self.steps
        if self.guidance is not None:
            changes["guidance_scale"] = self.guidance
        return changes | {"dilate": self.dilate, "context": float(self.context), "detail": self.detail}

    def extension(self, photo: Photo) -> Extension | None:
        """What "10%", "left=256,top=10%" or "16:9" adds to the photo; None when nothing is asked for."""
        text = self.extend.strip()
        if not text:
            return None
        return parse_aspect(text, self.gravity, photo) if ":" in text else parse_sides(text, photo)


@dataclass(slots=True, eq=False)
class Run:
    """One run and its state. `preview` is the file of its last preview.

    If `task` is given, it is done instead of `request`, after all runs that somebody waits for.
    """

    session: Session
    picture: Picture
    request: Request
    painted: Painted
    boxes: list[Box]
    changes: Mapping[str, Any]
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    stopped: threading.Event = field(default_factory=threading.Event)
    base: int = 0
    state: State = "waiting"
    done: int = 0
    total: int = 0
    error: str | None = None
    versions: list[int] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    asked: float = field(default_factory=time.monotonic)
    ended: float | None = None
    preview: bytes = b""
    finished: Future[None] = field(default_factory=Future)
    task: Callable[[Worker, Report], None] | None = None
    face: Face = on_page
    as_patch: bool = False
    """Write only what changed, as a layer over the photo."""
    others: Callable[[], Sequence[Shot]] = tuple
    """Reads other shots of the scene to take from."""
    course: Course | None = None

    def shown(self, before: int) -> dict[str, Any]:
        """As the page gets it; `before` runs come first."""
        return {
            "id": self.id,
            "photo": self.picture.id,
            "seed": self.request.seed,
            "state": self.state,
            "before": before,
            "done": self.done,
            "total": self.total,
            **(self.course.shown() if self.course else {}),
            "error": self.error,
            "versions": self.versions,
            "warnings": self.warnings,
            "seconds": round((self.ended or time.monotonic()) - self.asked, 2),
            "boxes": self.boxes,
        }


class Runs:
    """All runs, in the order in which they were asked for."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.shots = OtherShots(sessions)
        self._runs: dict[str, Run] = {}
        self._paces: dict[str, Pace] = {}
        self._lock = threading.RLock()
        sessions.leaving.append(self.leave)

    def shown(self, run: Run) -> dict[str, Any]:
        """A run as the page gets it."""
        return self._brief(run) | {"strokes": run.painted.values}

    def _brief(self, run: Run) -> dict[str, Any]:
        with self._lock:
            going = [other for other in self._runs.values() if other.ended is None]
            return run.shown(going.index(run) if run in going else 0)

    def run(self, identity: str) -> Run:
        """A run by its name. Raises Refused when there is none."""
        with self._lock:
            if identity not in self._runs:
                raise Refused(404, "this run is over and forgotten")
            return self._runs[identity]

    def of(self, picture: Picture) -> list[Run]:
        """The runs of a photo that have not ended."""
        with self._lock:
            return [run for run in self._runs.values() if run.picture is picture and run.ended is None]

    def start(
        self,
        session: Session,
        picture: Picture,
        request: Request,
        more: Mapping[str, Any] = MappingProxyType({}),
        face: Face = on_page,
        as_patch: bool = False,
        others: Sequence[Shot] = (),
        visitor: Session | None = None,
    ) -> Run:
        """Queue a run of what is painted; or, without paint, of an extension. `more` are fields of `Settings`.

        What `others`, shots of the same scene, show of the hole is taken from them, or else what those show that the
        strokes name, which are open in `session` or in that of the `visitor`. With `as_patch`, the file is only what
        changed. Errors are in the words of the interface `face`.
        Raises MoebiusError for what cannot be done, and Refused with `ask` for what the user should confirm.
        """
        painted = picture.done if request.strokes is None else Painted.read(request.strokes)
        extension = request.extension(picture.photo(request.on))
        if extension and request.count > 1:
            raise Refused(400, "the frame is extended with one seed at a time: set the number of fills to 1")
        changes = {**request.changes(self.sessions), **more}
        mask = picture.mask(painted, request.on)
        if not extension or mask.any():
            check_amount(mask, request)
        boxes = united([part.box for part in components(mask)])
        shots = self.shots.find(visitor or session, picture, chosen_shots(painted.strokes))
        run = Run(session, picture, request, painted, boxes, changes, face=face, as_patch=as_patch)
        run.others = (lambda: self.shots.read(shots)) if shots else (lambda: others)
        return self.queue(run)

    def queue(self, run: Run) -> Run:
        """Add a run. Raises Refused when too many are waiting."""
        with self._lock:
            waiting = [other for other in self._runs.values() if other.ended is None and other.task is None]
            if run.task is None and len(waiting) >= MAX_WAITING:
                raise Refused(429, f"{MAX_WAITING} runs are waiting, which is the limit: wait for one to end")
            self._runs[run.id] = run
            run.course = self._course(run)
            for old in [other for other in self._runs.values() if other.ended is not None][:-KEPT_RUNS]:
                del self._runs[old.id]
        self._tell(run)
        self.sessions.worker.submit(lambda: self._work(run), background=run.task is not None)
        return run

    def _course(self, run: Run) -> Course:
        request, pace = run.request, self._paces.setdefault(run.request.model, Pace())
        area = sum((right - left) * (bottom - top) for left, top, right, bottom in run.boxes)
        steps = run.changes.get("num_steps") or self.sessions.sampling(request.model).num_steps
        return Course(pace, steps, request.count, area, request.detail)

    def cancel(self, run: Run) -> None:
        """End a run at once, whether it is under way or waiting; the worker's thread stops after its step."""
        self._end(run, "cancelled")

    def leave(self, picture: Picture) -> None:
        """End and forget the runs of a photo that was closed."""
        with self._lock:
            left = [run for run in self._runs.values() if run.picture is picture]
        for run in left:
            self.cancel(run)
        with self._lock:
            for run in left:
                self._runs.pop(run.id, None)

    def _end(self, run: Run, state: State, error: str | None = None) -> None:
        with self._lock:
            if run.ended is not None:
                return
            run.state, run.error, run.ended, run.preview = state, error, time.monotonic(), b""
            run.stopped.set()
            others = [other for other in self._runs.values() if other.ended is None]
        if state == "done":
            run.picture.settle(run.id)
        else:
            run.picture.drop(run.id)
            run.versions = []
        for changed in (run, *others):  # the others move up
            self._tell(changed)
        run.finished.set_result(None)

    def _tell(self, run: Run) -> None:
        self.sessions.tell(run.session, "run", self._brief(run))

    def _work(self, run: Run) -> None:
        with self._lock:
            if run.ended is not None:
                return
            run.state = "running"
        assert run.course is not None
        run.course.begin()
        self._tell(run)
        try:
            work = run.task or self._job(run).work
            work(self.sessions.worker, lambda event: self._progress(run, event))
        except Cancelled:
            self._end(run, "cancelled")
        except (MoebiusError, MemoryError) as error:
            line = (
                sentence(error, face=run.face)
                if isinstance(error, MoebiusError)
                else "there is not enough memory for this photo"
            )
            self._end(run, "failed", line)
        except Exception as error:
            self._end(run, "failed", f"something went wrong ({type(error).__name__}): {sentence(error)}")
        else:
            self._end(run, "done")

    def _job(self, run: Run) -> Job:
        """The job of a run, with the photo as it is now."""
        request, picture = run.request, run.picture
        with picture.lock:
            run.base = picture.version(request.on).id
            photo = picture.photo(run.base)
        mask: Mask | None = picture.mask(run.painted, run.base)
        extension = request.extension(photo)
        if extension and mask is not None and not mask.any():
            mask = None
        changes = {**run.changes, "extend": extension}
        return Job(
            photo, mask, self.sessions.source(request.model), changes, request.seeds(), run.stopped, run.others()
        )

    def _progress(self, run: Run, event: Progress | Growth | Filled) -> None:
        assert run.course is not None
        if isinstance(event, Growth):
            run.course.grown(event.number, event.total)
            self._tell(run)
            return
        if isinstance(event, Filled):
            number, warnings = run.picture.add_fill(
                event, run.base, run.painted, run.id, lambda: run.ended is None, run.face, run.as_patch
            )
            run.versions.append(number)
            if run.request.count > 1:
                warnings = [f"Seed {event.settings.seed}: {line}" for line in warnings]
            run.warnings += [line for line in warnings if line not in run.warnings]
            run.course.written()
            return
        run.done, run.total = event.done, event.total
        run.course.step(event.done, event.total)
        self._tell(run)
        if event.picture is not None:
            image, box = event.picture
            run.preview = webp(image)
            url = f"/api/runs/{run.id}/preview?step={event.done}"
            self.sessions.tell(run.session, "preview", {"run": run.id, "url": url, "box": box})


def check_amount(mask: Mask, request: Request) -> None:
    """Raise Refused if nothing or everything is painted; with `ask` if much would be filled."""
    if not mask.any():
        raise Refused(400, "nothing is painted: paint over what should go")
    if mask.all():
        raise Refused(400, "everything is painted: leave something for the fill to continue")
    if request.yes:
        return
    grown = grow(mask, request.dilate)
    check_growth(grown, mask)
    if share := large_share(grown, mask):
        raise Refused(409, f"{share}: is that meant?", ask=True)


def united(boxes: list[Box]) -> list[Box]:
    """The boxes, or if there are more than `BOXES`, the one box that contains them all."""
    return boxes if len(boxes) <= BOXES else [union(boxes)]
