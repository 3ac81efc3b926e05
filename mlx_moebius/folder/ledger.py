"""The ledger of a folder run, `moebius.jsonl`: one line of JSON per photo, so that a rerun knows what is done.

A ledger, even an empty one, claims the folder: pictures in it may be replaced, and a picture without a line is redone.
Lines are only appended. A photo counts as done when its line is on disk; a line cut short by a kill is ignored. A later
line about a photo replaces the earlier one, whatever the clock said when they were written. Several ranks write one
file per rank; the first rank merges the files into one, at the start and at the end of a run.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import EVERYBODY, flush_to_disk, permissions, replacing, sync_folder
from mlx_moebius.photos.marks import LEDGER, LEDGERS
from mlx_moebius.schema import Bounds, build

NAME = LEDGER
_appending = threading.Lock()
Record = dict[str, Any]


def is_claimed(folder: Path) -> bool:
    """Whether a run, of any rank, has claimed a folder: it has written into it, or was about to."""
    return bool(_files(folder))


def sizes(folder: Path) -> dict[str, int]:
    """The sizes of all ranks' ledgers, by name. They grow as long as photos are being done."""
    found: dict[str, int] = {}
    for path in _files(folder):
        with suppress(OSError):  # rank 0 may remove it at this moment, when it merges
            found[path.name] = path.stat().st_size
    return found


def claim(folder: Path, mode: int = EVERYBODY) -> None:
    """Mark a folder as ours by an empty ledger, before other files are written. Raises MoebiusError when that fails.

    `mode`: the permissions of a new ledger, which the umask restricts.
    """
    path = folder / NAME
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode))
    except OSError as error:
        raise MoebiusError(f"{path} could not be written: {error.strerror or error}") from error
    sync_folder(folder)


@dataclass(frozen=True, slots=True)
class Ended:
    """The fields that every line has. Of a line with an `error`, nothing else is read."""

    input: str
    output: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Filled:
    """The fields that are read of a filled photo's line."""

    input_sha256: str
    output_size: Annotated[int, Bounds(0, 2**63)]
    output_sha256: str
    request: dict[str, Any]
    seed: int
    enlargement: Annotated[float, Bounds(0, 1e6)]
    warnings: tuple[str, ...]
    seam: SeamRecord | None
    mask_sha256: str | None = None
    shots: tuple[ShotRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class ShotRecord:
    """The fields that are shown of what another shot gave (see `alignment.take.Use`)."""

    share: Annotated[float, Bounds(0, 1)]
    said: str


@dataclass(frozen=True, slots=True)
class SeamRecord:
    """The fields of a `seam.Seam` that are shown."""

    colour_ratio: Annotated[float, Bounds(0, 1e6)]
    gradient_ratio: Annotated[float, Bounds(0, 1e6)]
    sharpness: Annotated[float, Bounds(1e-6, 1e6)]
    luma: tuple[Annotated[float, Bounds(0, 1e6)] | None, ...] = ()
    chroma: tuple[Annotated[float, Bounds(0, 1e6)] | None, ...] = ()


def read(folder: Path, warn: Callable[[str], None] = lambda line: None) -> dict[str, Record]:
    """Read the last record of every photo from the ledgers of all ranks, by the photo's name.

    `warn` is told of a line that is not a record. That line is left out, and so are earlier records of its photo, which
    is then done again. Raises MoebiusError when a ledger cannot be read.
    """
    records: dict[str, Record] = {}
    for path in _files(folder):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise MoebiusError(f"{path} cannot be read: {error.strerror or error}") from None
        lines = content.splitlines(keepends=True)
        for number, line in enumerate(lines, 1):
            name = None
            try:
                record = json.loads(line)
                name = record.get("input") if isinstance(record, dict) else None
                records[_checked(record)] = record
            except (ValueError, RecursionError) as error:
                if isinstance(name, str):
                    records.pop(name, None)
                if line.endswith(b"\n"):  # otherwise cut short by a kill
                    reason = "not JSON" if isinstance(error, json.JSONDecodeError) else error
                    warn(f"{path.name}, line {number}, is no record ({reason}): its photo is done again")
    return records


def _checked(record: Any) -> str:
    """Check a record and return the name of its photo. Raises ValueError for what is not a record."""
    ended = build(Ended, record, extra=True)
    if ended.output != ended.input:
        raise ValueError("the output has another name than the photo")
    if ended.error is None:
        build(Filled, record, extra=True)
    return ended.input


def merge(folder: Path, warn: Callable[[str], None] = lambda line: None, mode: int = EVERYBODY) -> dict[str, Record]:
    """Merge the ledgers of all ranks into one file, one line per photo, sorted by name; `warn` as in `read`."""
    records = read(folder, warn)
    if records or (folder / NAME).exists():
        with replacing(folder / NAME, mode=mode) as file:
            file.writelines(_line(records[name]) for name in sorted(records))
    for path in _files(folder):
        if path.name != NAME:
            path.unlink()
    return records


def append(folder: Path, record: Mapping[str, Any], rank: int = 0, mode: int = EVERYBODY) -> None:
    """Add a line to this rank's ledger, from any thread. Raises MoebiusError when the disk is full."""
    path = folder / (f"moebius.rank{rank}.jsonl" if rank else NAME)
    try:
        with _appending, open(path, "ab", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            cut_short = file.tell() > 0 and not _ends_whole(path)
            file.write((b"\n" if cut_short else b"") + _line(record))
            file.flush()
            flush_to_disk(file.fileno())
    except OSError as error:
        raise MoebiusError(f"{path} could not be written: {error.strerror or error}") from error


def forget(folder: Path, name: str) -> None:
    """Take out the lines of a photo whose result is gone, while no run writes. Raises MoebiusError."""
    records = read(folder)
    if records.pop(name, None) is not None:
        with replacing(folder / NAME, mode=permissions([folder / NAME])) as file:
            file.writelines(_line(records[other]) for other in sorted(records))


def _files(folder: Path) -> list[Path]:
    return sorted(path for name in LEDGERS for path in folder.glob(name))


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
