"""The photos that a run learns from: found in a folder, some held out by their content, decoded when wanted."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import sha256
from mlx_moebius.photos.formats import EXTENSIONS
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.marks import is_output_file, is_output_folder
from mlx_moebius.photos.mask_files import load_mask
from mlx_moebius.photos.pairing import masks_beside, match_masks, several
from mlx_moebius.photos.photo import opened, read_photo

CACHE_BYTES = 2**29  # decoded photos kept in memory
HELD_OUT = 0.1  # share of the photos
OPAQUE = 128  # least opacity, of 255, of a pixel that is learnt from


@dataclass(frozen=True, slots=True)
class Found:
    """A photo that can be learnt from: its file, its object's mask if there is one, and a hash of its content."""

    path: Path
    mask: Path | None
    digest: str


@dataclass(frozen=True, slots=True)
class Library:
    """Photos to train on and photos held out, both in the order of their names, and what was skipped and why."""

    train: list[Found]
    held_out: list[Found]
    skipped: list[str]

    @property
    def has_objects(self) -> bool:
        """Whether any photo to train on has a mask of an object."""
        return any(photo.mask for photo in self.train)


def find_photos(folder: Path, side: int, share: float = HELD_OUT) -> Library:
    """All photos in a folder and the folders inside it whose shorter side has at least `side` pixels.

    Folders that hold results of this program (see `marks`) are passed over, and photos that it filled are skipped.

    A photo is held out by its content, whatever its name and company: a share `share` of all, one at least, and at
    least one that can be decoded. Masks lie beside the photos and are found as for filling (see `pairing`).

    Raises MoebiusError when there are fewer than two photos to use.
    """
    if not folder.is_dir():
        raise MoebiusError(f"{folder} is not a folder of photos")
    files = sorted(_pictures(folder))
    beside = masks_beside(files)
    matches = match_masks([path for path in files if path not in beside], sorted(beside))
    found, skipped = list[Found](), list[str]()
    for path, masks in matches.items():
        try:
            if problem := several(path, masks):
                raise MoebiusError(problem)
            with opened(path) as (file, image):
                width, height = image.size
                digest = sha256(path)
                if is_output_file(file, image):
                    raise MoebiusError(f"{path}: it was made by this program, and nothing can be learnt from that")
            if min(width, height) < side:
                raise MoebiusError(f"{path}: {width} x {height} pixels are smaller than the window of {side}")
        except MoebiusError as error:
            skipped.append(error.message)
            continue
        found.append(Found(path, masks[0] if masks else None, digest))
    while True:
        if len(found) < 2:
            reason = f" ({skipped[0]})" if skipped else ""
            raise MoebiusError(f"{folder} has {len(found)} photos to learn from, at least 2 are needed{reason}")
        held = [photo for photo in found if int(photo.digest[:8], 16) < share * 2**32]
        if not held or len(held) == len(found):
            held = [min(found, key=lambda photo: photo.digest)]
        broken = _broken_until_one_is_whole(held, side)
        if len(broken) < len(held):
            return Library([photo for photo in found if photo not in held], held, skipped)
        skipped += broken
        found = [photo for photo in found if photo not in held]


def _broken_until_one_is_whole(photos: list[Found], side: int) -> list[str]:
    """Why photos cannot be decoded, in lines, up to the first that can be; the others are not tried."""
    reasons: list[str] = []
    for photo in photos:
        try:
            decode(photo, side)
        except MoebiusError as error:
            reasons.append(str(error))
        else:
            break
    return reasons


def _pictures(folder: Path) -> Iterator[Path]:
    """Picture files by extension, without hidden ones and those in folders that hold results of this program."""
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        folders[:] = [name for name in folders if not name.startswith(".") and not is_output_folder(here / name)]
        yield from (
            here / name for name in files if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS
        )


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """A decoded photo: uint8 [H, W, 3], its object's mask [H, W] if it has one, and where it is transparent [H, W].

    `transparent` is None for a photo that is opaque throughout. The colours stored there are mostly black, and show
    nothing.
    """

    rgb: NDArray[np.uint8]
    mask: Mask | None
    transparent: Mask | None = None


def decode(photo: Found, side: int) -> Pixels:
    """The pixels of a photo. Raises MoebiusError where it has no opaque window of `side` pixels, or cannot be read."""
    decoded = read_photo(photo.path)
    if min(decoded.width, decoded.height) < side:
        raise MoebiusError(
            f"{photo.path}: {decoded.width} x {decoded.height} pixels are smaller than the window of {side}"
        )
    mask = load_mask(decoded, [photo.mask])[0] if photo.mask else None
    alpha = decoded.alpha()
    transparent = None if alpha is None or alpha.min() >= OPAQUE else alpha < OPAQUE
    if transparent is not None and not empty_places(transparent, side).any():
        raise MoebiusError(f"{photo.path}: no window of {side} pixels of it is opaque")
    return Pixels(decoded.rgb(), mask, transparent)


def empty_places(mask: Mask, side: int) -> Mask:
    """Where the top left corner of a square can be so that it holds nothing of a mask [H, W], H and W >= `side`.

    Returns bool [H - side + 1, W - side + 1].
    """
    sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int32)
    sums[1:, 1:] = mask.cumsum(0, dtype=np.int32).cumsum(1)
    return sums[side:, side:] - sums[:-side, side:] == sums[side:, :-side] - sums[:-side, :-side]


class Decoder:
    """Decoded photos by file, the last ones kept in memory; for use from several threads.

    A file that cannot be decoded, or has no opaque window of `side` pixels, is reported once and gives None.
    """

    def __init__(self, report: Callable[[str], None], side: int) -> None:
        self._kept: OrderedDict[Path, Pixels | None] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._report, self._side = report, side

    def __call__(self, photo: Found) -> Pixels | None:
        """The pixels, None where they cannot be had."""
        with self._lock:
            if photo.path in self._kept:
                self._kept.move_to_end(photo.path)
                return self._kept[photo.path]
        pixels = self._decode(photo)
        with self._lock:
            if photo.path not in self._kept:
                self._kept[photo.path] = pixels
                self._bytes += _size(pixels)
                while self._bytes > CACHE_BYTES and len(self._kept) > 1:
                    self._bytes -= _size(self._kept.popitem(last=False)[1])
        return pixels

    def _decode(self, photo: Found) -> Pixels | None:
        try:
            return decode(photo, self._side)
        except MoebiusError as error:
            self._report(f"skipped: {error.message}")
            return None


def _size(pixels: Pixels | None) -> int:
    if pixels is None:
        return 0
    return pixels.rgb.nbytes + sum(mask.nbytes for mask in (pixels.mask, pixels.transparent) if mask is not None)
