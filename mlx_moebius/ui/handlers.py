"""What happens when the page is touched: a method an event, plain values in and out. Knows nothing of Gradio.

What cannot be done raises MoebiusError, one line for the page to show.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.mask_files import load_mask
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.photos.save import check_output, default_output, write_photo
from mlx_moebius.ui.desk import Desk
from mlx_moebius.ui.jobs import Filled, Job, Progress, default_settings
from mlx_moebius.ui.session import Fill, Session, data_url, without_folder

MAX_SEEDS = 8
MAX_STEPS = 200


@dataclass(frozen=True, slots=True)
class Options:
    """How to fill, as the page's controls give it (numbers may arrive as floats).

    `steps` and `guidance` 0 are the model's own; `dilate` is "auto" or a number of pixels; `count` seeds from `seed`
    on; `extend` is what to add to the frame, nothing when empty, and `gravity` where the photo stays in it; `detail` is
    grown from the photo where the network's square is coarser.
    """

    model: str
    steps: float = 0
    guidance: float = 0
    dilate: str = "auto"
    context: float = 2
    seed: float = 0
    count: float = 1
    extend: str = ""
    gravity: str = "center"
    detail: bool = True

    def seeds(self) -> list[int]:
        """One for each fill, at most `MAX_SEEDS`."""
        return [int(self.seed) + i for i in range(min(int(self.count), MAX_SEEDS))]

    def changes(self) -> dict[str, Any]:
        """Fields of `Settings`, without seed and extension. Raises MoebiusError for too many steps."""
        if not 0 <= self.steps <= MAX_STEPS:
            raise MoebiusError(f"steps must be 1 to {MAX_STEPS}")
        return {
            "num_steps": int(self.steps) or None,
            "guidance_scale": float(self.guidance) or None,
            "dilate": self.dilate if self.dilate == "auto" else int(self.dilate),
            "context": float(self.context),
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Painting:
    """A version to paint on: `picture` is a data URL, `versions` are all of them, of which `current` is this one."""

    picture: str
    versions: tuple[Image.Image, ...]
    current: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedMask:
    """A mask file to show on the painting area: `picture` is a data URL."""

    picture: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The fills of a run, of which the first is chosen."""

    fills: tuple[Fill, ...]
    warnings: tuple[str, ...]


class Handlers:
    """What visitors can do; all but `defaults` and `fill` is done to the session of one of them."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def open(self, session: Session, path: str | None) -> Painting | None:
        """Start again with a photo, whatever is running; None, and nothing happens, when the file was taken away."""
        if path is None:
            return None
        session.stop()
        return self._painting(session, session.open(path))

    def open_mask(self, session: Session, path: str) -> LoadedMask:
        """Take a mask from a file."""
        mask, warnings = session.open_mask(path)
        return LoadedMask(data_url(mask, "png"), tuple(warnings))

    def save_mask(self, session: Session, painted: str) -> Path:
        """What is painted (a PNG as a data URL), in a file for download."""
        return session.save_mask(painted)

    def run(self, session: Session, painted: str, options: Options) -> Iterator[Progress | Finished]:
        """Fill what is painted, once for each seed, or extend the frame; painting is not needed for that.

        Yields no steps of 1 while it waits for its turn, then every step, at last what came out. Closing the iterator
        ends the work. Raises Cancelled when the session's job was stopped.
        """
        seeds, changes = options.seeds(), options.changes()
        extension = session.extension(options.extend, options.gravity)
        if extension and len(seeds) > 1:
            raise MoebiusError("the frame is extended with one seed at a time: set How many to 1")
        mask = None if extension and not painted else session.mask(painted)
        job = Job(session.photo, mask, options.model, changes | {"extend": extension}, seeds)
        session.stopped = job.stopped
        filled: list[Filled] = []
        yield Progress(0, 1, None)
        for event in job.run(self.desk.worker):
            if isinstance(event, Filled):
                filled.append(event)
            else:
                yield event
        warnings = session.finish(filled, extension)
        yield Finished(tuple(session.fills), tuple(warnings))

    def cancel(self, session: Session) -> None:
        """End the visitor's job, whether it is under way or waiting."""
        session.stop()

    def choose(self, session: Session, index: int) -> Fill:
        """Look at another fill of the last run; this one is for download, and to go on with."""
        session.chosen = index
        return session.fills[index]

    def go_on(self, session: Session) -> Painting:
        """Paint on the chosen fill, which becomes a version."""
        session.go_on()
        return self._painting(session)

    def go_to(self, session: Session, version: int) -> Painting:
        """Paint on another version."""
        session.go_to(version)
        return self._painting(session)

    def defaults(self, model: str) -> tuple[int, float]:
        """Steps and guidance that a model comes with; it is loaded for that."""
        settings = default_settings(self.desk.worker, model)
        return settings.num_steps, settings.guidance_scale

    # Other programs see the parameters' names and the first line of the docstring.
    def fill(
        self,
        photo: str,
        mask: str,
        seed: float,
        steps: float,
        guidance: float,
        dilate: str,
        context: float,
        model: str,
        detail: bool = True,
    ) -> str:
        """Remove what a mask covers from a photo; the file that comes back has its format and metadata."""
        if not photo or not mask:
            raise MoebiusError("give a photo and a mask")
        options = Options(model, steps, guidance, dilate, context, seed, detail=detail)
        changes, seeds = options.changes(), options.seeds()
        source = Path(photo)
        try:
            read = read_photo(source)
            check_output(read, source)
            wanted, _ = load_mask(read, [Path(mask)])
        except MoebiusError as error:
            raise without_folder(without_folder(error, source), Path(mask)) from None
        events = Job(read, wanted, model, changes, seeds).run(self.desk.worker)
        filled = next(event for event in events if isinstance(event, Filled))
        file = default_output(Path(tempfile.mkdtemp(dir=self.desk.folder, prefix="api-")) / source.name)
        write_photo(filled.result.photo, file, provenance=filled.provenance)
        return str(file)

    @staticmethod
    def _painting(session: Session, notes: tuple[str, ...] = ()) -> Painting:
        return Painting(data_url(session.picture, "webp"), tuple(session.pictures), session.current, notes)
