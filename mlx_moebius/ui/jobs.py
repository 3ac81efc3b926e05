"""Fills in the background. One thread does them in turn, reports every step, and can be told to stop."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from mlx_moebius.alignment.shot import Shot
from mlx_moebius.inpainting.compose import PreparedCrops, Result
from mlx_moebius.inpainting.detail import Growth
from mlx_moebius.inpainting.pipeline import Event, MoebiusPipeline
from mlx_moebius.inpainting.prepare import prepare
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.models import locate
from mlx_moebius.networks.diffusion import Step
from mlx_moebius.photos.geometry import Box, Mask
from mlx_moebius.photos.photo import Photo
from mlx_moebius.runtime import return_freed_memory
from mlx_moebius.ui.refusals import Refused

PREVIEW = 1024  # longest side of a preview, in pixels
PAUSE = 4  # a preview is drawn when this many times the cost of the last one has passed since

T = TypeVar("T")


class Cancelled(Exception):
    """The job was told to stop."""


class Worker:
    """One thread for all jobs: MLX's streams belong to the thread that made them, and two fills only wait for memory.

    Jobs that somebody waits for come before those in the background. The thread is a daemon that never returns: a
    thread that has used MLX aborts the process when it ends.
    """

    def __init__(self) -> None:
        self._tasks: queue.PriorityQueue[tuple[bool, int, Future[Any], Callable[[], Any]]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._pipeline: MoebiusPipeline | None = None
        threading.Thread(target=self._work, daemon=True, name="moebius").start()

    def _work(self) -> None:
        while True:
            *_, future, task = self._tasks.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(task())
            except BaseException as error:
                future.set_exception(error)
            del future, task  # frees the photo before the next task comes

    def submit(self, task: Callable[[], T], background: bool = False) -> Future[T]:
        """Queue a task after those submitted before; in the `background`, also after all that are not."""
        future: Future[T] = Future()
        self._tasks.put((background, next(self._numbers), future, task))
        return future

    def rest(self, seconds: float) -> bool:
        """Wait until no task runs or waits; False if that takes longer than `seconds`."""
        try:
            self.submit(lambda: None, background=True).result(seconds)
        except FutureTimeoutError:
            return False
        return True

    def tidy(self) -> None:
        """Give memory that is kept for the next run back to the system, if no task waits."""
        if self._tasks.empty():
            self.submit(return_freed_memory, background=True)

    def pipeline(self, model: str) -> MoebiusPipeline:
        """The loaded model; only the last one is kept. Only tasks may call this.

        Raises MoebiusError when the model is not on this computer: the page downloads nothing.
        """
        if self._pipeline is None or self._pipeline.name != model:
            if locate(model) is None:
                raise not_here(model)
            self._pipeline = None  # its memory first
            self._pipeline = MoebiusPipeline.from_pretrained(model)
        return self._pipeline


def not_here(model: str) -> Refused:
    """The error for a model that is not on this computer."""
    return Refused(400, f"{model} is not on this computer: get it with `mlx-moebius models download {model}`")


@dataclass(frozen=True, slots=True)
class Filled:
    """One finished fill, and the settings that its file is to record."""

    result: Result
    settings: Settings
    provenance: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` steps, counted over all seeds; `picture` is a preview and its place in the photo, if drawn."""

    done: int
    total: int
    picture: tuple[Image.Image, Box] | None = None


Report = Callable[[Progress | Growth | Filled], None]


@dataclass(slots=True)
class Job:
    """A photo, a mask, and one fill for each seed; `changes` are fields of `Settings`.

    With `extend` in `changes`, `mask` may be None, and there is one seed. `others` are shots of the same scene, from
    which is taken what they show of the mask.
    """

    photo: Photo
    mask: Mask | None
    model: str
    changes: dict[str, Any]
    seeds: list[int]
    stopped: threading.Event = field(default_factory=threading.Event)
    others: Sequence[Shot] = ()

    def work(self, worker: Worker, report: Report) -> None:
        """Do the job, on the worker's thread; `report` gets every step, growth of detail, and every finished fill.

        Raises MoebiusError for what cannot be done, Cancelled after `stopped`.
        """
        self._go_on()
        pipeline = worker.pipeline(self.model)
        settings = pipeline.settings(**self.changes, seed=self.seeds[0])
        preview = None  # none for a wider frame: it grows in passes, with other crops
        if self.mask is not None and not settings.extend and not self.others:
            prepared = prepare(self.photo, self.mask, pipeline.size, settings)
            preview = Preview(pipeline, prepared, len(self.seeds)) if prepared.crops else None

        def watch(event: Event) -> None:
            self._go_on()
            if isinstance(event, Step):
                report(Progress(event.number, event.total, preview.draw(event) if preview else None))
            else:
                report(event)

        results: Iterable[Result]
        if self.mask is None or settings.extend:
            results = [pipeline.inpaint(self.photo, self.mask, settings, watch, self.others)]
        else:
            results = pipeline.variations(self.photo, self.mask, settings, self.seeds, watch, self.others)
        for seed, result in zip(self.seeds, results, strict=True):
            self._go_on()
            chosen = replace(settings, seed=seed)
            report(Filled(result, chosen, pipeline.provenance(chosen, result)))

    def _go_on(self) -> None:
        if self.stopped.is_set():
            raise Cancelled


class Preview:
    """Draws the network's estimate of the clean photo after a step, over the region that is filled."""

    def __init__(self, pipeline: MoebiusPipeline, prepared: PreparedCrops, runs: int) -> None:
        self.pipeline = pipeline
        self.prepared = prepared
        self.runs = runs
        photo, frames = prepared.photo, [crop.frame for crop in prepared.crops]
        left, top = max(0, min(frame[0] for frame in frames)), max(0, min(frame[1] for frame in frames))
        right, bottom = max(frame[2] for frame in frames), max(frame[3] for frame in frames)
        self.box = left, top, min(photo.width, right), min(photo.height, bottom)
        self.picture = Image.fromarray(photo.rgb(self.box))
        self.picture.thumbnail((PREVIEW, PREVIEW))
        self.next = 0.0

    def draw(self, step: Step) -> tuple[Image.Image, Box] | None:
        """The region that is filled, with the crops of this step as they are by now, and its box in the photo.

        None when it is too early for another preview.
        """
        start = time.monotonic()
        if start < self.next:
            return None
        at_once, crops = self.pipeline.batch_size, self.prepared.crops
        batches = -(-len(crops) // at_once)
        steps = step.total // (self.runs * batches)
        first = (step.number - 1) // steps % batches * at_once
        scale = self.picture.width / (self.box[2] - self.box[0])
        for index in range(first, min(first + at_once, len(crops))):
            fill = next(self.pipeline.decode(step.clean[index - first : index - first + 1]))
            frame = crops[index].frame
            left, top, right, bottom = (round((edge - self.box[i % 2]) * scale) for i, edge in enumerate(frame))
            size = max(1, right - left), max(1, bottom - top)
            hole = Image.fromarray(self.prepared.masks[index].astype(np.uint8) * 255).resize(size)
            square = Image.fromarray((fill.clip(0, 1) * 255).astype(np.uint8)).resize(size)
            self.picture.paste(square, (left, top), hole)
        end = time.monotonic()
        self.next = end + PAUSE * (end - start)
        return self.picture.copy(), self.box
