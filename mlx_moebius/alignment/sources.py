"""Which files are other shots of a photo: those that are named, those of a folder, those that a record names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlx_moebius.alignment.neighbours import moment, nearest
from mlx_moebius.alignment.shot import Shot, read_shot
from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import sha256
from mlx_moebius.photos.pairing import mask_beside, photos_in

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
            if same_file(path, photo):
                raise MoebiusError(f"{path} is the photo itself: give another shot of the scene")
            found.append(path)
            continue
        inside = [shot for shot in photos_in(path) if not same_file(shot, photo) and not moment(shot).is_result]
        if not inside:
            raise MoebiusError(f"there are no other photos in {path}")
        found += nearest(photo, inside, STACK)
    return list(dict.fromkeys(found))


def find_again(sources: Sequence[Source], given: Sequence[Path], photo: Path, record: Path) -> list[Path]:
    """The files that a `record` says were taken from: among those `given`, or beside the photo or the record.

    `photo` may be a folder of photos, in which they then are. Of a single photo's shots, the masks beside them must be
    the same, too: they say what is not taken. Raises MoebiusError where one is missing, or is another file than it was.
    """
    found = []
    many = photo.is_dir()
    folder = photo if many else photo.parent
    for source in sources:
        if Path(source.file).name != source.file:
            raise MoebiusError(f"{record} names {source.file!r:.80} as another shot, which is no file name")
        named = [path for path in given if path.name == source.file]
        places = [place for place in (*named, folder / source.file) if place.is_file()]
        beside = record.parent / source.file  # maybe not the shot, but what it was filled to
        candidates = [*places, beside] if beside.is_file() else places
        path = next((place for place in candidates if source.sha256 in (None, sha256(place))), None)
        if path is None and not places:
            where = f"in {photo}" if many else f"beside {photo}"
            raise MoebiusError(f"{record} was filled from {source.file}, which is not {where}: give that file too")
        if path is None:
            raise MoebiusError(f"{record} was filled from another {source.file} than {places[0]}: its SHA-256 differs")
        if source.mask_sha256 is not None and not many:
            mask = mask_beside(path)
            if mask is None or sha256(mask) != source.mask_sha256:
                why = "has no mask beside it" if mask is None else f"has another mask, {mask}"
                raise MoebiusError(f"{record} was filled from {source.file} with a mask of it, but {path} {why}")
        found.append(path)
    return found


def same_file(a: Path, b: Path) -> bool:
    """Whether two names are those of one file."""
    try:
        return a.samefile(b)
    except OSError:
        return False
