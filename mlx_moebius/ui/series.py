"""A folder of photos on the page, with results, ledger and review page as the command line makes them.

In the folder of results, `masks` gets a photo's strokes when they are painted, and its mask when it is queued. So work
goes on after the page is closed and started again, and the command line can repeat the run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import locked, replacing
from mlx_moebius.folder import batch, ledger, review
from mlx_moebius.folder.run import find_pairs
from mlx_moebius.networks.diffusion import Step
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.masks import components
from mlx_moebius.photos.pairing import Pair
from mlx_moebius.photos.photo import read_photo, to_image
from mlx_moebius.ui.jobs import Cancelled, Filled, Progress, Worker
from mlx_moebius.ui.pictures import Painted, Picture, Version, reading
from mlx_moebius.ui.refusals import Refused, on_page, sentence
from mlx_moebius.ui.runs import Request, Run, Runs, check_amount, united, webp
from mlx_moebius.ui.sessions import Sessions
from mlx_moebius.ui.tiles import Levels, black_and_white, png

THUMBNAIL = 256
MASKS = "masks"
SKIPPED = "skipped.txt"
LONGEST_NAME = 255  # bytes, on common file systems


class FolderPicture(Picture):
    """A photo of the folder; `name_in_folder` is its path there. Its strokes are kept in `notes_file`."""

    def __init__(self, source: Path, folder: Path, name_in_folder: Path, notes_file: Path) -> None:
        super().__init__(source, folder)
        self.name = name_in_folder.as_posix()
        self.name_in_folder = name_in_folder
        self.notes_file = notes_file
        self.error: str | None = None
        self.skipped = False

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

    def recall(self, result: Path) -> None:
        """Bring back what was painted before the page was closed, and the result if there is one."""
        values: dict[str, Any] = {}
        try:
            values = json.loads(self.notes_file.read_text("utf-8"))
            self.done, self.undone = Painted.read(values["done"]), Painted.read(values["undone"])
        except (OSError, ValueError, KeyError, TypeError, MoebiusError):
            values = {}  # nothing is there, or nothing that can be read
        if result.is_file() and self.error is None:
            self.take(result, values.get("seed"), Painted.read(values.get("filled", [])))

    def take(self, result: Path, seed: int | None, painted: Painted) -> None:
        """Make the file of a result the photo's only other version, and the current one."""
        with self.lock:
            for earlier in list(self.versions.values())[1:]:
                self._remove(earlier)
            number, self._next = self._next, self._next + 1
            version = Version(number, seed, result, 0, painted, origin=result, saved=True, size=self.versions[0].size)
            self.versions[number] = version
            self.current = number
            self.remember()

    def paint(self, done: Any, undone: Any) -> None:
        """As for any photo, and written down."""
        super().paint(done, undone)
        self.remember()

    def remember(self) -> None:
        """Write down what is painted, except masks from files, which the user can load again."""
        with self.lock:
            last = list(self.versions.values())[-1]
            values = {
                "done": drawn(self.done),
                "undone": drawn(self.undone),
                "filled": drawn(last.painted),
                "seed": last.seed,
            }
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


