"""A photo on the page: its versions, and what is painted on it."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mlx_moebius.errors import Face
from mlx_moebius.photos.geometry import Box, Mask, bounding_box
from mlx_moebius.photos.mask_files import load_mask
from mlx_moebius.photos.patch import patch, patch_file
from mlx_moebius.photos.photo import Photo, read_photo
from mlx_moebius.photos.save import default_output, write_photo
from mlx_moebius.ui.jobs import Filled
from mlx_moebius.ui.refusals import Refused, on_page, sentence
from mlx_moebius.ui.strokes import Stroke, rasterise, read_strokes
from mlx_moebius.ui.tiles import Levels, kept, mapped

KEPT = 24  # versions of a photo that one can go back to
MAX_MASKS = 32  # from files, of a photo
OPEN_VERSIONS = 3  # of a photo, with pixels at hand: the version shown, the one before, the original
PIXELS = "pixels.npy"

T = TypeVar("T")

_reader = ThreadPoolExecutor(1, "read")


def on_reader(task: Callable[[], T]) -> T:
    """Do what takes a whole photo's memory on one thread, photo after photo.

    On Linux each thread keeps the memory that it has freed; many threads would keep many photos'.
    """
    return _reader.submit(task).result()


@dataclass(frozen=True, slots=True)
class Painted:
    """Strokes: the JSON `values` as the page sent them, and read as `strokes`."""

    values: Sequence[Any] = ()
    strokes: Sequence[Stroke] = ()

    @classmethod
    def read(cls, values: Any) -> Painted:
        """Read JSON values. Raises Refused if they are no list of strokes."""
        try:
            return cls(values, read_strokes(values))
        except ValueError as error:
            raise Refused(400, str(error)) from None


@dataclass(slots=True)
class Version:
    """The photo after some fills; version 0 is the photo as opened.

    The `run` made it by filling what was `painted` on the version `made_from`, which lies at `offset` in it. `box`
    bounds all changes. It is a `candidate` until its run has ended. `file` is for download; `origin`,
    if given, is a file with exactly these pixels, so that they can be read again. `levels` is None while nobody looks
    at the version; `bare` is then the photo without its pixels, if a file in the picture's folder holds them.
    """

    id: int
    seed: int | None
    file: Path
    made_from: int | None = None
    painted: Painted = Painted()
    offset: tuple[int, int] = (0, 0)
    box: Box | None = None
    size: tuple[int, int] = (0, 0)
    origin: Path | None = None
    levels: Levels | None = None
    bare: Photo | None = None
    run: str = ""
    candidate: bool = False
    saved: bool = False
    taken: Sequence[dict[str, Any]] = ()
    """What other shots gave: figures of `Use`, and in words."""

    def shown(self) -> dict[str, Any]:
        """As the page gets it."""
        same = ("id", "seed", "made_from", "offset", "box", "candidate", "saved", "taken")
        width, height = self.size
        more = {"width": width, "height": height, "strokes": self.painted.values}
        return {name: getattr(self, name) for name in same} | more


class Picture:
    """One photo on the page. All methods may be called from any thread.

    `folder` holds its files and is removed with it; `source` is the photo's file, there or elsewhere. `done` is what is
    painted now, `undone` what the page can redo. Only the page changes them.
    """

    def __init__(self, source: Path, folder: Path) -> None:
        self.id = secrets.token_urlsafe(16)
        self.name = source.name
        self.source = source
        self.folder = folder
        self.notes: list[str] = []
        self.shot_for = ""  # the id of the photo that it is another shot of, and nothing else
        self.versions = {0: Version(0, None, source, origin=source, saved=True)}
        self.current = 0
        self.done, self.undone = Painted(), Painted()
        self.masks: dict[str, Mask] = {}
        self.lock = threading.RLock()
        self._next = 1
        self._looked_at: list[int] = []  # versions, the latest last

    def shown(self) -> dict[str, Any]:
        """As the page gets it. Raises MoebiusError when the photo cannot be read."""
        with self.lock:
            self.levels(self.current)
            width, height = self.versions[self.current].size
            return {
                "id": self.id,
                "name": self.name,
                "width": width,
                "height": height,
                "notes": self.notes,
                "versions": [version.shown() for version in self.versions.values()],
                "current": self.current,
                "strokes": {"done": self.done.values, "undone": self.undone.values},
                "series_state": None,
            }

    def version(self, number: int | None = None) -> Version:
        """One of the versions, the current one by default. Raises Refused when it is gone."""
        try:
            return self.versions[self.current if number is None else number]
        except KeyError:
            raise Refused(404, "this version of the photo is gone") from None

    def photo(self, number: int | None = None) -> Photo:
        """A version's pixels."""
        return self.levels(number).photo

    def levels(self, number: int | None = None) -> Levels:
        """A version's tiles. Raises MoebiusError when its file cannot be read."""
        with self.lock:
            version = self.version(number)
            if version.levels is None and version.bare is not None:
                folder = self._folder_of(version)
                version.levels = Levels(replace(version.bare, pixels=mapped(folder / PIXELS)), folder)
            elif version.levels is None:
                assert version.origin is not None
                origin = version.origin

                def read() -> tuple[Photo, Levels]:
                    photo = read_photo(origin)
                    return photo, self._store(photo, version)

                photo, version.levels = on_reader(read)
                if version.id == 0:
                    self.notes = [sentence(note, version.origin.parent) for note in photo.notes]
            self._looked_at = [*(number for number in self._looked_at if number != version.id), version.id]
            for old in self._looked_at[:-OPEN_VERSIONS]:
                if old in self.versions:
                    self.versions[old].levels = None
            self._looked_at = self._looked_at[-OPEN_VERSIONS:]
            return version.levels

    def _folder_of(self, version: Version) -> Path:
        return self.folder / f"version-{version.id}"

    def _store(self, photo: Photo, version: Version) -> Levels:
        folder = self._folder_of(version)
        folder.mkdir(parents=True, exist_ok=True)
        version.size = photo.width, photo.height
        version.bare = replace(photo, pixels=photo.pixels[:0].copy())  # a view would keep them all
        return Levels(replace(photo, pixels=kept(photo.pixels, folder / PIXELS)), folder)

    @property
    def open_bytes(self) -> int:
        """Bytes of the pixels of the versions that are looked at."""
        versions = list(self.versions.values())
        return sum(version.levels.photo.pixels.nbytes for version in versions if version.levels is not None)

    def is_there(self) -> bool:
        """Whether its files are still there: cleaners of temporary files may have removed them."""
        return self.folder.is_dir()

    def set_aside(self) -> None:
        """Free all pixels, and remove the files that can be made again."""
        with self.lock:
            for version in self.versions.values():
                version.levels = None
                if version.origin is not None and version.bare is not None:
                    version.bare = None
                    shutil.rmtree(self._folder_of(version), ignore_errors=True)

    # What is painted.

    def paint(self, done: Any, undone: Any) -> None:
        """Take over the page's strokes. Raises Refused if they are none."""
        read = Painted.read(done), Painted.read(undone)
        with self.lock:
            self.done, self.undone = read

    def load_mask(self, file: Path) -> tuple[str, list[str]]:
        """Read a mask from a file; returns its name for strokes, and warnings. Raises MoebiusError."""
        mask, warnings = load_mask(self.photo(), [file])
        return self.keep_mask(mask), [sentence(line, file.parent) for line in warnings]

    def keep_mask(self, mask: Mask) -> str:
        """Keep a mask of the photo's size for strokes; returns its name."""
        with self.lock:
            if len(self.masks) >= MAX_MASKS:
                raise Refused(429, f"{MAX_MASKS} masks were loaded for this photo, which is the limit")
            name = secrets.token_urlsafe(9)
            self.masks[name] = mask
        return name

    def mask(self, painted: Painted | None = None, number: int | None = None) -> Mask:
        """Strokes (by default, all that is painted) in the pixels of a version, bool [H, W]."""
        with self.lock:
            self.levels(number)
            size, masks = self.version(number).size, dict(self.masks)
            strokes = (self.done if painted is None else painted).strokes
        return rasterise(strokes, *size, masks)

    def to_fill(self) -> tuple[Photo, Mask]:
        """What a run would fill now: the photo, and what is painted, bool [H, W]."""
        return self.photo(), self.mask()

    def covered(self) -> Mask | None:
        """What is painted on the photo as opened, or was when it was filled, bool [H, W]; None for nothing."""
        with self.lock:
            self.levels(0)
            strokes, version, layers = self.done, self.version(), []
            while version.made_from is not None:
                layers.append((strokes, version.size))
                strokes, version = version.painted, self.versions[version.made_from]
            layers.append((strokes, version.size))
            found = [self.known_mask(strokes) for strokes, size in layers if size == self.versions[0].size]
        covered = np.logical_or.reduce(found)
        return covered if covered.any() else None

    def known_mask(self, painted: Painted) -> Mask:
        """Strokes on the photo as opened, without masks from files that are gone, bool [H, W]."""
        masks = self.masks
        return self.mask(Painted((), [stroke for stroke in painted.strokes if stroke.kind.mask in ("", *masks)]), 0)

    # Versions.

    def add_fill(
        self,
        filled: Filled,
        base: int,
        painted: Painted,
        run: str,
        wanted: Callable[[], bool],
        face: Face = on_page,
        as_patch: bool = False,
    ) -> tuple[int, list[str]]:
        """Write a fill to a file and add it as a version, a candidate of its run, if it is still `wanted` then.

        With `as_patch`, the file is only what changed. Returns its number, and warnings in the words of `face`.
        """
        with self.lock:
            number, self._next = self._next, self._next + 1
        folder = self.folder / f"version-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        file = default_output(folder / self.name)
        photo, extension = filled.result.photo, filled.settings.extend
        if as_patch and filled.result.weights is not None:
            photo = patch(self.photo(base), photo, filled.result.weights)
            file = patch_file(photo, folder / self.name)
        notes = write_photo(photo, file, provenance=filled.provenance)
        version = Version(number, filled.settings.seed, file, base, painted, run=run, candidate=True)
        version.offset = extension[:2] if extension else (0, 0)
        version.box = bounding_box(filled.result.mask) if not extension else photo.box
        version.taken = [use.figures() | {"said": use.line()} for use in filled.result.uses]
        version.levels = self._store(photo, version)
        with self.lock:
            if wanted():
                self.versions[number] = version
            else:  # with the photo's folder if the photo was closed
                shutil.rmtree(folder if self.versions else self.folder, ignore_errors=True)
        return number, [sentence(line, folder, face=face) for line in (*filled.result.warnings, *notes)]

    def add_file(self, file: Path, values: Mapping[str, int | None]) -> None:
        """Add a version that the browser kept, and make it current; `values` are its seed and made_from.

        Raises MoebiusError when it cannot be read.
        """
        photo = on_reader(lambda: read_photo(file))
        with self.lock:
            number, self._next = self._next, self._next + 1
            base = values.get("made_from")
            version = Version(number, values.get("seed"), file, base if base in self.versions else 0, origin=file)
            version.levels = self._store(photo, version)
            self.versions[number] = version
            self.current = number
            self._forget_old()

    def choose(self, number: int, run: str) -> None:
        """Choose one of a run's fills as the current version."""
        with self.lock:
            if self.version(number).run != run:
                raise Refused(409, "this fill was not made by that run")
            self.go_to(number)

    def settle(self, run: str) -> None:
        """End a run: all its fills can be gone to. If it made a single one, that becomes current."""
        with self.lock:
            made = [version for version in self.versions.values() if version.run == run]
            for version in made:
                version.candidate = False
            if len(made) == 1:
                self.go_to(made[0].id)
            self._forget_old()

    def drop(self, run: str) -> None:
        """Remove the fills of a run."""
        with self.lock:
            for made in [version for version in self.versions.values() if version.run == run]:
                self._remove(made)

    def go_to(self, number: int) -> None:
        """Make another version current."""
        with self.lock:
            self.current = self.version(number).id

    def _forget_old(self) -> None:
        for version in list(self.versions.values())[1 : max(1, len(self.versions) - KEPT)]:
            if version.id != self.current:
                self._remove(version)

    def _remove(self, version: Version) -> None:
        del self.versions[version.id]
        for other in self.versions.values():
            if other.made_from == version.id:
                other.made_from = version.made_from
        shutil.rmtree(self._folder_of(version), ignore_errors=True)

    def close(self) -> None:
        """Forget everything, and remove the files."""
        with self.lock:
            self.versions.clear()
            self.masks.clear()
            self.done = self.undone = Painted()
            shutil.rmtree(self.folder, ignore_errors=True)
