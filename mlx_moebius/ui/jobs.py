"""Fills in the background: one thread does them in turn, reports every step, and can be told to stop."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.compose import Result, Settings, Squares, prepare
from mlx_moebius.inpainting.pipeline import Event, MoebiusPipeline
from mlx_moebius.models import locate
from mlx_moebius.networks.diffusion import Step
from mlx_moebius.photos.masks import Mask
from mlx_moebius.photos.photo import Photo

PREVIEW = 2048  # longest side of what the page shows and paints on, in pixels
PAUSE = 4  # a live preview is drawn when this many times its own cost has passed since the last one

T = TypeVar("T")


class Cancelled(Exception):
    """The job was told to stop."""


class Worker:
    """One thread for all jobs: MLX's streams belong to the thread that made them, and two fills only wait for memory.

    It is a daemon that never returns, since a thread that has used MLX aborts the process when it ends.
    """

    def __init__(self) -> None:
        self._tasks: queue.Queue[tuple[Future[Any], Callable[[], Any]]] = queue.Queue()
        self._pipeline: MoebiusPipeline | None = None
        self.busy = False
        threading.Thread(target=self._work, daemon=True, name="moebius").start()

    def _work(self) -> None:
        while True:
            future, task = self._tasks.get()
            self.busy = True
            try:
                future.set_result(task())
            except BaseException as error:
                future.set_exception(error)
            self.busy = False

    def submit(self, task: Callable[[], T]) -> Future[T]:
        """Do it after everything that was submitted before."""
        future: Future[T] = Future()
        self._tasks.put((future, task))
        return future

    def pipeline(self, model: str) -> MoebiusPipeline:
        """The model, loaded; only the last one is kept. To be called by a task.

        Raises MoebiusError when it is not on this computer: the page downloads nothing.
        """
        if self._pipeline is None or self._pipeline.name != model:
            if locate(model) is None:
                raise MoebiusError(
                    f"{model} is not on this computer: get it with `python -m mlx_moebius.models download {model}`"
                )
            self._pipeline = None  # its memory first
            self._pipeline = MoebiusPipeline.from_pretrained(model)
        return self._pipeline


@dataclass(frozen=True, slots=True)
class Filled:
    """One finished fill, and what its file is to record."""

    result: Result
    seed: int
    provenance: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` steps, counted over all seeds; a picture of the fill so far, where one was drawn."""

    done: int
    total: int
    picture: Image.Image | None


@dataclass(slots=True)
class Job:
    """A photo, a mask, and one fill for each seed; `changes` are fields of `Settings`.

    With `extend` among them, there may be no mask, and there is one seed.
    """

    photo: Photo
    mask: Mask | None
    model: str
    changes: dict[str, Any]
    seeds: list[int]
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, worker: Worker) -> Iterator[Progress | Filled]:
        """Every step, and each fill as it is finished. Closing the iterator, or setting `stopped`, ends the work.

        Raises MoebiusError for what cannot be done, Cancelled after `stopped`.
        """
        events: queue.Queue[Progress | Filled | None] = queue.Queue()
        future = worker.submit(lambda: self._work(worker, events.put))
        future.add_done_callback(lambda _: events.put(None))
        try:
            while (event := events.get()) is not None:
                yield event
            future.result()
        finally:
            self.stopped.set()

    def _work(self, worker: Worker, report: Callable[[Progress | Filled], None]) -> None:
        if self.stopped.is_set():
            raise Cancelled
        pipeline = worker.pipeline(self.model)
        settings = pipeline.settings(**self.changes, seed=self.seeds[0])
        preview = None  # a wider frame grows in passes, which have windows of their own
        if self.mask is not None and not settings.extend:
            preview = Preview(pipeline, prepare(self.photo, self.mask, pipeline.size, settings), len(self.seeds))

        def watch(event: Event) -> None:
            if self.stopped.is_set():
                raise Cancelled
            if isinstance(event, Step):
                report(Progress(event.number, event.total, preview.draw(event) if preview else None))

        results: Iterable[Result]
        if self.mask is None or settings.extend:
            results = [pipeline.inpaint(self.photo, self.mask, settings, watch)]
        else:
            results = pipeline.variations(self.photo, self.mask, settings, self.seeds, watch)
        for seed, result in zip(self.seeds, results, strict=True):
            report(Filled(result, seed, pipeline.provenance(replace(settings, seed=seed), result)))


class Preview:
    """What the network thinks the clean photo is, after a step, at reduced size."""

    def __init__(self, pipeline: MoebiusPipeline, squares: Squares, runs: int) -> None:
        self.pipeline = pipeline
        self.squares = squares
        self.runs = runs
        self.picture = reduced(squares.photo)
        self.next = 0.0

    def draw(self, step: Step) -> Image.Image | None:
        """The photo with the windows of the step filled; None when it is too early for another."""
        start = time.monotonic()
        if start < self.next:
            return None
        at_once, windows = self.pipeline.max_windows, self.squares.windows
        batches = -(-len(windows) // at_once)
        steps = step.total // (self.runs * batches)
        first = (step.number - 1) // steps % batches * at_once
        scale = self.picture.width / self.squares.photo.width
        for index in range(first, min(first + at_once, len(windows))):
            fill = next(self.pipeline.decode(step.clean[index - first : index - first + 1]))
            left, top, right, bottom = (round(edge * scale) for edge in windows[index].frame)
            size = max(1, right - left), max(1, bottom - top)
            hole = Image.fromarray(self.squares.masks[index].astype(np.uint8) * 255).resize(size)
            square = Image.fromarray((fill.clip(0, 1) * 255).astype(np.uint8)).resize(size)
            self.picture.paste(square, (left, top), hole)
        end = time.monotonic()
        self.next = end + PAUSE * (end - start)
        return self.picture.copy()


def reduced(photo: Photo) -> Image.Image:
    """What the page shows of a photo: RGB, at most `PREVIEW` pixels wide and high."""
    picture = Image.fromarray(photo.rgb())
    picture.thumbnail((PREVIEW, PREVIEW), Image.Resampling.LANCZOS)
    return picture


def default_settings(worker: Worker, model: str) -> Settings:
    """The settings that a model comes with."""
    return worker.submit(lambda: worker.pipeline(model).settings()).result()
