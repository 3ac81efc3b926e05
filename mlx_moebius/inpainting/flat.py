"""Holes in graphics of a few flat colours are filled without the network: every pixel gets one of the colours round it.

The borders between the colours run on across the hole as short, and so as straight, as they can. Rules that cross the
hole are painted over these regions; letters beside it are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.inpainting.synthesis.borders import continue_borders
from mlx_moebius.inpainting.synthesis.grids import Floats, box_sum, near
from mlx_moebius.inpainting.synthesis.lines import distances, lines_across
from mlx_moebius.inpainting.synthesis.regions import Labels, coloured, shares_of_regions
from mlx_moebius.photos.geometry import Box, Colours, Mask, around, slices
from mlx_moebius.photos.masks import Part, components, dilate
from mlx_moebius.photos.own_colours import fill_parts, levels
from mlx_moebius.photos.photo import Photo

RING = 12  # pixels round a hole that are looked at
REACH = 24  # pixels round a hole that its borders are continued from
SAME = 2.0  # 8-bit levels within which a colour is the same
APART = 10.0  # 8-bit levels between two colours, which steps of a photo's sky are not
FRINGE = 2  # pixels along a hole that are not looked at, where something of what was removed may be left
MOST = 8  # colours
SAMPLES = 5000  # pixels in which they are looked for
PLACES, SIDE = 32, 64  # squares along a large part, and their sides in pixels, that are looked at first
RARE = 0.3  # of what is looked at there may have other colours, or else the part lies in a photo
FEW = 0.003  # of the ring: a colour that has less is none of them
FLAT = 0.9  # of the ring must have these colours: the rest is smooth edges between them
OTHER, EDGE = 0.01, 5  # share of the ring that may have other colours, away from edges of so many pixels
THIN = 0.2  # the same share where these are rules and letters
RINGS = 20.0  # 8-bit levels by which a JPEG's colours are off at most: what is farther off is another colour
LITTLE, SMALL = 0.12, 0.7  # share of the ring that small regions have at most, share of such a region that is so
RINGING = 0.05  # the same share where a drawing rings
DEPTHS = 16, 8, 4, 2  # pixels round a hole in which lines are looked for; the last is its outline
SLIM = 6.0  # a hole so many times as wide as a line with some room was not made for the line
ROWS = 64  # that are looked at at a time
CALM, QUIET = 2, 0.1  # pixels round a pixel without a step; share of the surroundings that must be so
BLURRED, USUAL = 3, 0.99  # pixels that edges blur; share of all others that are within the tolerance
EDGY = 0.5  # of the way from one colour to another that two pixels take at a drawing's edge
STROKE = 2  # pixels round a pixel
BROAD = 0.4  # of a colour's pixels that have only their own kind so far round them: else letters, lines or a pattern


class Palette(NamedTuple):
    """A drawing's colours [K, C], how far from one of them its pixels are, and the share of others that is allowed.

    Colours are in 8-bit levels.
    """

    colours: Colours
    tolerance: float
    other: float


def continue_flat(photo: Photo, mask: Mask, opaque: bool = False) -> tuple[Photo, Mask]:
    """The photo with the parts of a mask [H, W] filled that lie in flat colours, and the mask of what is left to fill.

    With `opaque`, filled pixels become opaque; otherwise their opacity stays.
    """
    parts = components(mask)
    keep = photo.palette is not None  # in an RGB photo, all colours are round the part, or mixed of two
    return fill_parts(photo, mask, parts, lambda unknown, n: _continued(photo, unknown, parts[n]), opaque, keep)


def _continued(photo: Photo, unknown: Mask, part: Part) -> tuple[Mask, Colours] | None:
    """A part's pixels and their values [N, C], in 8-bit levels; None where there are more than a few flat colours."""
    frame = around(part.box, REACH, photo.width, photo.height)
    if not _may_be_drawn(photo, unknown, part, frame):
        return None
    values, hole, ring, known = _surroundings(photo, unknown, part, frame)
    seen = ~unknown[slices(frame)]
    for colours, tolerance, other in _palettes(values, ring, known):
        broad = colours[_broad(_labelled(values, colours, seen, tolerance), len(colours))]
        if tolerance > SAME:
            broad, tolerance = _with_small(broad, values, seen, ring, tolerance)
        labels = _labelled(values, broad, seen, tolerance)
        if len(broad) < 2 or _closest(broad) < APART or _other(labels, ring, len(broad)) > other:
            continue
        if not _sharp(values, broad, labels, known):
            continue
        painted = _painted(labels, values, colours, broad, seen) if tolerance <= SAME else np.zeros_like(hole)
        smooth = bool(((labels < 0) & ring & ~painted).any())
        if tolerance > SAME:
            labels = _sharpened(labels, values, broad, seen)
        shares = shares_of_regions(continue_borders(labels, hole, len(broad)), len(broad))
        colours = coloured(shares.reshape(len(broad), -1), broad, smooth).reshape(values.shape)
        return part.mask(), _with_rules(colours, values, painted, hole, seen)
    return None


