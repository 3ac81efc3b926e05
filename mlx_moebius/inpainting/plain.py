"""Holes in plain surroundings are filled without the network, with one colour or a smooth gradient.

The fill has the photo's colour mode and bit depth, so that white stays white, and the photo's grain if there is any.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.inpainting.synthesis.grain import grain
from mlx_moebius.inpainting.synthesis.lines import distances, lines_across, stronger
from mlx_moebius.inpainting.synthesis.surface import Points, Surface, fit
from mlx_moebius.photos.geometry import Box, Colours, Mask, around, intersection, shifted, slices
from mlx_moebius.photos.masks import Part, components, dilate
from mlx_moebius.photos.own_colours import fill_parts, levels
from mlx_moebius.photos.photo import Photo
from mlx_moebius.side_by_side import in_order

DEPTHS = 128, 64, 16, 8, 4  # pixels round a hole to fit: the widest ring that is plain is taken
USUAL = 16  # the widest one of most holes; a larger one at the photo's edge, as of a wider frame, has fewer sides
OUTLINE = 2  # pixels along the hole, which must be plain all round
PLACE = 8  # pixels along a place over which noise averages out; less round small holes
STRETCH = 8  # a long part is looked at in stretches of so many times its half thickness,
SHORTEST, STRETCHES = 64, 32  # but at least so many pixels, and at most so many along the part
GRAINY = 0.6  # 8-bit levels of noise; what is rounded to whole levels deviates by 0.3
GRAIN_REACH = 160  # pixels round a hole in which grain is looked for
RIM = 4  # pixels round a mask that are not copied
TESTED = 400  # pixels of the hole at which a surface must be certain


def continue_plain(photo: Photo, mask: Mask, opaque: bool = False) -> tuple[Photo, Mask]:
    """The photo with the plain parts of a mask [H, W] filled, and the mask of what is left to fill.

    With `opaque`, filled pixels become opaque; otherwise their opacity stays.
    """
    parts = components(mask)
    # In an RGB photo, what is round a part says enough of the colours that are kept.
    keep = photo.palette is not None
    return fill_parts(photo, mask, parts, lambda unknown, n: _continued(photo, unknown, parts[n], n), opaque, keep)


def _continued(photo: Photo, unknown: Mask, part: Part, seed: int) -> tuple[Mask, Colours] | None:
    """Which pixels of a part's box could be filled, and their values [N, C] in 8-bit levels; None if none could."""
    left, top, right, bottom = part.box
    at_edge = left == 0 or top == 0 or right == photo.width or bottom == photo.height
    widest = DEPTHS[0] if at_edge and min(right - left, bottom - top) > 2 * USUAL else USUAL
    depths = *(depth for depth in DEPTHS if depth <= widest), OUTLINE
    frame = around(part.box, widest, photo.width, photo.height)
    hole, unknown_here = part.mask(frame), unknown[slices(frame)]
    outline = np.count_nonzero(dilate(hole, 2 * OUTLINE + 1) & ~unknown_here)
    if not outline:
        return None
    half = 2 * OUTLINE * part.area / outline  # of its thickness, where it is round
    longest = max(right - left, bottom - top)
    length = max(SHORTEST, STRETCH * half, longest / STRETCHES)
    if longest <= 1.5 * length:
        length = 2.0 * max(hole.shape)  # one stretch
    answered = np.zeros_like(hole)
    places = np.flatnonzero(hole)
    total: Colours | None = None
    noises = []
    size = int(np.clip(half, PLACE // 2, PLACE))

    def surface_of(stretch: tuple[Box, Box]) -> tuple[Colours, NDArray[np.uint8], Surface | None]:
        reach = stretch[0]
        wide = around(reach, widest, hole.shape[1], hole.shape[0])
        distance = distances(hole[slices(wide)], ~unknown_here[slices(wide)], depths)[slices(reach, wide[:2])]
        values = levels(photo, shifted(reach, *frame[:2]), distance > 0)
        return values, distance, _surface(values, hole[slices(reach)], distance, size)

    stretches = [pair for pair in _stretches(hole.shape, length) if hole[slices(pair[1])].any()]
    for (reach, core), (values, distance, surface) in zip(stretches, in_order(surface_of, stretches), strict=True):
        if surface is None:
            continue
        if total is None:
            total = np.zeros((len(places), values.shape[-1] + 1), np.float32)
            lines = np.zeros((len(places), values.shape[-1]), np.float32)
        at = _points(hole[slices(reach)])
        middle = np.array([core[1] + core[3], core[0] + core[2]]) / 2 - (reach[1], reach[0])
        share = (1 - np.abs(at - middle) / length).clip(1e-3).prod(axis=1).astype(np.float32)[:, None]
        there = np.searchsorted(places, (at + np.array([reach[1], reach[0]])) @ (hole.shape[1], 1))
        total[there] += np.concatenate([share * surface.at(at), share], axis=1)
        if (drawn := _lines(values, surface, hole[slices(reach)], distance)) is not None:
            lines[there] = stronger(drawn, lines[there])  # another stretch may miss an end
        answered[slices(core)] |= hole[slices(core)]
        noises.append(surface.noise)
    if total is None:
        return None
    inside = answered.ravel()[places]
    colours = total[inside, :-1] / total[inside, -1:] + lines[inside]
    noise = np.median(noises, axis=0)
    if noise.max() > GRAINY:
        grain_of_it = _grain(photo, unknown, frame, answered, noise, np.random.default_rng(seed))
        if grain_of_it is None:
            return None
        colours += grain_of_it
    return answered[slices(part.box, frame[:2])], colours


def _stretches(shape: tuple[int, int], length: float) -> Iterator[tuple[Box, Box]]:
    """Tiles of `length` that cover an array. Yields pairs: a box twice as long round the tile, and the tile."""
    whole = 0, 0, shape[1], shape[0]
    for top in np.arange(0, shape[0], length):
        for left in np.arange(0, shape[1], length):
            core = round(left), round(top), round(left + length), round(top + length)
            more = round(length / 2)
            reach = core[0] - more, core[1] - more, core[2] + more, core[3] + more
            yield intersection(reach, whole) or whole, intersection(core, whole) or whole


def _surface(values: Colours, hole: Mask, distance: NDArray[np.uint8], size: int) -> Surface | None:
    """A surface that fits the surroundings of a hole [H, W], as far out as possible; None if there is none.

    `values` [N, C] are of the pixels that have a distance, as in `_lines`.
    """
    tested = _points(hole)
    tested = tested[np.linspace(0, len(tested) - 1, min(TESTED, len(tested))).astype(int)]
    where = distance > 0
    points, far = _points(where), distance[where]
    for depth in DEPTHS:
        if depth > far.max(initial=0):
            continue
        ring = far <= depth
        close = far[ring] == OUTLINE
        if close.any() and (found := fit(values[ring], points[ring], close, size, tested)) is not None:
            return found
    return None


def _points(where: Mask) -> Points:
    """`np.argwhere`, several times as fast."""
    return np.stack(np.divmod(np.flatnonzero(where), where.shape[1]), axis=1)


def _lines(values: Colours, surface: Surface, hole: Mask, distance: NDArray[np.uint8]) -> Colours | None:
    """What lines that cross a hole [H, W] add to the surface, [N, C]."""
    rest = np.zeros((*hole.shape, values.shape[-1]), np.float32)
    around_it = _points(distance > 0)
    rest[around_it[:, 0], around_it[:, 1]] = values - surface.at(around_it)
    return lines_across(rest, hole, distance, OUTLINE, surface.noise)


def _grain(
    photo: Photo, unknown: Mask, frame: Box, answered: Mask, noise: NDArray[np.float32], rng: np.random.Generator
) -> Colours | None:
    """Grain for the filled pixels of a frame, [N, C]; None if there is no grain to copy."""
    wide = around(frame, GRAIN_REACH, photo.width, photo.height)
    hole = np.zeros((wide[3] - wide[1], wide[2] - wide[0]), bool)
    hole[slices(frame, wide[:2])] = answered
    usable = ~dilate(unknown[slices(wide)], 2 * RIM + 1) & dilate(hole, 2 * GRAIN_REACH + 1)
    return grain(levels(photo, wide), usable, hole, noise, rng)
