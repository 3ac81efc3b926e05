"""How far down a network's fill can be trusted, measured on what the network redrew of the known photo and on the fill.

A band is what one grid holds and the next coarser one, with fewer cells, does not. Going from coarse to fine, a fill
can be trusted as long as two things hold in every band:

- round the hole, where the network redrew what it saw, it follows the photo: the difference has less energy there than
  the photo's band;
- in the hole there is enough energy, compared with that of its surroundings, continued into it: a fill that is flat
  where they are not says nothing.

A thin hole's rims say much. If it were beside where it is, in the known photo, their smooth continuation would be off
by so much; a fill that is off from the continuation by far more cannot be right, and is trusted nowhere.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from mlx_moebius.inpainting.push_pull import push_pull
from mlx_moebius.inpainting.synthesis.grids import Floats, near, resize
from mlx_moebius.photos.geometry import Box, Colours, Mask, bounding_box, slices

COARSEST = 8  # cells along the side
OCTAVE = 2**0.5  # from one grid to the next
FOLLOWS = 0.5  # share of a band's energy that the difference may have
LIVELY = 0.3  # share of the expected energy that the fill must have
PLACES = 32  # cells along the side of the grid on which energies are continued into the hole
NOISE = 0.1  # squared levels: a band as weak as this decides nothing; a clear sky's are stronger
RING = 8  # the ring is 1/8 of the side wide
THIN = 16  # a hole no deeper than 1/16 of the side is thin
MOSTLY = 0.9  # share of its pixels
DEPTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # pixels
IMPLAUSIBLE = 2.0  # times the mean square by which the continuation is off beside the hole


def reliable_resolution(photo: Colours, fill: Colours, hole: Mask) -> float:
    """Cells along the side up to which a fill can be trusted: 0 for not at all, the side for all of it.

    Args:
        photo: what the network saw, [S, S, 3]; whatever it holds in the hole does not matter.
        fill: what it drew, levelled, [S, S, 3]; both in 8-bit levels.
        hole: bool [S, S].
    """
    side = len(hole)
    ring = near(hole, side // RING) & ~hole
    if not ring.any() or not hole.any() or not _plausible(photo, fill, hole):
        return 0.0
    # The hole itself is the same in both, so that it does not leak into the ring.
    seen = np.where(hole[..., None], fill, photo)
    images = [np.ascontiguousarray(np.moveaxis(image, -1, 0), np.float32) for image in (seen, fill)]
    box = bounding_box(ring | hole) or (0, 0, side, side)
    trusted = 0.0
    cells = float(COARSEST)
    coarse = [_low(image, COARSEST / OCTAVE, box) for image in images]
    while True:
        fine = [_low(image, min(cells, side), box) for image in images]
        photo_band, fill_band = (a - b for a, b in zip(fine, coarse, strict=True))
        band_energy = _energy(photo_band, ring, box)
        if band_energy > NOISE and not (
            _energy(fill_band - photo_band, ring, box) <= FOLLOWS * band_energy
            and _energy(fill_band, hole, box) >= LIVELY * _expected(photo_band, ring, hole, box)
        ):
            return trusted
        trusted = min(cells, side)
        if cells >= side:
            return trusted
        coarse, cells = fine, cells * OCTAVE


def _plausible(photo: Colours, fill: Colours, hole: Mask) -> bool:
    """Whether a fill is not much farther off from the continuation of a thin hole's rims than that is beside the hole.

    Always true of other holes.
    """
    side = len(hole)
    few = (1 - MOSTLY) * np.count_nonzero(hole)  # where lines cross or leave the photo, it may be deeper
    depths = (depth for depth in DEPTHS if depth * THIN <= side)
    deep = next((depth for depth in depths if np.count_nonzero(~near(~hole, depth)) <= few), None)
    if deep is None:
        return True
    smooth = np.where(hole[..., None], push_pull(photo, ~hole), photo)
    off, count = 0.0, 0
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for away in (2 * deep + 1, -2 * deep - 1):
            beside = _moved(hole, away * down, away * across) & ~hole
            off += float(((push_pull(smooth, ~beside) - photo)[beside] ** 2).sum())
            count += int(beside.sum())
    if not count:
        return True
    channels = photo.shape[-1]
    return float(((fill - smooth)[hole] ** 2).mean()) <= IMPLAUSIBLE * off / (channels * count) + NOISE


def _moved(mask: Mask, down: int, across: int) -> Mask:
    """A mask moved by some pixels; nothing comes in at the edges."""
    height, width = mask.shape
    result = np.zeros_like(mask)
    result[max(0, down) : height + min(0, down), max(0, across) : width + min(0, across)] = mask[
        max(0, -down) : height - max(0, down), max(0, -across) : width - max(0, across)
    ]
    return result


def _low(planes: Floats, cells: float, box: Box) -> Floats:
    """What a grid holds of some planes [C, S, S] in a box, [C, h, w]."""
    side, count = planes.shape[-1], max(1, round(cells))
    if count >= side:
        rows, columns = slices(box)
        return planes[:, rows, columns]
    left, top, right, bottom = box
    scale, size = count / side, (right - left, bottom - top)
    source = left * scale, top * scale, right * scale, bottom * scale
    coarse = (Image.fromarray(resize(plane, (count, count))) for plane in planes)
    return np.stack([np.asarray(plane.resize(size, Image.Resampling.BICUBIC, source)) for plane in coarse])


def _expected(band: Floats, ring: Mask, hole: Mask, box: Box) -> float:
    """The energy of a band [C, h, w] in the ring, continued into the hole."""
    places = (PLACES, PLACES)
    known, inside = (resize(mask.astype(np.float32), places) for mask in (ring, hole))
    squares = np.zeros(ring.shape, np.float32)
    squares[slices(box)] = (band * band).sum(axis=0) / np.float32(len(band)) * ring[slices(box)]
    energy = resize(squares, places) / known.clip(1e-6)
    continued = push_pull(energy[..., None], known > 0.3)[..., 0]
    return float((continued * inside).sum() / inside.sum())


def _energy(band: Floats, where: Mask, box: Box) -> float:
    """The mean square of a band [C, h, w] of a box, in a part of it."""
    return float((band.reshape(len(band), -1).take(np.flatnonzero(where[slices(box)]), axis=1) ** 2).mean())