def beside(name: Path, ending: str) -> Path:
    """`name` with an ending; if that is too long for a file system, a shorter name that no other photo gets."""
    if len(os.fsencode(name.name + ending)) <= LONGEST_NAME:
        return name.with_name(name.name + ending)
    mark = hashlib.sha256(os.fsencode(name.name)).hexdigest()[:12]
    start = os.fsencode(name.name)[: LONGEST_NAME - len(mark) - len(ending) - 1].decode(errors="ignore")
    return name.with_name(f"{start}-{mark}{ending}")


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
        self._stack = ExitStack()
        sessions.closing.append(self.close)
        try:
            output.mkdir(parents=True, exist_ok=True)
            self._stack.enter_context(locked(output))
            ledger.claim(output)
            records = ledger.merge(output)
        except OSError as error:
            raise MoebiusError(f"{output} cannot be made: {error.strerror or error}") from None
        skipped = self._skipped()
        self.pictures: dict[str, FolderPicture] = {}
        for name in names:
            files = sessions.shared.new_folder()
            notes_file = output / MASKS / "strokes" / beside(name, ".json")
            picture = FolderPicture(folder / name, files, name, notes_file)
            record = records.get(name.as_posix(), {})
            picture.error = record.get("error")
            picture.skipped = picture.name in skipped
            picture.recall(output / name)
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
        return {"id": picture.id, "name": picture.name, "state": state, "error": error, "thumbnail": thumbnail}

    def state(self, picture: FolderPicture) -> str:
        """The state of a photo: queued, running, skipped, painted, failed, done or todo."""
        going = self.runs.of(picture)
        if going:
            return "running" if any(run.state == "running" for run in going) else "queued"
        if picture.skipped:
            return "skipped"
        if picture.done.strokes:
            return "failed" if picture.error else "painted"
        return "failed" if picture.error else "done" if picture.current else "todo"

    def picture(self, identity: str) -> FolderPicture:
        """A photo of the folder. Raises Refused."""
        if identity not in self.pictures:
            raise Refused(404, "this photo is not in the folder")
        return self.pictures[identity]

    def thumbnail(self, picture: FolderPicture) -> bytes:
        """A thumbnail of a photo or its result. One is made at a time, because it takes the whole photo's memory."""
        file = picture.version().file
        with reading:
            image = to_image(read_photo(file).rgb(), "RGB")
        image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        return webp(image)

    def skip(self, picture: FolderPicture, skipped: bool = True) -> None:
        """Leave a photo as it is, now and when the page is started again."""
        picture.skipped = skipped
        names = sorted(other.name for other in self.pictures.values() if other.skipped)
        (self.output / MASKS).mkdir(exist_ok=True)
        with replacing(self.output / MASKS / SKIPPED) as file:
            file.write("".join(f"{json.dumps(name)}\n" for name in names).encode())

    def _skipped(self) -> set[str]:
        file = self.output / MASKS / SKIPPED
        lines = file.read_text("utf-8").split("\n") if file.is_file() else []
        return {json.loads(line) if line.startswith('"') else line for line in lines}

    def queue(self, picture: FolderPicture, request: Request) -> Run:
        """Save a photo's mask and queue it. Raises MoebiusError, Refused with `ask`, as for any run."""
        if request.extend.strip():
            raise Refused(400, "the photos of a folder are not extended: open the photo by itself for that")
        if request.count != 1:
            raise Refused(400, "a photo of a folder has one result: choose one seed")
        base = picture.version(request.on)
        strokes = picture.done.values if request.strokes is None else request.strokes
        painted = Painted.read([*base.painted.values, *strokes])
        mask = picture.mask(painted, 0)
        check_amount(mask, request)
        changes = request.changes(self.sessions)
        file = self._save_mask(picture, mask)
        if picture.skipped:
            self.skip(picture, False)
        boxes = united([part.box for part in components(mask)])
        run = Run(self.sessions.shared, picture, request, painted, boxes, changes)
        run.task = lambda worker, report: self._fill(run, picture, file, worker, report)
        return self.runs.queue(run)

    def _save_mask(self, picture: FolderPicture, mask: Mask) -> Path:
        name = picture.name_in_folder
        file = self.output / MASKS / beside(name, "_mask.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as target:
            target.write(png(black_and_white(mask)))
        return file

    def _fill(
        self,
        run: Run,
        picture: FolderPicture,
        mask: Path,
        worker: Worker,
        report: Callable[[Progress | Filled], None],
    ) -> None:
        """Fill one photo as the command line does; on the worker's thread."""
        pipeline = worker.pipeline(self.sessions.source(run.request.model))
        settings = pipeline.settings(**run.changes, seed=run.request.seed)
        job = batch.Job(self.folder, self.output, settings, large=True, face=on_page)  # `queue` has asked

        def watch(_: str, step: Step) -> None:
            if run.stopped.is_set():
                raise Cancelled
            report(Progress(step.number, step.total))

        if run.stopped.is_set():
            raise Cancelled
        pair = Pair(picture.name_in_folder, mask)
        with closing(batch.run(pipeline, job, [pair], {}, watch)) as tasks:
            [task] = tasks
        picture.error = task.record.get("error")
        if picture.error:
            raise MoebiusError(picture.error)
        run.warnings += task.record["warnings"]
        picture.take(self.output / picture.name_in_folder, run.request.seed, run.painted)
        run.versions.append(picture.current)
        self._review()

    def _review(self) -> None:
        """Write the review page, unless more photos are queued."""
        if sum(len(self.runs.of(picture)) for picture in self.pictures.values()) > 1:
            return
        records = ledger.read(self.output)
        names = [picture.name for picture in self.pictures.values()]
        review.write(self.folder, self.output, [records[name] for name in names if name in records])
