"""What is to be selected, as text that a command line takes and a filled file records.

    box:100,50,200,300           the object in a box: x, y, width, height
    lasso:10,20 90,15 60,80      the object in a polygon
    line:10,20 90,15             the object below a rough line
    wire:10,20 900,40            the wire at one place or two
    wires:10,20 900,40           the same, and its neighbours of this direction

All are in pixels of the upright photo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.photo import Photo
from mlx_moebius.selection.neighbours import neighbours
from mlx_moebius.selection.object import Point, select_object
from mlx_moebius.selection.wire import follow_wire

Numbers: TypeAlias = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """One thing to select. `text` is how it is recorded."""

    kind: str
    points: tuple[Point, ...] = ()

    @property
    def text(self) -> str:
        """The text that `parse` reads."""
        return f"{self.kind}:{' '.join(f'{x:g},{y:g}' for x, y in self.points)}" if self.points else self.kind


def parse(text: str) -> Selection:
    """Read the text of a selection. Raises MoebiusError, which says how it is written."""
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        raise MoebiusError(f"{text!r:.60} cannot be selected: there are {', '.join(KINDS)}")
    least, most, example, _ = KINDS[kind]
    try:
        numbers = [tuple(float(part) for part in word.split(",")) for word in rest.split()]
    except ValueError:
        numbers = [()]
    if kind == "box" and len(numbers) == 1 and len(numbers[0]) == 4:
        x, y, width, height = numbers[0]
        numbers = [(x, y), (width, height)]
    if not least <= len(numbers) <= most or any(len(each) != 2 or not np.isfinite(each).all() for each in numbers):
        raise MoebiusError(f"{text!r:.60} is not written as in {example}")
    return Selection(kind, tuple((x, y) for x, y in numbers))


def select(photo: Photo, wanted: Sequence[str | Selection]) -> Mask:
    """All of what is wanted, bool [H, W] of the photo's size.

    Args:
        photo: the photo, from `read_photo`.
        wanted: selections, or their texts (see the top of this module).

    Raises MoebiusError where one of them is not there, and where OpenCV (the extra `select`) is missing.
    """
    mask = np.zeros((photo.height, photo.width), bool)
    for each in wanted:
        selection = parse(each) if isinstance(each, str) else each
        mask |= KINDS[selection.kind][3](photo, selection)
    return mask


def _box(photo: Photo, selection: Selection) -> Mask:
    (x, y), (width, height) = selection.points
    box = round(x), round(y), round(x + width), round(y + height)
    return select_object(photo.rgb(), box=box)


def _lasso(photo: Photo, selection: Selection) -> Mask:
    return select_object(photo.rgb(), lasso=selection.points)


def _line(photo: Photo, selection: Selection) -> Mask:
    return select_object(photo.rgb(), line=selection.points)


def _wire(photo: Photo, selection: Selection) -> Mask:
    return follow_wire(photo.rgb(), selection.points).mask((photo.height, photo.width))


def _wires(photo: Photo, selection: Selection) -> Mask:
    rgb = photo.rgb()
    found = follow_wire(rgb, selection.points)
    size = photo.height, photo.width
    return np.logical_or.reduce([found.mask(size), *(each.mask(size) for each in neighbours(rgb, found))])


KINDS: dict[str, tuple[int, int, str, Callable[[Photo, Selection], Mask]]] = {
    "box": (2, 2, "box:100,50,200,300 (x, y, width, height)", _box),
    "lasso": (3, 10_000, 'lasso:"10,20 90,15 60,80"', _lasso),
    "line": (2, 10_000, 'line:"10,20 90,15"', _line),
    "wire": (1, 2, 'wire:10,20 or wire:"10,20 900,40"', _wire),
    "wires": (1, 2, 'wires:10,20 or wires:"10,20 900,40"', _wires),
}
"""Kind -> the least and the most of its points, an example, and the function that selects."""
