"""A thin hole, such as a wire's, is filled from what lies beside it, on the finest grid: its rims say most."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlx_moebius.inpainting.synthesis import offsets
from mlx_moebius.inpainting.synthesis.assembly import Guide, TwinPenalty, assemble
from mlx_moebius.inpainting.synthesis.grids import BASES, Scene
from mlx_moebius.inpainting.synthesis.membrane import corrections
from mlx_moebius.inpainting.synthesis.patch_voting import depth
from mlx_moebius.inpainting.synthesis.render import copy_pieces
from mlx_moebius.photos.geometry import Colours, Mask, slices
from mlx_moebius.photos.masks import dilate

DEEPEST = 8  # pixels from the rim at most, and two cells on which a fill is trusted
CROSSINGS = 0.05  # share of the hole that may be up to twice as deep
AWAY, DIRECTIONS = (2, 6, 12), 24  # cells from a hole's width, and directions: edges that cross it must go on straight
KEPT, ROUNDS = 6, 8  # candidates per cell, and rounds of choosing: cells with known neighbours settle soon
HINT = 0.1  # weight of the smooth continuation of the rims
FEW = 50  # cells to copy from


def is_thin(hole: Mask, cell: float) -> bool:
    """Whether a hole [H, W] is thin: its rims say more than a fill that is trusted on `cell` pixels.

    No pixel is deep, but for a few where lines cross.
    """
    deepest = round(min(2 * cell, DEEPEST))
    deep = ~dilate(~hole, 2 * deepest + 1)
    most = CROSSINGS * np.count_nonzero(hole)
    return bool((~hole).any() and np.count_nonzero(deep) <= most and dilate(~hole, 4 * deepest + 1).all())


def from_beside(scene: Scene) -> Colours | None:
    """Colours for a thin hole, [h, w, 3] over `scene.box`; None where there is too little to copy from."""
    smooth = scene.seen[slices(scene.box)].astype(np.float32)
    scene = replace(scene, fill=smooth)
    size = min(scene.side, BASES[-1])
    grid = scene.grid(size)
    if np.count_nonzero(~grid.excluded) < FEW:
        return None
    width = 2 * float(depth(grid.hole, 2 * DEEPEST).max(initial=1))
    guide = Guide(grid.colours, grid.colours, HINT)
    beside = np.unique(offsets.rings(*(width + away for away in AWAY), directions=DIRECTIONS), axis=0)
    sources = assemble(grid, beside, guide, TwinPenalty(passes=0), KEPT, ROUNDS)
    return copy_pieces(scene, grid, size, sources, corrections(grid, sources))
