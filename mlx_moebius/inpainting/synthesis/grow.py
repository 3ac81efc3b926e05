"""Makes a fill as sharp as its surroundings, with detail from the photo round the hole.

What is done depends on how far the network's fill can be trusted (see `trust`):

- down to a fine grid: the fill stays, and the photo's detail beyond that grid is added from places that look alike;
- in a thin hole, not as far as that: the place is filled from what lies beside it (see `thin`);
- down to a coarse grid: pieces of the photo are put together so that they follow the fill. Down to that grid the
  result is the fill;
- not at all: the same, following a first estimate by voting patches.
"""

from __future__ import annotations

import numpy as np

from mlx_moebius.inpainting.synthesis import lattice, offsets
from mlx_moebius.inpainting.synthesis.assembly import DEFAULT_TWINS, Guide, TwinPenalty, assemble
from mlx_moebius.inpainting.synthesis.grids import Floats, Grid, Scene, near, regrid
from mlx_moebius.inpainting.synthesis.membrane import corrections
from mlx_moebius.inpainting.synthesis.offsets import Offsets
from mlx_moebius.inpainting.synthesis.patch_voting import FEW, depth, estimate
from mlx_moebius.inpainting.synthesis.refine import refine
from mlx_moebius.inpainting.synthesis.render import add_detail, copy_pieces, restore
from mlx_moebius.inpainting.synthesis.search import Indices, nearest_patch
from mlx_moebius.inpainting.synthesis.thin import from_beside, is_thin
from mlx_moebius.inpainting.synthesis.transfer import STRIDE, match_tiles
from mlx_moebius.photos.geometry import Colours
from mlx_moebius.side_by_side import both

VOTING = ((32, 6), (48, 4), (72, 2))  # cells and rounds
THIN = 10  # cells of the grid below from the rim: what is no deeper needs no first estimate
ASSEMBLY = 128  # cells of the grid on which pieces are put together
FINE = 80  # a fill that is trusted on a grid as fine as this keeps everything
COARSE = 40  # a fill that is only trusted on a grid coarser than this says no more than a first estimate
STRAY = 300.0  # cost, in squared levels, of what touches the hole on a short stretch only, far from there
FOLLOW, HINT = 1.0, 0.02  # weights of a trusted fill and of a first estimate
REPEATS, MATCHES, GUIDED_REPEATS, GUIDED_MATCHES = 60, 40, 40, 128
LEAST = 0.2  # cells to copy from, per cell of the hole
CELL, MOST = 3.0, 20000  # pixels and cells at which grids get no finer
FULL = 5000  # cells of a hole that is followed to single pixels


def grow(scene: Scene, trusted: float, seed: int, twins: TwinPenalty = DEFAULT_TWINS) -> Colours | None:
    """The fill with detail, float32 [h, w, 3] over `scene.box`; None where there is too little to copy from.

    `trusted` is the number of cells along the scene's longer side up to which the fill can be trusted. The same
    seed gives the same colours.
    """
    rng = np.random.default_rng(seed)
    cells = min(scene.side, round(trusted))
    if cells >= FINE:
        grid = scene.grid(cells)
        if _too_little(grid):
            return None
        return add_detail(scene, grid, cells, match_tiles(scene, grid, cells), STRIDE)
    if is_thin(scene.hole, scene.side / trusted if trusted else np.inf):
        return from_beside(scene)
    guided = cells >= COARSE
    size = min(scene.side, ASSEMBLY)
    grid = scene.grid(size)
    if _too_little(grid):
        return None
    sources = _followed(scene, grid, cells, rng, twins) if guided else _estimated(scene, grid, size, rng, twins)
    while (finer := _finer(scene, grid, size)) is not None:
        coarse, (size, grid) = grid, finer
        sources = refine(coarse, sources, grid)
    colours = copy_pieces(scene, grid, size, sources, corrections(grid, sources))
    return restore(scene, colours, cells) if guided else colours


def _too_little(grid: Grid) -> bool:
    """Whether there is too little to copy from, so that it would repeat visibly."""
    usable = np.count_nonzero(~near(grid.excluded, 2))
    return bool(usable < max(FEW, LEAST * np.count_nonzero(grid.hole)))


def _estimated(scene: Scene, grid: Grid, size: int, rng: np.random.Generator, twins: TwinPenalty) -> Indices:
    """Sources on a grid of `size` cells for a fill that says little."""
    reach = float(depth(grid.hole).max(initial=1))
    found = [offsets.repeats(grid, REPEATS, rng), offsets.rings(*offsets.SHORT, reach, 2 * reach)]
    start = grid.colours
    if reach > THIN:
        voted, start = _voted(scene, grid, size, rng)
        found.append(voted)
    guide = Guide(start, grid.colours, HINT, stray=STRAY)
    regular = lattice.find(grid)
    if regular is not None:
        found.append(regular.offsets)
    return assemble(grid, np.unique(np.concatenate(found), axis=0), guide, twins, regular=regular)


def _voted(scene: Scene, grid: Grid, size: int, rng: np.random.Generator) -> tuple[Offsets, Floats]:
    """Offsets and colours [R, C, 3] of a first estimate for a grid of `size` cells."""
    start = scene.grid(min(VOTING[0][0], size)).colours
    for cells, rounds in VOTING:
        coarse = scene.grid(min(cells, size))
        start, matches = estimate(coarse, regrid(start, coarse), rounds, rng)
    scale = size / min(VOTING[-1][0], size)
    return offsets.of_matches(matches, coarse.width, scale, MATCHES), regrid(start, grid)


def _followed(scene: Scene, grid: Grid, cells: int, rng: np.random.Generator, twins: TwinPenalty) -> Indices:
    """Sources for a fill that is trusted on a grid of `cells`."""
    low = regrid(scene.grid(cells).colours, grid)

    def matched() -> Offsets:
        matches = np.full(grid.hole.size, -1)
        targets = np.flatnonzero(grid.hole)
        matches[targets] = nearest_patch(grid, low, targets)
        return offsets.of_matches(matches, grid.width, 1, GUIDED_MATCHES)

    found = both(matched, lambda: offsets.repeats(grid, GUIDED_REPEATS, rng))
    guide = Guide(low, low, FOLLOW, reach=3)
    return assemble(grid, np.unique(np.concatenate(found), axis=0), guide, twins)


def _finer(scene: Scene, grid: Grid, size: int) -> tuple[int, Grid] | None:
    """The next grid, if there is anything to gain."""
    cell, count = scene.side / size, int(grid.hole.sum())
    finer = min(scene.side, 2 * size)
    more = count * (finer / size) ** 2
    if finer == size or more > MOST or (cell <= CELL and more > FULL):
        return None
    return finer, scene.grid(finer)
