"""How far down a network's fill can be trusted, measured on what the network redrew of the known photo and on the fill.

A band is what one grid holds and the next coarser one, with fewer cells, does not. Going from coarse to fine, a fill
can be trusted as long as two things hold in every band:

- round the hole, where the network redrew what it saw, it follows the photo: the difference has less energy there than
  the photo's band;
- in the hole there is enough energy, compared with that of its surroundings, continued into it: a fill that is flat
  where they are not says nothing.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from mlx_moebius.inpainting.push_pull import push_pull
from mlx_moebius.inpainting.synthesis.grids import Floats, near, resize
from mlx_moebius.photos.geometry import Colours, Mask

COARSEST = 8  # cells along the side
OCTAVE = 2**0.5  # from one grid to the next
FOLLOWS = 0.5  # share of a band's energy that the difference may have
LIVELY = 0.3  # share of the expected energy that the fill must have
PLACES = 32  # cells along the side of the grid on which energies are continued into the hole
NOISE = 0.1  # squared levels: a band as weak as this decides nothing; a clear sky's are stronger
RING = 8  # the ring is 1/8 of the side wide


def reliable_resolution(photo: Colours, fill: Colours, hole: Mask) -> float:
    """Cells along the side up to which a fill can be trusted: 0 for not at all, the side for all of it.

    Args:
        photo: what the network saw, [S, S, 3]; whatever it holds in the hole does not matter.
        fill: what it drew, levelled, [S, S, 3]; both in 8-bit levels.
        hole: bool [S, S].
    """
    side = len(hole)
    ring = near(hole, side // RING) & ~hole
    if not ring.any() or not hole.any():
        return 0.0
    # The hole itself is the same in both, so that it does not leak into the ring.
    seen = np.where(hole[..., None], fill, photo).astype(np.float32)
    trusted = 0.0
    cells = float(COARSEST)
    coarse = [_low(image, COARSEST / OCTAVE) for image in (seen, fill)]
    while True:
        fine = [_low(image, min(cells, side)) for image in (seen, fill)]
        photo_band, fill_band = (a - b for a, b in zip(fine, coarse, strict=True))
        band_energy = _energy(photo_band, ring)
        off = _energy(fill_band - photo_band, ring)
        lively = _energy(fill_band, hole) >= LIVELY * _expected(photo_band, ring, hole)
        if band_energy > NOISE and not (off <= FOLLOWS * band_energy and lively):
            return trusted
        trusted = min(cells, side)
        if cells >= side:
            return trusted
        coarse, cells = fine, cells * OCTAVE


def _low(image: Floats, cells: float) -> Floats:
    side = len(image)
    count = max(1, round(cells))
    return image if count >= side else resize(resize(image, (count, count)), (side, side), Image.Resampling.BICUBIC)


def _expected(band: Floats, ring: Mask, hole: Mask) -> float:
    """The energy of a band in the ring, continued into the hole."""
    places = (PLACES, PLACES)
    known, inside = (resize(mask.astype(np.float32), places) for mask in (ring, hole))
    energy = resize((band**2).mean(axis=-1) * ring, places) / known.clip(1e-6)
    continued = push_pull(energy[..., None], known > 0.3)[..., 0]
    return float((continued * inside).sum() / inside.sum())


def _energy(band: Floats, where: Mask) -> float:
    return float((band[where] ** 2).mean())
