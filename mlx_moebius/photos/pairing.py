"""Which photos of a folder get which mask. Looks at names, opens no picture."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlx_moebius.errors import Change, MoebiusError
from mlx_moebius.photos.formats import EXTENSIONS
from mlx_moebius.photos.marks import is_output_folder
from mlx_moebius.photos.mask_files import ALPHA
from mlx_moebius.photos.recognise import RAW, RAW_EXTENSIONS

MASK_SUFFIX = "_mask"
NOWHERE = ".nowhere"  # a folder that does not exist


class NoPhotosError(MoebiusError):
    """A folder holds no photos."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A photo by its path relative to the folder, and its mask: a file, "alpha", or None for boxes alone.

    `problem` says in one line why the two cannot be used.
    """

    name: Path
    mask: Path | str | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Pairing:
    """`pairs` to fill, in the order of names, then camera raw files (with a problem); photos without a mask.

    `results` are photos that this program has filled. A mask for all photos is not for them.
    """

    pairs: list[Pair]
    without_mask: list[Path]
    results: list[Path] = field(default_factory=list)


def pair(folder: Path, mask: str | None, output: Path, recursive: bool = False, boxes: bool = False) -> Pairing:
    """Find the photos of `folder` and their masks.

    `mask` is a folder (of masks with the photos' names, in any format), one file for all photos, "alpha", or None:
    masks lie beside the photos as `name_mask.*`, and with `boxes` none is needed. With `recursive`, folders inside
    are searched too, but never `output` or a folder of masks. Raises MoebiusError when there is nothing to pair.
    """
    where = None if mask in (None, ALPHA) else Path(str(mask))
    if where is not None and not where.exists():
        raise MoebiusError(f"the mask {where} does not exist")
    if where is not None and _same(where, folder):
        where = None  # masks beside the photos
    apart = [output] + ([where] if where is not None and where.is_dir() else [])
    found = sorted(_pictures(folder, recursive, apart))
    beside = masks_beside(found)
    raw, found = [name for name in found if _is_raw(name)], [name for name in found if not _is_raw(name)]
    developed = {name.with_suffix("") for name in found}
    refused = [Pair(name, None, f"{name}: {RAW}") for name in raw if name.with_suffix("") not in developed]
    photos = [name for name in found if name not in beside and not (where and _same(folder / name, where))]
    if not photos and not refused:
        deeper = () if recursive else (Change("recursive", True, "to look deeper"),)
        raise NoPhotosError(f"there are no photos in {folder}", *deeper)
    if mask == ALPHA:
        return Pairing([*(Pair(name, ALPHA) for name in photos), *refused], [])
    if where is not None and where.is_file():
        return Pairing([*(Pair(name, where) for name in photos), *refused], [])
    if where is None and boxes and mask is None:
        return Pairing([*(Pair(name, None) for name in photos), *refused], [])
    root = where or folder
    masks = sorted(_pictures(where, recursive, [output])) if where else sorted(beside)
    masks = [name for name in masks if not _is_raw(name)]
    matches = match_masks(photos, masks, apart=where is not None)
    pairs = [Pair(name, root / found[0], several(name, found)) for name, found in matches.items() if found]
    return Pairing([*pairs, *refused], [name for name, found in matches.items() if not found])


def photos_in(folder: Path) -> list[Path]:
    """The photos of a folder by name: no masks beside them, no camera raw files, nothing in the folders inside."""
    found = sorted(_pictures(folder, False, []))
    beside = masks_beside(found)
    return [folder / name for name in found if name not in beside and not _is_raw(name)]


def masks_beside(names: Iterable[Path]) -> set[Path]:
    """The masks among the pictures of a folder: `name_mask.*` or `name.jpg_mask.*` beside `name.jpg`.

    Without such a photo beside it, a picture of that name is a photo.
    """
    names = list(names)
    photo_names = {(name.parent, folded(text)) for name in names for text in (name.stem, name.name)}
    return {name for name in names if _is_mask(name, photo_names)}


def match_masks(photos: Iterable[Path], masks: Iterable[Path], apart: bool = False) -> dict[Path, list[Path]]:
    """The masks whose names fit each photo: none, one, or several (the user must decide).

    Capitals and the form of accents make no difference, but a mask whose name fits a photo exactly is for no other. In
    a folder of masks (`apart`) a mask may also have the name of its photo.
    """
    photos, masks = list(photos), list(masks)
    exact = _by_stem(masks, str)
    alike = _by_stem(masks, folded)
    keys = {name: _mask_stems(name, apart) for name in photos}
    taken = {mask for name in photos for key in keys[name] for mask in exact.get(key, [])}
    matches = {}
    for name in photos:
        found = _first(exact, keys[name])
        if not found:
            found = [mask for mask in _first(alike, map(folded, keys[name])) if mask not in taken]
        matches[name] = [mask for mask in found if mask.name == name.name] or found
    return matches


def several(photo: Path, masks: list[Path]) -> str | None:
    """The problem of a photo with more than one mask, in a line; None if it has one or none."""
    shown = " and ".join(mask.name for mask in masks)
    return f"{photo} has more than one mask: {shown}; keep one" if len(masks) > 1 else None


def mask_beside(photo: Path) -> Path | None:
    """The mask that lies beside a photo, by the rule for folders; None if there is none.

    Raises MoebiusError when there is more than one.
    """
    if not photo.is_file():
        return None
    for found in pair(photo.parent, None, photo.parent / NOWHERE).pairs:
        if found.name.name == photo.name and isinstance(found.mask, Path):
            if found.problem:
                raise MoebiusError(found.problem)
            return found.mask
    return None


def _mask_stems(photo: Path, apart: bool) -> list[str]:
    """Names that a photo's mask may have, without extension; in a folder of masks (`apart`), also the photo's name."""
    stem = photo.with_suffix("")
    # photo.jpg_mask.png where two photos share a stem
    stems = [photo.with_name(photo.name + MASK_SUFFIX), stem.with_name(stem.name + MASK_SUFFIX)]
    return [str(name) for name in (*stems, stem)[: 3 if apart else 2]]


def _by_stem(masks: list[Path], spell: Callable[[str], str]) -> dict[str, list[Path]]:
    result: dict[str, list[Path]] = {}
    for mask in masks:
        result.setdefault(spell(str(mask.with_suffix(""))), []).append(mask)
    return result


def _first(masks: dict[str, list[Path]], keys: Iterable[str]) -> list[Path]:
    return next(filter(None, map(masks.get, keys)), [])


def _pictures(folder: Path, recursive: bool, apart: list[Path]) -> Iterator[Path]:
    """Picture files by extension, relative to the folder; not hidden ones, nor those in results or in `apart`."""
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        kept = [
            name
            for name in folders
            if not name.startswith(".")
            and not any(_same(here / name, p) for p in apart)
            and not is_output_folder(here / name)
        ]
        folders[:] = kept if recursive else []
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in RAW_EXTENSIONS.union(EXTENSIONS):
                yield (here / name).relative_to(folder)


def _is_mask(name: Path, photo_names: set[tuple[Path, str]]) -> bool:
    """Whether `name` is a mask beside a photo; `photo_names`: folders, with photos' folded names and stems."""
    stem = folded(name.stem)
    return stem.endswith(MASK_SUFFIX) and (name.parent, stem[: -len(MASK_SUFFIX)]) in photo_names


def _is_raw(name: Path) -> bool:
    return name.suffix.lower() in RAW_EXTENSIONS


def folded(name: str) -> str:
    """A name as people compare it: capitals and small letters alike, accents composed (disks of a Mac: decomposed)."""
    return unicodedata.normalize("NFC", name).casefold()


def _same(a: Path, b: Path) -> bool:
    try:
        return a.resolve() == b.resolve()
    except (OSError, RuntimeError):  # a link that leads to itself
        return False
