"""Which photos of a folder get which mask. Looks at names only, opens no file."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.formats import EXTENSIONS
from mlx_moebius.photos.mask_files import ALPHA
from mlx_moebius.photos.recognise import RAW, RAW_EXTENSIONS

MASK_SUFFIX = "_mask"


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
    """Photos to fill, in the order of their names, and those without a mask."""

    pairs: list[Pair]
    without_mask: list[Path]


def pair(folder: Path, mask: str | None, output: Path, recursive: bool = False, boxes: bool = False) -> Pairing:
    """Find the photos of `folder` and their masks.

    `mask` is a folder (of masks with the photos' names, in any format), one file for all photos, "alpha", or None:
    masks lie beside the photos as `name_mask.*`, unless `boxes` make them needless. With `recursive`, folders inside
    count too; `output` and a folder of masks never do. Raises MoebiusError when there is nothing to pair.
    """
    where = None if mask in (None, ALPHA) else Path(str(mask))
    if where is not None and not where.exists():
        raise MoebiusError(f"the mask {where} does not exist")
    if where is not None and _same(where, folder):
        where = None  # masks beside the photos
    apart = [output] + ([where] if where is not None and where.is_dir() else [])
    found = sorted(_pictures(folder, recursive, apart))
    names = set(found)
    beside = {name for name in found if _photo_of(name, names) is not None}
    raw = [name for name in found if name.suffix.lower() in RAW_EXTENSIONS]
    developed = {name.with_suffix("") for name in found if name not in raw}
    found = [name for name in found if name not in raw]
    refused = [Pair(name, None, f"{name}: {RAW}") for name in raw if name.with_suffix("") not in developed]
    photos = [name for name in found if name not in beside and not (where and _same(folder / name, where))]
    if not photos and not refused:
        deeper = "" if recursive else " (--recursive looks deeper)"
        raise MoebiusError(f"there are no photos in {folder}{deeper}")
    if mask == ALPHA:
        return Pairing([*(Pair(name, ALPHA) for name in photos), *refused], [])
    if where is not None and where.is_file():
        return Pairing([*(Pair(name, where) for name in photos), *refused], [])
    if where is None and boxes and mask is None:
        return Pairing([*(Pair(name, None) for name in photos), *refused], [])
    root = where or folder
    masks = sorted(_pictures(where, recursive, [output])) if where else sorted(beside)
    masks = [each for each in masks if each.suffix.lower() not in RAW_EXTENSIONS]
    by_stem: dict[Path, list[Path]] = {}
    for each in masks:
        for key in {each.with_suffix(""), _folded(each.with_suffix(""))}:
            by_stem.setdefault(key, []).append(each)
    pairs, without = [], []
    for name in photos:
        stem = name.with_suffix("")
        named = name.with_name(name.name + MASK_SUFFIX)  # photo.jpg_mask.png, where two photos share a stem
        keys = [named, stem.with_name(stem.name + MASK_SUFFIX)] + ([stem] if where is not None else [])
        found_masks = (by_stem.get(key) for spelled in (keys, map(_folded, keys)) for key in spelled)
        candidates = next(filter(None, found_masks), [])
        candidates = [each for each in candidates if each.name == name.name] or candidates
        if not candidates:
            without.append(name)
        elif len(candidates) > 1:
            shown = " and ".join(each.name for each in candidates)
            pairs.append(Pair(name, root / candidates[0], f"{name} has more than one mask: {shown}; keep one"))
        else:
            pairs.append(Pair(name, root / candidates[0]))
    return Pairing([*pairs, *refused], without)


def _pictures(folder: Path, recursive: bool, apart: list[Path]) -> Iterator[Path]:
    """Picture files by extension, relative to the folder; hidden ones are left out."""
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        kept = [each for each in folders if not each.startswith(".") and not any(_same(here / each, p) for p in apart)]
        folders[:] = kept if recursive else []
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in RAW_EXTENSIONS.union(EXTENSIONS):
                yield (here / name).relative_to(folder)


def _photo_of(name: Path, names: set[Path]) -> Path | None:
    """The photo beside which `name` lies as its mask."""
    own = _folded(Path(name.stem)).name
    if not own.endswith(MASK_SUFFIX):
        return None
    stem = own[: -len(MASK_SUFFIX)]
    others = (each for each in names if each.parent == name.parent)
    return next(
        (each for each in others if stem in (_folded(Path(each.stem)).name, _folded(Path(each.name)).name)), None
    )


def _folded(path: Path) -> Path:
    """The name as people compare it: capitals and small letters alike, accents composed (disks of a Mac: decomposed)."""
    return Path(unicodedata.normalize("NFC", str(path)).casefold())


def _same(a: Path, b: Path) -> bool:
    return a.resolve() == b.resolve()
