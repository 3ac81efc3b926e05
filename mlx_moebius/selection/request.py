"""What is to be selected, as text that a command line takes and a filled file records.

    box:100,50,200,300           the object in a box: x, y, width, height
    lasso:10,20 90,15 60,80      the object in a polygon
    line:10,20 90,15             the object below a rough line
    wire:10,20 900,40            the wire at one place or two
    wires:10,20 900,40           the same, and its neighbours of this direction
    dust, dust:0.7               dust of a scan, as sensitive as usual (0.5) or more
    hairs, hairs:0.7             hairs and scratches of a scan, the same
    spots:10,20,5 90,15,9        dark or light spots at known places: x, y, size
    shadow                       the shadow of what stands before it
    people, strangers            all people, or all but the largest (macOS 14 alone)
    subjects                     what stands out of the background (macOS 14 alone)
    sensor                       dust of a sensor, in photos of a folder: becomes `spots` for each (`sensor.py`)

All are in pixels of the upright photo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.formats import EXTENSIONS
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.photo import Photo
from mlx_moebius.selection.dust import USUAL, known_spots, likeliest, rated_spots, spots_mask
from mlx_moebius.selection.hairs import find_hairs
from mlx_moebius.selection.infrared import dark_in_infrared
from mlx_moebius.selection.neighbours import neighbours
from mlx_moebius.selection.object import select_object
from mlx_moebius.selection.people import find_instances
from mlx_moebius.selection.shadow import shadow_of
from mlx_moebius.selection.spot import Spot
from mlx_moebius.selection.wire import follow_wire

Numbers: TypeAlias = tuple[tuple[float, ...], ...]
MOST = 10_000  # words of numbers
_RATED: WeakKeyDictionary[Photo, list[tuple[Spot, float]]] = WeakKeyDictionary()
"""Spots of photos in memory: another sensitivity asks for more or fewer of them."""


@dataclass(frozen=True, slots=True)
class Selection:
    """One thing to select, and the numbers that say where. `text` is how it is recorded."""

    kind: str
    numbers: Numbers = ()

    @property
    def text(self) -> str:
        """The text that `parse` reads."""
        words = " ".join(",".join(f"{number:.10g}" for number in word) for word in self.numbers)
        return f"{self.kind}:{words}" if words else self.kind


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of selection: how many numbers make a word, how many words there are, an example, and what selects it.

    `select` gets the photo, the numbers, and what was selected before.
    """

    size: int
    least: int
    most: int
    example: str
    select: Callable[[Photo, Numbers, Mask], Mask]


def parse(text: str) -> Selection:
    """Read the text of a selection. Raises MoebiusError, which says how it is written."""
    name, _, rest = text.partition(":")
    if name not in KINDS:
        if Path(text).suffix.lower() in EXTENSIONS:
            raise MoebiusError(f"{text!r:.60} is the name of a file: give it as the mask, not as what to select")
        raise MoebiusError(f"{text!r:.60} cannot be selected: there are {', '.join(KINDS)}")
    kind = KINDS[name]
    try:
        numbers = tuple(tuple(float(part) for part in word.split(",")) for word in rest.split())
    except ValueError:
        numbers = ((),)
    fits = all(len(word) == kind.size and np.isfinite(word).all() for word in numbers)
    if not fits or not kind.least <= len(numbers) <= kind.most:
        raise MoebiusError(f"{text!r:.60} is not written as in {kind.example}")
    return Selection(name, numbers)


def select(photo: Photo, wanted: Sequence[str | Selection]) -> Mask:
    """All of what is wanted, bool [H, W] of the photo's size; it may be nothing where dust is looked for.

    Args:
        photo: the photo, from `read_photo`.
        wanted: selections, or their texts (see the top of this module).

    Raises MoebiusError where a thing is not there, and where OpenCV (the extra `select`) is missing.
    """
    mask = np.zeros((photo.height, photo.width), bool)
    for asked in wanted:
        selection = parse(asked) if isinstance(asked, str) else asked
        mask |= KINDS[selection.kind].select(photo, selection.numbers, mask)
    return mask


def _box(photo: Photo, numbers: Numbers, before: Mask) -> Mask:
    x, y, width, height = numbers[0]
    return select_object(photo.rgb(), box=(round(x), round(y), round(x + width), round(y + height)))


def _lasso(photo: Photo, numbers: Numbers, before: Mask) -> Mask:
    return select_object(photo.rgb(), lasso=[(x, y) for x, y in numbers])


