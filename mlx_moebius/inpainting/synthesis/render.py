"""From sources on a grid to pixels: copied pieces, or the fill with the photo's detail added."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.inpainting.synthesis.grids import MARGIN, Floats, Grid, Scene, resize, unflatten
from mlx_moebius.inpainting.synthesis.search import Indices
from mlx_moebius.photos.geometry import Colours
from mlx_moebius.side_by_side import side_by_side

RAMP = 2.0  # neighbouring pieces are blended over 1 / RAMP of a cell
DETAIL_RAMP = 1.3
BLOCK = 1 << 16  # pixels at a time on a core

_Tile = tuple[Indices, Indices, Indices, Floats, Floats]
"""For every pixel: the tile's cell, pixels down and across to its source, the tile's weight, and how near it is."""


def copy_pieces(scene: Scene, grid: Grid, cells: int, sources: Indices, corrections: Floats) -> Colours:
    """The fill over `scene.box`, [h, w, 3]: copied from the photo and corrected; unchanged where there is no source."""
    result = scene.fill.copy()
    left, top = scene.box[:2]
    seen, sources = scene.seen, spread(grid, sources)

    def copy_block(start: int) -> None:
        rows, columns, blocks = _block(scene, grid, cells, sources, 1, RAMP, start)
        down, across = blocks[0][1:3]
        inside = np.logical_and.reduce(
            [(tile[1] == down) & (tile[2] == across) & (tile[3] > 0) for tile in blocks]
        )  # a piece, where there is nothing to blend
        for some, copy in ((np.flatnonzero(inside), _copied), (np.flatnonzero(~inside), _blended)):
            tiles: list[_Tile] = [
                (cell[some], by_rows[some], by_columns[some], weight[some], near[some])
                for cell, by_rows, by_columns, weight, near in blocks
            ]
            weights, colours = copy(seen, rows[some], columns[some], tiles, corrections)
            found = weights > 0
            result[rows[some][found] - top, columns[some][found] - left] = colours[found]

    side_by_side(copy_block, _starts(scene))
    return result


def _copied(
    photo: NDArray[np.uint8], rows: Indices, columns: Indices, tiles: list[_Tile], corrections: Floats
) -> tuple[Floats, Floats]:
    """Weights [N] and colours [N, 3] of pixels whose four tiles have the same offset."""
    added, share = np.zeros((len(rows), 3), np.float32), np.zeros(len(rows), np.float32)
    for cell, _, _, _, near in tiles:
        added += near[:, None] * corrections.take(cell, axis=0)
        share += near
    _, down, across, _, _ = tiles[0]
    return share, _at(photo, rows + down, columns + across) + added / share[:, None]


def _blended(
    photo: NDArray[np.uint8], rows: Indices, columns: Indices, tiles: list[_Tile], corrections: Floats
) -> tuple[Floats, Floats]:
    """Weights [N] and colours [N, 3] of pixels where pieces meet."""
    total, weights = np.zeros((len(rows), 3), np.float32), np.zeros(len(rows), np.float32)
    corrected = [near[:, None] * corrections.take(cell, axis=0) for cell, _, _, _, near in tiles]
    for _, down, across, weight, _ in tiles:
        # A piece's corrections are interpolated, but never across its border.
        added, share = np.zeros((len(rows), 3), np.float32), np.zeros(len(rows), np.float32)
        for (_, other_down, other_across, _, near), correction in zip(tiles, corrected, strict=True):
            same = (other_down == down) & (other_across == across)
            added += same[:, None] * correction
            share += same * near
        total += weight[:, None] * (_at(photo, rows + down, columns + across) + added / share.clip(1e-9)[:, None])
        weights += weight
    return weights, total / weights.clip(1e-9)[:, None]


def _at(photo: NDArray[np.uint8], rows: Indices, columns: Indices) -> NDArray[np.uint8]:
    """Colours of the nearest pixels inside the photo, [N, 3]."""
    height, width = photo.shape[:2]
    return photo.reshape(-1, 3).take(_within(rows, height) * width + _within(columns, width), axis=0)


def add_detail(scene: Scene, grid: Grid, cells: int, sources: Indices, stride: int) -> Colours:
    """The fill over `scene.box` plus the photo's detail finer than a grid of `cells`, from the sources of the tiles.

    Tiles of `stride` cells are blended so that the contrast of what does not belong together is kept: weights are
    scaled to a sum of squares of 1 (Heitz and Neyret, "High-performance by-example noise", 2018). Tiles of the same
    offset count as one. The fill itself is kept up to the grid's scale.
    """
    height, width = scene.hole.shape
    left, top, right, bottom = scene.box
    detail = np.empty((height, width, 3), np.float16)  # differences of 8-bit levels; half the memory
    result = np.empty_like(scene.fill)
    seen, low = scene.seen, scene.low(cells)

    def part(channel: int) -> None:
        smooth = resize(low[channel], (height, width), Image.Resampling.LANCZOS)
        result[..., channel] = smooth[top:bottom, left:right]
        np.subtract(seen[..., channel], smooth, out=detail[..., channel], dtype=np.float32, casting="unsafe")

    def add_block(start: int) -> None:
        rows, columns, blocks = _block(scene, grid, cells, sources, stride, DETAIL_RAMP, start)
        added = np.zeros((len(rows), 3), np.float32)
        square = np.zeros(len(rows), np.float32)
        for index, (_, down, across, weight, _) in enumerate(blocks):
            there = _within(rows + down, height) * width + _within(columns + across, width)
            added += weight[:, None] * detail.reshape(-1, 3).take(there, axis=0)
            square += weight**2
            for _, other_down, other_across, other, _ in blocks[:index]:
                square += 2 * weight * other * ((other_down == down) & (other_across == across))
        result[rows - top, columns - left] += added / np.sqrt(square.clip(1e-6))[:, None]

    side_by_side(part, range(3))
    side_by_side(add_block, _starts(scene))
    return result


def restore(scene: Scene, colours: Colours, cells: int) -> Colours:
    """`colours` over `scene.box` with everything coarser than a grid of `cells` as in the fill."""
    height, width = scene.hole.shape
    left, top, right, bottom = scene.box
    here = np.s_[top:bottom, left:right]
    result = colours.copy()
    low = scene.low(cells)

    def correct(channel: int) -> None:
        off = low[channel] - resize(scene.filled(colours, channel), scene.shape(cells))
        result[..., channel] += resize(off, (height, width), Image.Resampling.BICUBIC)[here]

    side_by_side(correct, range(3))
    return result


def spread(grid: Grid, sources: Indices) -> Indices:
    """Sources also for cells next to those that have one, since the hole covers a part of them."""
    result = sources.copy()
    last = len(sources) - 1
    for step in (1, -1, grid.width, -grid.width):
        cells = np.flatnonzero(sources >= 0) + step
        cells = cells[(cells >= 0) & (cells <= last)]
        cells = cells[result[cells] < 0]
        result[cells] = (sources[cells - step] + step).clip(0, last)
    return result


def _starts(scene: Scene) -> range:
    """The first rows of the blocks of a scene's box."""
    left, top, right, bottom = scene.box
    return range(top, bottom, max(1, BLOCK // (right - left)))


def _block(
    scene: Scene, grid: Grid, cells: int, sources: Indices, stride: int, ramp: float, start: int
) -> tuple[Indices, Indices, list[_Tile]]:
    """Pixels of the hole in a block, and the four tiles round them; tiles stand at every `stride`-th cell."""
    left, _, right, bottom = scene.box
    size = scene.cell(cells)
    shape = [length - 2 * MARGIN for length in grid.hole.shape]
    band = scene.hole[start : min(bottom, start + _starts(scene).step), left:right]
    rows, columns = (axis + origin for axis, origin in zip(np.nonzero(band), (start, left), strict=True))
    corners, shares = [], []
    for at, length, count in zip((rows, columns), size, shape, strict=True):
        place = ((at + 0.5) / length - 0.5) / stride
        corner = np.floor(place).astype(np.int64)
        corners.append([_within(corner, -(-count // stride)), _within(corner + 1, -(-count // stride))])
        share = (place - corner).astype(np.float32)
        shares.append([1 - share, share])
    tiles = []
    for down in (0, 1):
        for across in (0, 1):
            row, column = corners[0][down] * stride + MARGIN, corners[1][across] * stride + MARGIN
            cell = row * grid.width + column
            source = sources[cell]
            exists = (source >= 0).astype(np.float32)
            steps = [a - b for a, b in zip(unflatten(source, grid.width), (row, column), strict=True)]
            by = [
                np.rint(step * length).astype(np.int64) * (source >= 0)
                for step, length in zip(steps, size, strict=True)
            ]
            near = shares[0][down] * shares[1][across] * exists
            sharp = [
                ((part[side] - 0.5) * ramp + 0.5).clip(0, 1) for part, side in zip(shares, (down, across), strict=True)
            ]
            tiles.append((cell, by[0], by[1], (sharp[0] * sharp[1] + 1e-6) * exists, near + 1e-6 * exists))
    return rows, columns, tiles


def _within(index: Indices, length: int) -> NDArray[np.int64]:
    return index.clip(0, length - 1)
