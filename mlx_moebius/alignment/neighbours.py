"""Which photos of a folder show the same scene: those taken shortly before and after, held the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos import formats
from mlx_moebius.photos.marks import is_output_file
from mlx_moebius.photos.photo import opened

MINUTES = 4  # between a photo and its neighbours
NEIGHBOURS = 4  # that are looked at
ZOOM = 1.25  # the most that focal lengths may differ
EXIF, TIME, SUBSECOND, FOCAL = 0x8769, 0x9003, 0x9291, 0x920A  # CIPA DC-008
PLAIN_TIME = 0x0132


@dataclass(frozen=True, slots=True)
class Moment:
    """When and how a photo was taken: seconds, focal length in mm, and whether it is upright; None: unknown.

    `is_result`: this program wrote it, so that what it shows in a hole is no truth.
    """

    seconds: float | None
    focal: float | None
    is_tall: bool
    is_result: bool


@lru_cache(maxsize=4096)
def moment(path: Path) -> Moment:
    """What a photo's EXIF says. Raises MoebiusError for what is no photo."""
    with opened(path) as (file, image):
        width, height = image.size
        is_tall = (height > width) != (formats.orientation(image) >= 5)
        try:
            exif = image.getexif()
            fields = exif.get_ifd(EXIF)
        except Exception:  # whatever Pillow's parser stumbles over in damaged EXIF
            exif, fields = Image.Exif(), {}
        return Moment(_seconds(fields, exif), _number(fields.get(FOCAL)), is_tall, is_output_file(file, image))


def _seconds(fields: Any, exif: Any) -> float | None:
    text = fields.get(TIME) or exif.get(PLAIN_TIME)
    try:
        whole = datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S").timestamp()
        part = str(fields.get(SUBSECOND) or "").strip("\0 ")
        return whole + (float(f"0.{part}") if part.isdecimal() else 0.0)
    except (ValueError, OverflowError, OSError):
        return None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if number > 0 else None


def nearest(photo: Path, others: Sequence[Path], most: int) -> list[Path]:
    """At most so many of the other photos, the nearest in time first; those without a time last, by name."""
    taken = _moment(photo)
    if taken is None or taken.seconds is None:
        return sorted(others)[:most]

    def distance(path: Path) -> tuple[float, str]:
        other = _moment(path)
        if other is None or other.seconds is None or taken.seconds is None:
            return float("inf"), path.name
        return abs(other.seconds - taken.seconds), path.name

    return sorted(others, key=distance)[:most]


def neighbours(photo: Path, others: Sequence[Path]) -> list[Path]:
    """The other photos that were taken within minutes, held the same way, with the same focal length: nearest first.

    None for a photo whose EXIF does not say when it was taken.
    """
    taken = _moment(photo)
    if taken is None or taken.seconds is None:
        return []
    found = []
    for path in others:
        other = _moment(path)
        if other is None or other.is_result or other.seconds is None or other.is_tall != taken.is_tall:
            continue
        if abs(other.seconds - taken.seconds) > 60 * MINUTES:
            continue
        if taken.focal and other.focal and not 1 / ZOOM < other.focal / taken.focal < ZOOM:
            continue
        found.append(path)
    return nearest(photo, found, NEIGHBOURS)


def _moment(path: Path) -> Moment | None:
    try:
        return moment(path)
    except MoebiusError:
        return None
