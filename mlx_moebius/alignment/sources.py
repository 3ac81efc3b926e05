"""Which files are other shots of a photo: those that are named, those of a folder, those that a record names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlx_moebius.alignment.neighbours import moment, nearest
from mlx_moebius.alignment.shot import Shot, read_shot
from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import sha256
from mlx_moebius.photos.pairing import photos_in

STACK = 12  # shots of a folder that are looked at, the nearest in time


@dataclass(frozen=True, slots=True)
class Source:
    """A shot that a filled file names: its file's name and hash, and the hash of its own mask."""

    file: str
    sha256: str | None = None
    mask_sha256: str | None = None


def read_shots(paths: Sequence[Path], photo: Path) -> list[Shot]:
    """The shots of files and folders, without the photo itself.

    Raises MoebiusError for what cannot be read, a folder without other photos, and where OpenCV is missing.
    """
    return [read_shot(path) for path in files_of(paths, photo)]


def files_of(paths: Sequence[Path], photo: Path) -> list[Path]:
    """The files that are named, and those of the folders that are, but for the photo itself. Raises MoebiusError."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            if _same(path, photo):
                raise MoebiusError(f"{path} is the photo itself: give another shot of the scene")
            found.append(path)
            continue
        inside = [shot for shot in photos_in(path) if not _same(shot, photo) and not moment(shot).is_result]
        if not inside:
            raise MoebiusError(f"there are no other photos in {path}")
        found += nearest(photo, inside, STACK)
    return list(dict.fromkeys(found))


def find_again(sources: Sequence[Source], given: Sequence[Path], photo: Path, record: Path) -> list[Path]:
    """The files that a `record` says were taken from: among those `given`, or beside the photo or the record.

    Raises MoebiusError where one is missing, or is another file than it was.
    """
    found = []
    for source in sources:
        if Path(source.file).name != source.file:
            raise MoebiusError(f"{record} names {source.file!r:.80} as another shot, which is no file name")
        places = [path for path in given if path.name == source.file]
        places += [folder / source.file for folder in dict.fromkeys([photo.parent, record.parent])]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise MoebiusError(
                f"{record} was filled from {source.file}, which is not beside {photo}: give that file too"
            )
        if source.sha256 is not None and sha256(path) != source.sha256:
            raise MoebiusError(f"{record} was filled from another {source.file} than {path}: its SHA-256 differs")
        found.append(path)
    return found


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False
