"""A scene, which is a part of a photo, on coarse grids: colours, what is known, what may be copied, and texture.

All grids cover the same scene. A grid of `n` cells has n cells along the longer side. Colours are
float32 RGB in 8-bit levels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.inpainting.push_pull import continued, push_pull
from mlx_moebius.photos.geometry import Box, Colours, Mask
from mlx_moebius.photos.masks import dilate
from mlx_moebius.side_by_side import side_by_side

Floats = NDArray[np.float32]
Shape = tuple[int, int]

MARGIN = 4  # cells added round a grid, so that no patch leaves it
BASES = (256, 768)  # cells of the grids that others are made from: the coarsest that is at least twice as fine
CONTINUED = 256  # cells along what is unknown, in which it is continued
TEXTURE_SCALES = (1, 3, 9)  # pixels
TEXTURE_WEIGHT = 4.0
TEXTURE_RIM = 19  # a kernel in pixels: contrast near the hole is the edge of the hole


@dataclass(frozen=True, eq=False)
class Grid:
    """A scene in cells, with a margin of `MARGIN` cells that are neither known nor to be filled.

    `colours` [R, C, 3]: means of the known pixels; the fill in the hole; elsewhere what continues both. `known`,
    `hole`, `excluded` (not to be copied; holds the hole) [R, C] bool.
    """

    scene: Scene

    colours: Floats
    known: Mask
    hole: Mask
    excluded: Mask

    @cached_property
    def texture(self) -> Floats:
        """Square roots of local contrasts at three scales, continued into the hole, [R, C, 3]."""
        rows, columns = self.hole.shape
        return self.scene.texture((rows - 2 * MARGIN, columns - 2 * MARGIN))

    @property
    def width(self) -> int:
        """Cells across, with the margin."""
        return self.hole.shape[1]


@dataclass(frozen=True, eq=False)
class Scene:
    """A part of a photo, uint8 [H, W, 3], in which detail is grown, and the fill, float32 [h, w, 3] over `box`.

    Read `seen`, not `photo`: what the photo holds where it is unknown must not be used.
    `hole` [H, W] is what to grow; `unknown` adds all other pixels without true colours; `excluded` adds what must
    not be copied.
    """

    photo: NDArray[np.uint8]
    hole: Mask
    unknown: Mask
    excluded: Mask
    fill: Colours
    box: Box

    @cached_property
    def seen(self) -> NDArray[np.uint8]:
        """The photo, with smooth colours where it is unknown."""
        return continued(self.photo, self.unknown, CONTINUED)

    def prepare(self) -> None:
        """Compute now what is needed later in any case."""
        self._parts(BASES[0] // 2)

    @property
    def side(self) -> int:
        """The longer side in pixels."""
        return max(self.hole.shape)

    def shape(self, cells: int) -> Shape:
        """Rows and columns of a grid, without its margin."""
        rows, columns = (max(1, round(length * cells / self.side)) for length in self.hole.shape)
        return rows, columns

    def cell(self, cells: int) -> tuple[float, float]:
        """Height and width of a cell in pixels."""
        rows, columns = self.shape(cells)
        return self.hole.shape[0] / rows, self.hole.shape[1] / columns

    def filled(self, fill: Colours, channel: int) -> Floats:
        """A channel of the photo with a fill over `box`, [H, W]."""
        left, top, right, bottom = self.box
        here = np.s_[top:bottom, left:right]
        values = self.seen[..., channel].astype(np.float32)
        values[here] = np.where(self.hole[here], fill[..., channel], values[here])
        return values

    def low(self, cells: int) -> list[Floats]:
        """The channels of the photo with its fill, [R, C] each, without a margin."""
        return self._low(self.shape(cells))

    def _low(self, shape: Shape) -> list[Floats]:
        return side_by_side(lambda channel: resize(self.filled(self.fill, channel), shape), range(3))

    @cached_property
    def _bases(self) -> dict[Shape, dict[str, Floats]]:
        return {}

    @cached_property
    def _textures(self) -> dict[Shape, tuple[Floats, Floats]]:
        return {}

    def _base(self, cells: int) -> Shape:
        """The grid from which a grid of so many cells is made."""
        return self.shape(next((base for base in BASES if 2 * cells <= base < self.side), min(self.side, BASES[-1])))

    def _parts(self, cells: int) -> dict[str, Floats]:
        """Sums that a grid is made from; unknown pixels weigh nothing."""
        shape = self._base(cells)
        if shape not in self._bases:
            known = (~self.unknown).astype(np.float32)
            seen = self.seen
            masks = resized((known, self.hole, self.excluded), shape)
            colours = side_by_side(lambda channel: resize(seen[..., channel] * known, shape), range(3))
            self._bases[shape] = dict(zip(("known", "hole", "excluded"), masks, strict=True)) | {
                "colours": np.stack(colours, axis=-1),
                "fill": np.stack(self._low(shape), axis=-1),
            }
        return self._bases[shape]

    def texture(self, shape: Shape) -> Floats:
        """Texture of a grid, weighted, with its margin."""
        base = self._base(max(shape))
        if base not in self._textures:
            smooth = (~dilate(self.unknown, TEXTURE_RIM)).astype(np.float32)
            grey: Floats = np.asarray(self.seen @ np.full(3, 1 / 3, np.float32), np.float32)
            contrasts = side_by_side(lambda scale: resize(contrast(grey, scale) * smooth, base), TEXTURE_SCALES)
            self._textures[base] = np.stack(contrasts, axis=-1), resize(smooth, base)
        contrasts_there, smooth_there = (resize(values, shape) for values in self._textures[base])
        rough = smooth_there > 0.9 * smooth_there.max()
        texture = push_pull(contrasts_there / smooth_there.clip(1e-3)[..., None], rough)
        return _margin(TEXTURE_WEIGHT * texture)

    def grid(self, cells: int) -> Grid:
        """The scene in cells. A cell is to be filled where the hole covers more than half of it."""
        shape = self.shape(cells)
        part = {name: resize(values, shape) for name, values in self._parts(cells).items()}
        hole = part["hole"] > 0.5
        known = (part["known"] > 0.5) & ~hole
        # On coarse grids a cell that holds a few excluded pixels is still the mean of its known ones.
        excluded = hole | ~known | (part["excluded"] > (0.5 if cells < 60 else 0.02))
        colours = np.where(known[..., None], part["colours"] / part["known"].clip(1e-3)[..., None], part["fill"])
        return Grid(
            self,
            _margin(colours),
            np.pad(known, MARGIN),
            np.pad(hole, MARGIN),
            np.pad(excluded, MARGIN, constant_values=True),
        )


def contrast(grey: Floats, scale: int) -> Floats:
    """Square root of the differences between neighbours of `scale` pixels, [H, W] -> [H, W]."""
    height, width = grey.shape
    small = grey if scale == 1 else resize(grey, (max(1, height // scale), max(1, width // scale)))
    steps = np.abs(np.diff(small, axis=0, append=small[-1:])) + np.abs(np.diff(small, axis=1, append=small[:, -1:]))
    return np.sqrt(steps if scale == 1 else resize(steps, grey.shape, Image.Resampling.BILINEAR))


def resize(values: Floats, shape: Shape, resample: Image.Resampling = Image.Resampling.BOX) -> Floats:
    """[H, W] or [H, W, C] -> [rows, columns(, C)], by area means unless said otherwise."""
    if values.shape[:2] == shape:
        return values
    if values.ndim == 3:
        return np.stack(resized(np.moveaxis(values, -1, 0), shape, resample), axis=-1)
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(image.resize(shape[::-1], resample))


def resized(
    planes: Iterable[NDArray[np.generic]], shape: Shape, resample: Image.Resampling = Image.Resampling.BOX
) -> list[Floats]:
    """Each of some [H, W] as `resize` makes it."""
    return side_by_side(lambda values: resize(values.astype(np.float32, copy=False), shape, resample), planes)


def regrid(values: Floats, grid: Grid) -> Floats:
    """Values [R, C, K] of one grid, with its margin, on another, smoothly."""
    rows, columns = (length - 2 * MARGIN for length in grid.hole.shape)
    inner = values[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return _margin(resize(inner, (rows, columns), Image.Resampling.BICUBIC))


def box_sum(values: NDArray[np.generic], radius: int) -> Floats:
    """Sums over (2 radius + 1) x (2 radius + 1) cells, [..., R, C] -> [..., R, C]; beyond the edges lie zeros."""
    rows, columns = values.shape[-2:]
    side = 2 * radius + 1
    padded = np.zeros((*values.shape[:-2], rows + side, columns + side), np.float64)
    padded[..., radius + 1 : radius + 1 + rows, radius + 1 : radius + 1 + columns] = values
    np.cumsum(padded, axis=-2, out=padded)
    strips = padded[..., side:, :] - padded[..., :-side, :]
    np.cumsum(strips, axis=-1, out=strips)
    sums: Floats = (strips[..., side:] - strips[..., :-side]).astype(np.float32)
    return sums


def squared(differences: Floats) -> Floats:
    """Squared lengths of differences in colour, [..., 3] -> [...]; NumPy's own sum is slow along a short axis."""
    red, green, blue = np.moveaxis(differences * differences, -1, 0)
    return np.asarray(red + green + blue)


def near(mask: Mask, radius: int) -> Mask:
    """Whether any cell within `radius` is True."""
    return dilate(mask, 2 * radius + 1) if radius else mask


def unflatten(cells: NDArray[np.int64], width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of flat indices."""
    rows, columns = np.divmod(cells, width)
    return rows, columns


def _margin(values: Floats) -> Floats:
    return np.pad(values, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), "edge")