def _line(photo: Photo, numbers: Numbers, before: Mask) -> Mask:
    return select_object(photo.rgb(), line=[(x, y) for x, y in numbers])


def _wire(photo: Photo, numbers: Numbers, before: Mask) -> Mask:
    return follow_wire(photo.rgb(), [(x, y) for x, y in numbers]).mask((photo.height, photo.width))


def _wires(photo: Photo, numbers: Numbers, before: Mask) -> Mask:
    rgb = photo.rgb()
    found = follow_wire(rgb, [(x, y) for x, y in numbers])
    size = photo.height, photo.width
    return np.logical_or.reduce([found.mask(size), *(wire.mask(size) for wire in neighbours(rgb, found))])


def _dust(photo: Photo, numbers: Numbers, before: Mask) -> Mask:
    if (shown := _in_infrared(photo, numbers)) is not None:
        return shown
    rgb, sensitivity = photo.rgb(), _sensitivity(numbers)
    if photo not in _RATED:
        _RATED[photo] = rated_spots(rgb)
    return spots_mask(rgb, likeliest(_RATED[photo], sensitivity))


def _hairs(photo: Photo, numbers: Numbers, before: Mask) -> Mask:
    shown = _in_infrared(photo, numbers)
    return find_hairs(photo.rgb(), _sensitivity(numbers)) if shown is None else shown


def _in_infrared(photo: Photo, numbers: Numbers) -> Mask | None:
    """Dust and hairs as the scanner's infrared picture shows them; None where the photo has none that can be used."""
    if photo.infrared is None or photo.infrared.shape != (photo.height, photo.width):
        return None
    return dark_in_infrared(photo.infrared, photo.rgb(), _sensitivity(numbers))


def _sensitivity(numbers: Numbers) -> float:
    sensitivity = numbers[0][0] if numbers else USUAL
    if not 0 <= sensitivity <= 1:
        raise MoebiusError(f"the sensitivity for dust and hairs is 0 to 1, not {sensitivity:g}")
    return sensitivity


def _spots(photo: Photo, numbers: Numbers, before: Mask) -> Mask:
    rgb = photo.rgb()
    return spots_mask(rgb, known_spots(rgb, [(round(x), round(y), round(size)) for x, y, size in numbers]))


def _shadow(photo: Photo, numbers: Numbers, before: Mask) -> Mask:
    if not before.any():
        raise MoebiusError("a shadow is that of a thing: select the thing before its shadow")
    return shadow_of(photo.rgb(), before)


def _people(photo: Photo, numbers: Numbers, before: Mask) -> Mask:
    return _union(photo, find_instances(photo.rgb(), "people"))


def _strangers(photo: Photo, numbers: Numbers, before: Mask) -> Mask:
    return _union(photo, find_instances(photo.rgb(), "people")[1:])


def _subjects(photo: Photo, numbers: Numbers, before: Mask) -> Mask:
    return _union(photo, find_instances(photo.rgb(), "subjects"))


def _union(photo: Photo, masks: Sequence[Mask]) -> Mask:
    return np.logical_or.reduce([np.zeros((photo.height, photo.width), bool), *masks])


def _sensor(photo: Photo, numbers: Numbers, before: Mask) -> Mask:
    raise MoebiusError("dust of a sensor is told from other spots by many photos of one camera: give their folder")


KINDS: dict[str, Kind] = {
    "box": Kind(4, 1, 1, "box:100,50,200,300 (x, y, width, height)", _box),
    "lasso": Kind(2, 3, MOST, 'lasso:"10,20 90,15 60,80"', _lasso),
    "line": Kind(2, 2, MOST, 'line:"10,20 90,15"', _line),
    "wire": Kind(2, 1, 2, 'wire:10,20 or wire:"10,20 900,40"', _wire),
    "wires": Kind(2, 1, 2, 'wires:10,20 or wires:"10,20 900,40"', _wires),
    "dust": Kind(1, 0, 1, "dust or dust:0.7", _dust),
    "hairs": Kind(1, 0, 1, "hairs or hairs:0.7", _hairs),
    "spots": Kind(3, 1, MOST, 'spots:"10,20,5 90,15,9" (x, y, size)', _spots),
    "shadow": Kind(1, 0, 0, "shadow", _shadow),
    "people": Kind(1, 0, 0, "people", _people),
    "strangers": Kind(1, 0, 0, "strangers", _strangers),
    "subjects": Kind(1, 0, 0, "subjects", _subjects),
    "sensor": Kind(1, 0, 0, "sensor", _sensor),
}
"""Name -> kind of selection."""
