"""Every result of a photo of a folder, and which of them is its file among the results.

A result has a folder of its own, `versions/PHOTO/NUMBER` in the folder of results, with the filled file, the mask that
was filled, its line of the ledger, and what was painted. The chosen result's file, mask and line are also where the
command line writes and looks for them; without a chosen result nothing is there.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import replacing
from mlx_moebius.folder import ledger

VERSIONS, MASKS = "versions", "masks"
MASK, ABOUT = "mask.png", "about.json"
LONGEST_NAME = 255  # bytes, on common file systems


@dataclass(frozen=True, slots=True)
class Kept:
    """A result that was kept: its number, its file, `about` it (seed and strokes), and what other shots gave."""

    number: int
    file: Path
    about: dict[str, Any]
    taken: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Results:
    """The results of the photo `name`, a path relative to its folder; `output` is the folder of results."""

    output: Path
    name: Path

    @property
    def file(self) -> Path:
        """Where the chosen result is."""
        return self.output / self.name

    @property
    def mask(self) -> Path:
        """Where the chosen result's mask is."""
        return self.output / MASKS / beside(self.name, "_mask.png")

    @property
    def folder(self) -> Path:
        """The folder of all results of the photo."""
        return self.output / VERSIONS / beside(self.name, "")

    def of(self, number: int) -> Path:
        """The folder of one result."""
        return self.folder / str(number)

    def kept(self) -> Iterator[Kept]:
        """The results that are there, in order."""
        if not self.folder.is_dir():
            return
        for number in sorted(int(found.name) for found in self.folder.iterdir() if found.name.isdecimal()):
            file = self.of(number) / self.name
            if file.is_file():
                about: Any = {}
                with suppress(OSError, ValueError):
                    about = json.loads((self.of(number) / ABOUT).read_text("utf-8"))
                record = ledger.read(self.of(number)).get(self.name.as_posix(), {})
                yield Kept(number, file, about if isinstance(about, dict) else {}, record.get("shots", []))

    def begin(self, number: int, mask: bytes) -> Path:
        """Make the folder of a new result, with the PNG of the mask that it fills. Raises MoebiusError."""
        folder = self.of(number)
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        except OSError as error:
            raise MoebiusError(f"{folder} cannot be made: {error.strerror or error}") from None
        with replacing(folder / MASK) as file:
            file.write(mask)
        return folder

    def note(self, number: int, about: dict[str, Any]) -> None:
        """Write down what is known of a result."""
        with replacing(self.of(number) / ABOUT) as file:
            file.write(json.dumps(about).encode())

    def choose(self, number: int | None) -> None:
        """Put a result where the command line writes it, with its mask and its line; None: take away what is there.

        Raises MoebiusError.
        """
        if number is None:
            for path in (self.file, self.mask):
                path.unlink(missing_ok=True)
            ledger.forget(self.output, self.name.as_posix())
            return
        folder = self.of(number)
        place(folder / self.name, self.file)
        if (folder / MASK).is_file() and (folder / MASK).stat().st_size:
            self.mask.parent.mkdir(parents=True, exist_ok=True)
            place(folder / MASK, self.mask)
        if record := ledger.read(folder).get(self.name.as_posix()):
            ledger.append(self.output, record)

    def drop(self, number: int) -> None:
        """Forget a result that was not wanted."""
        shutil.rmtree(self.of(number), ignore_errors=True)

    def is_foreign(self) -> bool:
        """Whether the file there is none of the results: the command line made it, or somebody changed it."""
        return self.file.is_file() and not any(same_file(result.file, self.file) for result in self.kept())

    def adopt(self, number: int) -> Path:
        """Make a result of the file there, which is foreign. Returns its new place. Raises MoebiusError."""
        folder = self.begin(number, self.mask.read_bytes() if self.mask.is_file() else b"")
        place(self.file, folder / self.name)
        return folder / self.name


def same_file(one: Path, other: Path) -> bool:
    """Whether two files have the same content."""
    return os.path.samefile(one, other) or filecmp.cmp(one, other, shallow=False)


def place(source: Path, target: Path) -> None:
    """Give a file a second name, or where the disk cannot, copy it. Raises MoebiusError."""
    temporary = target.with_name(f".moebius-{secrets.token_hex(6)}.part")
    try:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copy2(source, temporary)
        os.replace(temporary, target)
    except OSError as error:
        raise MoebiusError(f"{target} could not be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def beside(name: Path, ending: str) -> Path:
    """`name` with an ending; if that is too long for a file system, a shorter name that no other photo gets."""
    if len(os.fsencode(name.name + ending)) <= LONGEST_NAME:
        return name.with_name(name.name + ending)
    mark = hashlib.sha256(os.fsencode(name.name)).hexdigest()[:12]
    start = os.fsencode(name.name)[: LONGEST_NAME - len(mark) - len(ending) - 1].decode(errors="ignore")
    return name.with_name(f"{start}-{mark}{ending}")
