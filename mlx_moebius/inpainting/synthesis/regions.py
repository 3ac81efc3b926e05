"""Regions of flat colours run on across a hole, with borders as short, and so as straight, as they can be.

The borders are found by letting the regions diffuse and deciding for the strongest again and again (Merriman, Bence and
Osher, "Diffusion generated motion by mean curvature", 1992), first over wide distances, then over short ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.inpainting.push_pull import push_pull
from mlx_moebius.inpainting.synthesis.grids import Floats, box_sum, near
from mlx_moebius.photos.geometry import Colours, Mask, around, slices
from mlx_moebius.photos.masks import components, dilate

DIFFUSIONS, NARROW = (6, 3, 2, 1), 3  # pixels; up to which it suits every hole
ROUNDS = 6
STEEP = 0.8  # how much the shares of two regions differ from pixel to pixel at a straight border, once diffused

Labels = NDArray[np.int64]


def shares_of_regions(labels: Labels, count: int) -> Floats:
    """The shares of all colours in every pixel, diffused, [K, H, W], once their borders are straight."""
    fixed = labels >= 0
    given = _hard(labels, count)
    shares = np.moveaxis(push_pull(np.moveaxis(given, 0, -1), fixed), -1, 0)
    strongest = np.where(fixed, labels, shares.argmax(axis=0))
    shares = _hard(_without_islands(strongest, fixed, count), count)
    for radius in DIFFUSIONS:
        if radius > NARROW and near(fixed, radius).all():
            continue  # so wide a one would see mostly what is beyond the hole
        for _ in range(ROUNDS):
            shares = np.where(fixed, given, _hard(_diffused(shares, radius).argmax(axis=0), count))
    return _diffused(shares, 1)


def _hard(labels: Labels, count: int) -> Floats:
    """1 where a pixel has a colour and 0 where it has another or none, [K, H, W]."""
    return (labels == np.arange(count)[:, None, None]).astype(np.float32)


def _without_islands(labels: Labels, fixed: Mask, count: int) -> Labels:
    """Labels [H, W] in which what hangs together with nothing known of its colour has the colour round it."""
    result = labels.copy()
    for number in range(count):
        for part in components(labels == number):
            if not (fixed[slices(part.box)] & part.mask()).any():
                frame = around(part.box, 1, labels.shape[1], labels.shape[0])
                island = part.mask(frame)
                beside = labels[slices(frame)][dilate(island, 3) & ~island]
                if len(beside):
                    result[slices(frame)][island] = np.bincount(beside).argmax()
    return result


def _diffused(shares: Floats, radius: int) -> Floats:
    weight = box_sum(np.ones(shares.shape[1:], np.float32), radius)
    for _ in range(2):
        shares = box_sum(shares, radius) / weight
    return shares


def coloured(shares: Floats, colours: Colours, smooth: bool) -> Colours:
    """Colours [N, C] by shares [K, N], which mix within a pixel of a border if `smooth`."""
    if not smooth or len(colours) == 1:
        return colours[shares.argmax(axis=0)]
    order = np.argsort(shares, axis=0)[-2:]
    second, first = colours[order[0]], colours[order[1]]
    everyone = np.arange(shares.shape[1])
    ahead = shares[order[1], everyone] - shares[order[0], everyone]
    share = (0.5 + ahead / STEEP).clip(0, 1)[:, None].astype(np.float32)
    mixed: Colours = share * first + (1 - share) * second
    return mixed
