"""Fill the photos of a folder: files are read and written on threads while the network works.

    load (threads): hash, read, plan  ->  fill (this thread): the network  ->  store (threads): stitch, write

The number of photos in memory is bounded. A photo counts as done when its line is in the ledger, which is written after
its file.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from errno import EDQUOT, EFBIG, ENOSPC
from functools import partial
from pathlib import Path

from mlx_moebius.errors import Face, MoebiusError, in_python, worded
from mlx_moebius.files import EVERYBODY, sha256
from mlx_moebius.folder import ledger
from mlx_moebius.folder.ledger import Record
from mlx_moebius.folder.others import Others
from mlx_moebius.inpainting.compose import PreparedCrops
from mlx_moebius.inpainting.detail import Detail
from mlx_moebius.inpainting.pipeline import Event, MoebiusPipeline
from mlx_moebius.inpainting.prepare import prepare
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.networks.diffusion import NotFiniteError
from mlx_moebius.photos.geometry import Colours
from mlx_moebius.photos.mask_files import ALPHA, check_share, load_mask
from mlx_moebius.photos.masks import components
from mlx_moebius.photos.pairing import Pair
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.photos.save import check_output, write_photo
from mlx_moebius.selection.request import select

THREADS = 2  # for reading, and as many for writing
AHEAD = 3  # photos read before the network wants them
MOST_BOXES = 16  # of a photo's fills in its record, the largest ones
NETWORK = ("encode", "denoise", "decode")


@dataclass(frozen=True, slots=True)
class Job:
    """What applies to all photos: settings, mask boxes, whether more than half may be filled, how files are written."""

    folder: Path
    output: Path
    settings: Settings
    boxes: tuple[str, ...] = ()
    invert: bool = False
    large: bool = False
    quality: int | None = None
    metadata: bool = True
    keep_time: bool = False
    others: Others | None = None
    """Other shots that photos may be filled from."""
    mode: int = EVERYBODY
    """Permissions of the files about all photos: ledger and review page."""
    face: Face = in_python
    """Words errors and warnings in the records."""
    selected: tuple[str, ...] = ()
    """What is selected in every photo; see `selection.request`."""
    dust: Mapping[Path, tuple[str, ...]] = field(default_factory=dict)
    """What is selected instead of "sensor", by photo."""

    def selections(self, photo: Path) -> tuple[str, ...]:
        """What is selected in a photo."""
        return (*(text for text in self.selected if text != "sensor"), *self.dust.get(photo, ()))

    def request(self, pipeline: MoebiusPipeline) -> Record:
        """Everything that decides what is written, except photo and mask, as JSON values."""
        files = {file.name: file.sha256 for file in pipeline.diffusion.config.files}
        values = {
            "model": pipeline.name,
            "sha256": files,
            "dtype": str(pipeline.diffusion.dtype).split(".")[-1],
            "settings": asdict(self.settings),
            "boxes": self.boxes,
            "invert": self.invert,
            "quality": self.quality,
            "metadata": self.metadata,
        }
        if self.others is not None:
            values |= {"others": [path.name for path in self.others.given], "neighbours": self.others.by_time}
        if self.selected:
            values["selected"] = self.selected
        return dict(json.loads(json.dumps(values)))


@dataclass(slots=True)
class Task:
    """A photo being worked on. `record` becomes its line in the ledger; without `prepared` nothing is left to do.

    `fills` are the network's results for all crops, with matched colours once detail was added. `details` says what
    detail was grown in them.
    """

    pair: Pair
    record: Record
    prepared: PreparedCrops | None = None
    skipped: bool = False
    unmasked: bool = False
    fills: list[Colours] = field(default_factory=list)
    details: list[Detail] = field(default_factory=list)
    face: Face = in_python

    def add_time(self, stage: str, seconds: float) -> None:
        """Add time to a stage of this photo."""
        times = self.record["seconds"]
        times[stage] = times.get(stage, 0.0) + seconds


class DiskFullError(MoebiusError):
    """No photo can be written any more."""


def run(
    pipeline: MoebiusPipeline,
    job: Job,
    pairs: Iterable[Pair],
    done: dict[str, Record],
    on_step: Callable[[str, Event], None],
    rank: int = 0,
) -> Generator[Task, None, None]:
    """Fill photos. Yields a photo's task when its record is in the ledger, or when there was nothing to fill.

    `done` holds the records of an earlier run: photos that it finished with the same files and settings are skipped.
    The error of a photo is in its record. When this iterator is closed, files being written are still finished.
    Raises MoebiusError for an error that stops the run: memory or disk space is used up.
    """
    request = job.request(pipeline)
    readers, writers = ThreadPoolExecutor(THREADS), ThreadPoolExecutor(THREADS)
    writing: deque[Future[Task]] = deque()
    try:
        loaded = _ahead(readers, lambda pair: load(pair, job, pipeline.size, request, done), pairs)
        for task in fill(pipeline, loaded, job.settings, on_step):
            if task.prepared is None:
                yield _recorded(task, job, rank) if "error" in task.record else task
                continue
            writing.append(writers.submit(store, task, job, pipeline, rank))
            while writing and (len(writing) > THREADS or writing[0].done()):
                yield writing.popleft().result()
        while writing:
            yield writing.popleft().result()
    finally:
        readers.shutdown(wait=False, cancel_futures=True)
        writers.shutdown(wait=True)


def load(pair: Pair, job: Job, size: int, request: Record, done: dict[str, Record]) -> Task:
    """Read a photo and its mask and plan its crops, unless an earlier run has done the photo."""
    start = time.perf_counter()
    name = pair.name.as_posix()
    mask_name = os.path.relpath(pair.mask, job.folder) if isinstance(pair.mask, Path) else pair.mask
    record: Record = {"input": name, "output": name, "mask": mask_name, "seconds": {}}
    task = Task(pair, record, face=job.face)
    try:
        if pair.problem:
            raise MoebiusError(pair.problem)
        source, target = job.folder / pair.name, job.output / pair.name
        record["input_sha256"] = sha256(source)
        if isinstance(pair.mask, Path):
            record["mask_sha256"] = sha256(pair.mask)
        record |= {"seed": job.settings.seed, "request": request}
        files = job.others.files(pair.name) if job.others else []
        if job.others:
            record["others_sha256"] = job.others.hashes(files)
        if _is_done(record, done.get(name), target):
            task.skipped = True
            return task
        photo = read_photo(source)
        if pair.mask == ALPHA and ((alpha := photo.alpha()) is None or (alpha >= 128).all()):
            task.unmasked = True
            return task
        selected = select(photo, job.selections(source)) if job.selected else None
        if selected is not None and not selected.any() and not (pair.mask or job.boxes):
            task.unmasked = True
            return task
        mask, warnings = load_mask(photo, [pair.mask] if pair.mask else [], job.boxes, job.invert, selected)
        if target.parent.is_dir():
            check_output(photo, target)
        record["warnings"] = [worded(line, job.face) for line in (*photo.notes, *warnings)]
        shots = job.others.read(files, pair.name, photo) if job.others else []
        prepared = prepare(photo, mask, size, job.settings, others=shots)
        check_share(prepared.mask, mask, job.large, job.invert)
        task.prepared = prepared
        record["windows"] = len(prepared.crops)
    except Exception as error:
        _fail(task, error)
    task.add_time("read", time.perf_counter() - start)
    return task


def fill(
    pipeline: MoebiusPipeline, tasks: Iterable[Task], settings: Settings, on_step: Callable[[str, Event], None]
) -> Iterator[Task]:
    """Run the network on the crops of every task, `batch_size` at a time. Yields a task when it is complete.

    Crops of different photos never share a batch: the contents of a batch decide the last bits of sums, so a photo
    would not come out exactly as it does alone.
    """
    for task in tasks:
        if task.prepared is None:
            yield task
            continue
        if not task.prepared.crops:  # nothing is left for it
            task.record["peak_bytes"] = {"network": 0, "process": process_peak()}
            yield task
            continue
        step = partial(on_step, task.record["input"])
        before = {name: stage.seconds for name, stage in pipeline.stages.by_name.items()}
        try:
            fills = pipeline.fills(task.prepared, settings, step)
            task.fills, task.details = pipeline.add_detail(task.prepared, fills, settings, step)
        except NotFiniteError as error:
            _fail(task, error)
            yield task
            continue
        for name in (*NETWORK, "detail"):
            task.add_time(name, pipeline.stages.by_name[name].seconds - before.get(name, 0.0))
        peak = max(stage.peak_bytes for stage in pipeline.stages.by_name.values())
        task.record["peak_bytes"] = {"network": peak, "process": process_peak()}
        yield task


def store(task: Task, job: Job, pipeline: MoebiusPipeline, rank: int) -> Task:
    """Stitch a photo, write its file, then its line in the ledger. Raises DiskFullError when the disk is full."""
    start = time.perf_counter()
    assert task.prepared is not None
    try:
        boxes = [part.box for part in components(task.prepared.mask)]
        boxes.sort(key=lambda box: (box[2] - box[0]) * (box[3] - box[1]), reverse=True)
        task.record["boxes"] = boxes[:MOST_BOXES]
        result = task.prepared.finish(task.fills, task.details, job.settings)
        source, target = job.folder / task.pair.name, job.output / task.pair.name
        selected = job.selections(source)
        provenance = pipeline.provenance(job.settings, result, job.quality, selected) if job.metadata else None
        notes = write_photo(result.photo, target, job.quality, provenance, source, job.keep_time)
        task.record |= {"output_size": target.stat().st_size, "output_sha256": sha256(target)}
        task.record["enlargement"] = round(result.enlargement, 3)
        task.record["detail"] = [detail.figures() | {"seconds": round(detail.seconds, 3)} for detail in result.details]
        if result.uses:
            task.record["shots"] = [use.figures() | {"said": use.line()} for use in result.uses]
        task.record["seam"] = asdict(result.seam) if result.seam else None
        task.record["warnings"] += [worded(line, job.face) for line in (*result.warnings, *notes)]
    except Exception as error:
        if getattr(error.__cause__, "errno", None) in (ENOSPC, EDQUOT, EFBIG):
            raise DiskFullError(worded(error, job.face)) from error
        _fail(task, error)
    task.prepared = None
    task.fills.clear()
    task.details.clear()
    task.add_time("write", time.perf_counter() - start)
    return _recorded(task, job, rank)


def process_peak() -> int:
    """The peak of this process's memory so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _is_done(record: Record, earlier: Record | None, target: Path) -> bool:
    """Whether an earlier run filled the same files with the same settings, and its result has not been changed."""
    same = ("input_sha256", "mask_sha256", "request", "others_sha256")
    if earlier is None or "error" in earlier or any(earlier.get(k) != record.get(k) for k in same):
        return False
    try:
        return target.stat().st_size == earlier["output_size"] and sha256(target) == earlier["output_sha256"]
    except OSError:
        return False


def _fail(task: Task, error: Exception) -> None:
    line = " ".join(worded(error, task.face).split())
    if not isinstance(error, MoebiusError):
        line = f"{type(error).__name__} {line}"
    if str(task.pair.name) not in line:
        line = f"{task.pair.name}: {line}"
    task.record["error"] = line
    task.prepared = None


def _recorded(task: Task, job: Job, rank: int) -> Task:
    task.record["seconds"] = {name: round(value, 4) for name, value in task.record["seconds"].items()}
    task.record |= {"finished": datetime.now(timezone.utc).isoformat(timespec="microseconds"), "rank": rank}
    ledger.append(job.output, task.record, rank, job.mode)
    return task


def _ahead(pool: ThreadPoolExecutor, function: Callable[[Pair], Task], items: Iterable[Pair]) -> Iterator[Task]:
    """`map` on threads, at most AHEAD items ahead of the consumer."""
    futures: deque[Future[Task]] = deque()
    for item in items:
        futures.append(pool.submit(function, item))
        if len(futures) > AHEAD:
            yield futures.popleft().result()
    while futures:
        yield futures.popleft().result()