def _may_be_drawn(photo: Photo, unknown: Mask, part: Part, frame: Box) -> bool:
    """Whether a few places along a part have a drawing's colours; always so where all of it is soon looked at."""
    if (frame[2] - frame[0]) * (frame[3] - frame[1]) <= PLACES * SIDE**2:
        return True
    views = []
    for column, row in _along(part):
        box = around((column, row, column, row), SIDE // 2, photo.width, photo.height)
        views.append(_surroundings(photo, unknown, part, box))
    in_ring = np.concatenate([values[ring] for values, _, ring, _ in views])
    if _flat_colours(in_ring)[1] <= RARE:
        return True
    calm = np.concatenate([values[_calm(values, known)] for values, *_, known in views])
    return len(calm) >= FLAT * QUIET * sum(known.sum() for *_, known in views) and _flat_colours(calm)[1] <= RARE


def _along(part: Part) -> list[tuple[int, int]]:
    """Places along a part: pixels spread over its area, every other one moved to an end of its row."""
    rows, lefts, rights = part.runs.T
    areas = np.cumsum(rights - lefts)
    wanted = np.arange(PLACES) * part.area // PLACES
    numbers = np.searchsorted(areas, wanted, side="right")
    columns = rights[numbers] - areas[numbers] + wanted
    columns[1::4], columns[3::4] = lefts[numbers][1::4], rights[numbers][3::4]
    return list(zip(columns.tolist(), rows[numbers].tolist(), strict=True))


def _surroundings(photo: Photo, unknown: Mask, part: Part, box: Box) -> tuple[Colours, Mask, Mask, Mask]:
    """Within a box: the colours [h, w, C], the part, the ring round it that is looked at, and all that is."""
    hole = part.mask(box)
    known = ~dilate(unknown[slices(box)], 2 * FRINGE + 1)
    return levels(photo, box), hole, dilate(hole, 2 * RING + 1) & known, known


def _palettes(values: Colours, ring: Mask, known: Mask) -> Iterator[Palette]:
    """What a drawing's colours may be: first those of pixels that are exact, then those of a JPEG.

    Only a drawing that does not ring may have many thin things before its regions.
    """
    colours, rest = _flat_colours(values[ring])
    exact = rest <= 1 - FLAT
    if exact:
        yield Palette(colours, SAME, OTHER)
    ringing = _ringing_palette(values, known)
    if exact and (ringing is None or ringing.tolerance <= SAME):
        yield Palette(colours, SAME, THIN)
    elif ringing is not None:
        yield ringing


def _ringing_palette(values: Colours, known: Mask) -> Palette | None:
    """The flat colours of a drawing [H, W, C] that was saved as JPEG; None where it is none.

    Away from edges such a drawing is exactly flat, which photos are not. Beside edges it rings.
    """
    calm = _calm(values, known)
    if np.count_nonzero(calm) < QUIET * np.count_nonzero(known):
        return None
    colours = _apart(_flat_colours(values[calm])[0])
    if len(colours) < 2:
        return None
    if (_nearest(values[calm], colours)[1] <= SAME).mean() < FLAT:
        return None
    nearest, distance = _nearest(values, colours)
    inner = np.zeros(known.shape, bool)
    for number in range(len(colours)):
        inner |= _within(known & (nearest == number), BLURRED)
    inner &= distance <= _closest(colours) / 3  # what is farther is another colour
    if not inner.any():
        return None
    return Palette(colours, float(np.quantile(distance[inner], USUAL).clip(SAME, RINGS)), RINGING)


def _nearest(values: Colours, colours: Colours) -> tuple[NDArray[np.int8], Floats]:
    """For pixels [..., C] the number of the nearest colour, and how far it is in the worst channel; both [...]."""
    nearest = np.zeros(values.shape[:-1], np.int8)
    distance = np.full(nearest.shape, np.inf, np.float32)
    for number, colour in enumerate(colours):
        own = np.abs(values - colour).max(axis=-1)
        nearest[own < distance] = number
        np.minimum(distance, own, out=distance)
    return nearest, distance


def _calm(values: Colours, known: Mask) -> Mask:
    """Which pixels of an image [H, W, C] have only known ones round them, and no steps between these."""
    calm = known.copy()
    for top in range(0, len(calm), ROWS):  # by rows and channels, since the image may be large
        for channel in np.moveaxis(values[max(0, top - 1) : top + ROWS], -1, 0):
            calm[max(1, top) : top + ROWS] &= np.abs(np.diff(channel, axis=0)) <= 1
            calm[top : top + ROWS, 1:] &= np.abs(np.diff(channel[min(1, top) :], axis=1)) <= 1
    return _within(calm, CALM)


def _within(mask: Mask, radius: int) -> Mask:
    """Which pixels have only pixels of a mask within a radius."""
    outside = dilate(~np.pad(mask, radius), 2 * radius + 1)
    return ~outside[radius:-radius, radius:-radius]


def _apart(colours: Colours) -> Colours:
    """Those of some colours [K, C], best ones first, that differ from all before them."""
    kept: list[Colours] = []
    for colour in colours:
        if all(np.abs(colour - other).max() >= APART for other in kept):
            kept.append(colour)
    return np.array(kept, np.float32).reshape(-1, colours.shape[1])


def _flat_colours(values: Colours) -> tuple[Colours, float]:
    """The most frequent colours [K, C] of some pixels [N, C], and the share of pixels that have none of them."""
    if not len(values):
        return np.zeros((0, values.shape[1]), np.float32), 1.0
    values = values[:: -(-len(values) // SAMPLES)]
    rest = values
    found: list[Colours] = []
    while len(rest) and len(found) < MOST:
        # A colour as one number: `np.unique` takes far longer for rows.
        numbers = np.rint(rest).astype(np.int64) @ (1 << 9 * np.arange(rest.shape[1])[::-1])
        _, firsts, counts = np.unique(numbers, return_index=True, return_counts=True)
        same = np.abs(rest - np.rint(rest[firsts[counts.argmax()]])).max(axis=1) <= SAME
        if same.sum() < FEW * len(values):
            break
        found.append(np.median(rest[same], axis=0))
        rest = rest[~same]
    return np.array(found, np.float32).reshape(-1, values.shape[1]), len(rest) / len(values)


def _closest(colours: Colours) -> float:
    """How far apart the two most similar of some colours [K, C] are, in 8-bit levels."""
    apart = np.abs(colours[:, None] - colours).max(axis=-1)
    return float(apart[~np.eye(len(colours), dtype=bool)].min())


def _labelled(values: Colours, colours: Colours, known: Mask, tolerance: float) -> Labels:
    """The number of every known pixel's colour, [H, W]; -1 for all others."""
    labels = np.full(known.shape, -1)
    for number, colour in enumerate(colours):
        labels[known & (np.abs(values - colour).max(axis=-1) <= tolerance)] = number
    return labels


def _sharpened(labels: Labels, values: Colours, colours: Colours, known: Mask) -> Labels:
    """Labels [H, W] in which what lies beside one colour or more has the most similar one of them."""
    distances = np.full((len(colours), *labels.shape), np.inf, np.float32)
    for number, colour in enumerate(colours):
        here = near(labels == number, BLURRED) & (labels < 0) & known
        distances[number][here] = np.abs(values[here] - colour).max(axis=-1)
    between = np.isfinite(distances).sum(axis=0) > 1
    like = distances.min(axis=0) < _closest(colours) / 2
    return np.where((labels < 0) & (between | like), distances.argmin(axis=0), labels)


def _broad(labels: Labels, count: int) -> NDArray[np.bool_]:
    """Which colours have broad regions; those of smooth edges, lines, letters and patterns have not."""
    whole = box_sum(np.ones_like(labels), STROKE)
    broad = np.zeros(count, bool)
    for number in range(count):
        here = labels == number
        inner = here & (box_sum(here, STROKE) >= whole)
        broad[number] = inner.sum() >= max(1, BROAD * here.sum())
    return broad


def _with_small(colours: Colours, values: Colours, seen: Mask, ring: Mask, tolerance: float) -> tuple[Colours, float]:
    """The colours [K, C], and those of regions in the ring of a hole that are too small to be calm in a JPEG.

    With them comes the tolerance, which is larger where there are such: all of a small region is beside its edges.
    """
    while 1 < len(colours) < MOST:
        other = _others(_labelled(values, colours, seen, tolerance), ring, len(colours))
        found = max(components(_within(other, CALM)), key=lambda part: part.area, default=None)
        if found is None:
            break
        here = values[slices(found.box)][found.mask()]
        colour = np.median(here, axis=0)
        more = np.concatenate([colours, colour[None]])
        wider = max(tolerance, min(RINGS, _closest(more) / 3))
        alike = np.abs(colours - colour).max(axis=1).min() < 2 * RINGS  # perhaps a step of a photo's sky
        large = (np.abs(values[ring] - colour).max(axis=1) <= wider).mean() > LITTLE  # would be calm in a drawing
        if alike or large or (np.abs(here - colour).max(axis=1) <= wider).mean() < SMALL:
            break
        colours, tolerance = more, wider
    return colours, tolerance


def _others(labels: Labels, ring: Mask, count: int) -> Mask:
    """What of a ring has none of the colours and does not lie between two of them, as smooth edges do."""
    beside = sum((near(labels == number, EDGE).astype(np.int64) for number in range(count)), np.zeros_like(labels))
    return (labels < 0) & (beside < 2) & ring


def _other(labels: Labels, ring: Mask, count: int) -> float:
    """The share of a ring that has other colours; 1 if some of that lies together: there is another colour."""
    other = _others(labels, ring, count)
    return 1.0 if _within(other, CALM).any() else float(other[ring].mean())


def _painted(labels: Labels, values: Colours, colours: Colours, broad: Colours, seen: Mask) -> Mask:
    """What is painted over regions of `broad` colours, [H, W]: all others but smooth edges between two."""
    painted = seen & (labels < 0)
    others = _labelled(values, colours, painted, SAME)
    for first, second in combinations(range(len(broad)), 2):
        border = painted & near(labels == first, FRINGE) & near(labels == second, FRINGE)
        way = broad[second] - broad[first]
        share = ((values[border] - broad[first]) @ way / (way @ way)).clip(0, 1)
        mixed = broad[first] + share[:, None] * way
        painted[border] = np.abs(values[border] - mixed).max(axis=1) > SAME
    for number in range(len(colours)):
        here = others == number
        painted |= here & (np.count_nonzero(here & painted) > np.count_nonzero(here) / 2)
    return painted


def _with_rules(colours: Colours, values: Colours, painted: Mask, hole: Mask, seen: Mask) -> Colours:
    """The colours [N, C] of a hole [H, W] where lines that are painted over others [H, W, C] go on across it."""
    rest = np.where(painted[..., None], values - colours, 0).astype(np.float32)
    paint = np.concatenate([values, np.ones_like(values[..., :1])], axis=-1) * painted[..., None]
    distance = distances(hole, seen, DEPTHS)
    lines = lines_across(rest, hole, distance, DEPTHS[-1], np.zeros(values.shape[-1], np.float32), paint, SLIM)
    if lines is None:
        return colours[hole]
    crossed: Colours = (1 - lines[:, -1:]) * colours[hole] + lines[:, :-1]
    return crossed


def _sharp(values: Colours, colours: Colours, labels: Labels, known: Mask) -> bool:
    """Whether what is known goes from one colour to another at once, as drawings do and clouds do not."""
    sharp = total = 0
    for first, second in combinations(range(len(colours)), 2):
        border = near(labels == first, FRINGE) & near(labels == second, FRINGE) & known
        if not border.any():
            continue
        way = colours[second] - colours[first]
        share = values @ (way / (way @ way))
        steep = np.zeros_like(known)
        steep[:, 1:-1] |= np.abs(share[:, 2:] - share[:, :-2]) >= EDGY
        steep[1:-1] |= np.abs(share[2:] - share[:-2]) >= EDGY
        sharp += np.count_nonzero(near(steep, FRINGE) & border)
        total += np.count_nonzero(border)
    return sharp >= FLAT * total
