"""A folder of photos on the page, with results, ledger and review page as the command line makes them.

In the folder of results, `masks` gets a photo's strokes when they are painted, and its mask when it is queued. So work
goes on after the page is closed and started again, and the command line can repeat the run.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import locked, make_folder, permissions, replacing
from mlx_moebius.folder import batch, ledger, review
from mlx_moebius.folder.others import Others
from mlx_moebius.folder.run import find_pairs
from mlx_moebius.inpainting.detail import Growth
from mlx_moebius.inpainting.pipeline import Event, MoebiusPipeline
from mlx_moebius.networks.diffusion import Step
from mlx_moebius.photos.geometry import Box, Mask, union
from mlx_moebius.photos.mask_files import load_mask
from mlx_moebius.photos.masks import components
from mlx_moebius.photos.pairing import Pair
from mlx_moebius.photos.photo import Photo, read_photo, to_image
from mlx_moebius.ui.jobs import Cancelled, Progress, Report, Worker
from mlx_moebius.ui.othershots import Chosen
from mlx_moebius.ui.pictures import Painted, Picture, Version, on_reader
from mlx_moebius.ui.refusals import Refused, on_page, sentence
from mlx_moebius.ui.results import MASK, MASKS, VERSIONS, Results, beside, same_file
from mlx_moebius.ui.runs import Request, Run, Runs, check_amount, united
from mlx_moebius.ui.sessions import Session, Sessions
from mlx_moebius.ui.strokes import chosen_shots
from mlx_moebius.ui.tiles import Levels, black_and_white, png, webp

THUMBNAIL = 256
SKIPPED = "skipped.txt"


class FolderPicture(Picture):
    """A photo of the folder, and its `results`. Its strokes are kept in `notes_file`."""

    def __init__(self, source: Path, folder: Path, results: Results) -> None:
        super().__init__(source, folder)
        self.name = results.name.as_posix()
        self.results = results
        self.notes_file = results.output / MASKS / "strokes" / beside(results.name, ".json")
        self.mask_file: Path | None = None  # beside the photo
        self.error: str | None = None
        self.skipped = False
        self.accepted: int | None = None  # the result that somebody has looked at and found good

    def levels(self, number: int | None = None) -> Levels:
        """As for any photo. If the photo's file cannot be read, the reason is remembered."""
        try:
            return super().levels(number)
        except MoebiusError as error:
            if not self.version(number).id:
                self.error = sentence(error, self.source.parent)
            raise

    def is_there(self) -> bool:
        """Always True: the photo's file is in the user's folder, and all other files are made again."""
        if not self.folder.is_dir():
            self.set_aside()
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return True

    def recall(self) -> None:
        """Bring back what was painted before the page was closed, and all results."""
        values: dict[str, Any] = {}
        try:
            values = json.loads(self.notes_file.read_text("utf-8"))
            self.done, self.undone = Painted.read(values["done"]), Painted.read(values["undone"])
            self.accepted = values.get("accepted")
        except (OSError, ValueError, KeyError, TypeError, MoebiusError):
            values = {}  # nothing is there, or nothing that can be read
        for kept in self.results.kept():
            self.take(kept.number, kept.file, kept.about.get("seed"), _painted(kept.about.get("strokes")))
            self.versions[kept.number].box = _box(kept.about.get("box"))
            self.versions[kept.number].taken = kept.taken
        chosen = self.results.file
        if chosen.is_file():
            same = (number for number in self.versions if number and same_file(self.versions[number].file, chosen))
            number = next(same, self._next)
            if number not in self.versions:  # made by the command line, or changed
                self.take(number, chosen, values.get("seed"), _painted(values.get("filled")))
            self.current = number

    def take(self, number: int, file: Path, seed: int | None, painted: Painted, run: str = "") -> None:
        """Add the file of a result as a version."""
        with self.lock:
            version = Version(number, seed, file, 0, painted, origin=file, saved=True, run=run, candidate=bool(run))
            version.size = self.versions[0].size
            self.versions[number] = version
            self._next = max(self._next, number + 1)

    def new_numbers(self, count: int) -> list[int]:
        """Numbers for that many results."""
        with self.lock:
            start, self._next = self._next, self._next + count
            return list(range(start, start + count))

    def go_to(self, number: int) -> None:
        """As for any photo; the version's file becomes the photo's result, and the photo as opened has none."""
        with self.lock:
            before, other = self.current, self.version(number).id
            if other != before:
                if self.results.is_foreign():
                    self._adopt()
                self.results.choose(other or None)
                super().go_to(other)
                self.remember()

    def _adopt(self) -> None:
        """Keep the result that is there: the page has not made it, so it is nowhere else."""
        known = (version for version in self.versions.values() if version.file == self.results.file)
        version = next(known, None)
        number = self.new_numbers(1)[0] if version is None else version.id
        file = self.results.adopt(number)
        if version is None:
            self.take(number, file, None, Painted())
        else:
            version.file = version.origin = file

    def _remove(self, version: Version) -> None:
        super()._remove(version)
        self.results.drop(version.id)

    def to_fill(self) -> tuple[Photo, Mask]:
        """As for any photo; a folder's photos are filled from their beginning, with all that was painted."""
        return self.photo(0), self._all_painted()

    def covered(self) -> Mask | None:
        """As for any photo, with the mask beside it."""
        covered = self._all_painted()
        if self.mask_file is not None:
            covered = covered | load_mask(self.photo(0), [self.mask_file])[0]
        return covered if covered.any() else None

    def _all_painted(self) -> Mask:
        return self.known_mask(Painted.read([*self.version().painted.values, *self.done.values]))

    def paint(self, done: Any, undone: Any) -> None:
        """As for any photo, and written down."""
        super().paint(done, undone)
        self.remember()

    def accept(self, number: int) -> None:
        """Note that somebody has looked at a result and found it good."""
        with self.lock:
            self.accepted = self.version(number).id
            self.remember()

    def remember(self) -> None:
        """Write down what is accepted and painted, except masks from files, which the user can load again."""
        with self.lock:
            values = {"done": drawn(self.done), "undone": drawn(self.undone), "accepted": self.accepted}
        self.notes_file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.notes_file) as file:
            file.write(json.dumps(values).encode())

    def shown(self) -> dict[str, Any]:
        """As for any photo; versions that nobody has looked at yet get the current version's size."""
        with self.lock:
            self.levels(self.current)
            size = self.versions[self.current].size
            for version in self.versions.values():
                version.size = version.size if all(version.size) else size
            return super().shown()


def _painted(values: Any) -> Painted:
    """Strokes that were kept; none if they cannot be read."""
    with suppress(MoebiusError):
        return Painted.read(values)
    return Painted()


def _box(values: Any) -> Box | None:
    """A box that was kept."""
    if isinstance(values, list) and len(values) == 4 and all(isinstance(value, int) for value in values):
        return values[0], values[1], values[2], values[3]
    return None


def drawn(painted: Painted) -> list[Any]:
    """Strokes without those that are masks from files."""
    return [value for value in painted.values if value.get("tool") != "mask"]


class Series:
    """The photos of a folder, and the folder of their results, which is locked until `close`.

    Raises MoebiusError when there are no photos, or results cannot be written there.
    """

    def __init__(self, sessions: Sessions, runs: Runs, folder: Path, output: Path) -> None:
        self.sessions, self.runs = sessions, runs
        self.folder, self.output = folder, output
        found = find_pairs(folder, [], [], output, recursive=False, overwrite=False)
        names = sorted([*(pair.name for pair in found.pairs), *found.without_mask])
        masks = {pair.name: pair.mask for pair in found.pairs if isinstance(pair.mask, Path) and not pair.problem}
        self._stack = ExitStack()
        sessions.closing.append(self.close)
        self._mode = permissions(folder / name for name in names)  # what is made of them is as private
        make_folder(output, stat.S_IMODE(folder.stat().st_mode) & 0o777)
        try:
            self._stack.enter_context(locked(output))
            ledger.claim(output, self._mode)
            records = ledger.merge(output, mode=self._mode)
            for inside in (MASKS, VERSIONS):
                make_folder(output / inside, self._mode | (self._mode & 0o444) >> 2)
        except OSError as error:
            raise MoebiusError(f"{output} cannot be made: {error.strerror or error}") from None
        skipped = self._skipped()
        self.pictures: dict[str, FolderPicture] = {}
        for name in names:
            files = sessions.shared.new_folder()
            picture = FolderPicture(folder / name, files, Results(output, name))
            record = records.get(name.as_posix(), {})
            picture.error = record.get("error")
            picture.skipped = picture.name in skipped
            picture.mask_file = masks.get(name)
            picture.recall()
            self.pictures[picture.id] = picture
            sessions.shared.pictures[picture.id] = picture

    def close(self) -> None:
        """Unlock the folder of results."""
        self._stack.close()

    def shown(self) -> dict[str, Any]:
        """As the page gets it."""
        return {**self.about(), "items": [self.item(picture) for picture in self.pictures.values()]}

    def about(self) -> dict[str, str]:
        """The names of the folder and of its results."""
        return {"name": self.folder.resolve().name, "folder": str(self.folder), "out": str(self.output)}

    def item(self, picture: FolderPicture) -> dict[str, Any]:
        """A photo as the strip of thumbnails gets it."""
        state = self.state(picture)
        thumbnail = f"/api/series/{picture.id}/thumbnail?{picture.current}"
        error = picture.error if state == "failed" else None
        mask = picture.mask_file.name if picture.mask_file and len(picture.versions) == 1 else None
        shown = {"id": picture.id, "name": picture.name, "state": state, "error": error}
        return shown | {"thumbnail": thumbnail, "mask": mask, "accepted": picture.accepted}

    def state(self, picture: FolderPicture) -> str:
        """The state of a photo: queued, running, skipped, painted, failed, accepted, done or todo."""
        going = self.runs.of(picture)
        if going:
            return "running" if any(run.state == "running" for run in going) else "queued"
        if picture.skipped:
            return "skipped"
        if any(stroke.kind.tool != "from" for stroke in picture.done.strokes):
            return "failed" if picture.error else "painted"
        if picture.error or not picture.current:
            return "failed" if picture.error else "todo"
        return "accepted" if picture.accepted == picture.current else "done"

    def picture(self, identity: str) -> FolderPicture:
        """A photo of the folder. Raises Refused."""
        if identity not in self.pictures:
            raise Refused(404, "this photo is not in the folder")
        return self.pictures[identity]

    def thumbnail(self, picture: FolderPicture) -> bytes:
        """A thumbnail of a photo or its result."""
        file = picture.version().file

        def draw() -> bytes:
            image = to_image(read_photo(file).rgb(), "RGB")
            image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
            return webp(image)

        return on_reader(draw)

    def skip(self, picture: FolderPicture, skipped: bool = True) -> None:
        """Leave a photo as it is, now and when the page is started again."""
        picture.skipped = skipped
        names = sorted(other.name for other in self.pictures.values() if other.skipped)
        with replacing(self.output / MASKS / SKIPPED) as file:
            file.write("".join(f"{json.dumps(name)}\n" for name in names).encode())

    def _skipped(self) -> set[str]:
        file = self.output / MASKS / SKIPPED
        lines = file.read_text("utf-8").split("\n") if file.is_file() else []
        return {json.loads(line) if line.startswith('"') else line for line in lines}

    def queue(self, picture: FolderPicture, request: Request, visitor: Session) -> Run:
        """Save a photo's mask and queue it, for a visitor. Raises MoebiusError, Refused with `ask`, as for any run."""
        if request.extend.strip():
            raise Refused(400, "the photos of a folder are not extended: open the photo by itself for that")
        base = picture.version(request.on)
        strokes = picture.done.values if request.strokes is None else request.strokes
        painted = Painted.read([*base.painted.values, *strokes])
        mask = picture.mask(painted, 0)
        check_amount(mask, request)
        changes = request.changes(self.sessions)
        shots = self.runs.shots.find(visitor, picture, chosen_shots(painted.strokes))
        others = Chosen(self.runs.shots, shots) if shots else None
        content = png(black_and_white(mask))
        picture.results.mask.parent.mkdir(parents=True, exist_ok=True)
        with replacing(picture.results.mask) as target:
            target.write(content)
        if picture.skipped:
            self.skip(picture, False)
        boxes = united([part.box for part in components(mask)])
        run = Run(self.sessions.shared, picture, request, painted, boxes, changes)
        run.task = lambda worker, report: self._fill(run, picture, (content, others), worker, report)
        return self.runs.queue(run)

    def _fill(
        self,
        run: Run,
        picture: FolderPicture,
        wanted: tuple[bytes, Others | None],
        worker: Worker,
        report: Report,
    ) -> None:
        """Fill one photo as the command line does, once for every seed; on the worker's thread."""
        pipeline = worker.pipeline(self.sessions.source(run.request.model))
        seeds = run.request.seeds()
        for index, (seed, number) in enumerate(zip(seeds, picture.new_numbers(len(seeds)), strict=True)):

            def watch(_: str, event: Event, before: int = index) -> None:
                if run.stopped.is_set():
                    raise Cancelled
                done, total = event.number + before * event.total, event.total * len(seeds)
                report(Progress(done, total) if isinstance(event, Step) else Growth(done, total))

            if run.stopped.is_set():
                raise Cancelled
            try:
                record = self._fill_one(pipeline, run, picture, (seed, number, *wanted), watch)
            except BaseException:
                picture.results.drop(number)
                raise
            run.warnings += [line for line in record["warnings"] if line not in run.warnings]
            run.versions.append(number)
            if run.course:
                run.course.written()
        picture.error = None
        if len(run.versions) == 1:
            picture.go_to(run.versions[0])
        self._review()

    def _fill_one(
        self,
        pipeline: MoebiusPipeline,
        run: Run,
        picture: FolderPicture,
        wanted: tuple[int, int, bytes, Others | None],
        watch: Callable[[str, Event], None],
    ) -> ledger.Record:
        """Make one result, with a seed, a number, the mask's PNG and other shots. Raises MoebiusError, Cancelled."""
        seed, number, mask, others = wanted
        results = picture.results
        settings = pipeline.settings(**run.changes, seed=seed)
        folder = results.begin(number, mask)
        job = batch.Job(self.folder, folder, settings, large=True, mode=self._mode, face=on_page)  # `queue` has asked
        job = replace(job, others=others)
        with closing(batch.run(pipeline, job, [Pair(results.name, folder / MASK)], {}, watch)) as tasks:
            [task] = tasks
        if "error" in task.record:
            picture.error = task.record["error"]
            raise MoebiusError(task.record["error"])
        box = union(run.boxes)
        results.note(number, {"seed": seed, "strokes": drawn(run.painted), "box": box})
        with picture.lock:
            if run.stopped.is_set():
                raise Cancelled
            picture.take(number, folder / results.name, seed, run.painted, run.id)
            picture.versions[number].box = box
            picture.versions[number].taken = task.record.get("shots", ())
        return task.record

    def _review(self) -> None:
        """Write the review page, unless more photos are queued."""
        if sum(len(self.runs.of(picture)) for picture in self.pictures.values()) > 1:
            return
        records = ledger.read(self.output)
        names = [picture.name for picture in self.pictures.values() if picture.current]
        review.write(self.folder, self.output, [records[name] for name in names if name in records], mode=self._mode)
