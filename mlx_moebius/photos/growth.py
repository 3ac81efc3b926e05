"""Growing a mask so that no rim of blur and shadow remains of what is removed: the thicker a thing, the wider its rim.

Thickness is measured at each place, not for a connected part as a whole. A fence is as thick as its wires; a person
who stands at the fence does not make its wires grow more.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.geometry import Mask, bounding_box
from mlx_moebius.photos.masks import dilate

LARGE = 0.5  # share of a photo: a larger fill has to be confirmed
LEAST = 2  # pixels in every direction, by which all of a mask grows
GROWTHS = (3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 28, 34, 40)  # pixels in every direction, for thicker bodies
PER_THICKNESS = 0.04  # pixels of growth for a pixel of thickness
CELL = 4  # thickness is measured on cells of 4 x 4 pixels: a pixel more or less does not matter
FINEST = 8  # a body ends where it is less than an eighth as thick as its core: corners belong to it, wires do not


def grow(mask: Mask, amount: int | Literal["auto"]) -> Mask:
    """The mask [H, W] grown by a square kernel of `amount` pixels (0: unchanged), or with `auto` by its thickness.

    With `auto`, a place of thickness t (the diameter of the largest disc there) grows by about 2 + 0.04 t pixels in
    every direction, at most by 40.
    """
    if amount != "auto":
        return dilate(mask, amount) if amount > 1 else mask
    return dilate(_thick_bodies_grown(mask), 2 * LEAST + 1)


def check_growth(grown: Mask, mask: Mask) -> None:
    """Refuse a mask that covers the whole photo only once it has grown. Raises MoebiusError."""
    if grown.all() and not mask.all():
        raise MoebiusError(
            f"the mask leaves {1 - mask.mean():.1%} of the photo, and nothing once it has grown: let it grow less "
            "(dilate), or leave more"
        )


def large_share(grown: Mask, mask: Mask) -> str | None:
    """Words that say how much would be filled, if that is more than half of the photo; None otherwise.

    `grown` is what `mask` grows to; its share counts.
    """
    if (share := grown.mean()) <= LARGE:
        return None
    text, covered = f"{share:.0%} of the photo would be filled", f"{mask.mean():.0%}"
    return text if text.startswith(covered) else f"{text} (the mask covers {covered}, and grows)"


def _thick_bodies_grown(mask: Mask) -> Mask:
    """The mask with its thick bodies grown, by `LEAST` pixels less than they grow in all."""
    bodies = _bodies(_whole_cells(mask))
    if not bodies or (box := bounding_box(bodies[0][1])) is None:
        return mask
    reach = -(-GROWTHS[-1] // CELL) + 1
    left, top, right, bottom = max(0, box[0] - reach), max(0, box[1] - reach), box[2] + reach, box[3] + reach
    here = np.s_[top * CELL : bottom * CELL, left * CELL : right * CELL]
    near = mask[here]
    grown = np.zeros_like(near)
    smaller = [LEAST, *(growth for growth, _ in bodies)]
    for (growth, cells), next_growth in zip(bodies[::-1], smaller[-2::-1], strict=True):
        body = cells[top:bottom, left:right].repeat(CELL, axis=1).repeat(CELL, axis=0)
        grown |= dilate(body[: near.shape[0], : near.shape[1]], 2 * CELL - 1) & near  # with the cells cut at its edge
        grown = dilate(grown, 2 * (growth - next_growth) + 1)  # the thickest bodies take part in every step
    result = mask.copy()
    result[here] |= grown
    return result


def _whole_cells(mask: Mask) -> Mask:
    """Cells [H / 4, W / 4] whose pixels are all set."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % CELL), (0, -width % CELL)), "edge")
    rows = np.logical_and.reduce([padded[row::CELL] for row in range(CELL)])
    return np.asarray(np.logical_and.reduce([rows[:, column::CELL] for column in range(CELL)]))


def _bodies(cells: Mask) -> list[tuple[int, Mask]]:
    """Growths, ascending, with the cells of the bodies thick enough for them; growths without a body are left out."""
    depth = _depth(cells, _radius(GROWTHS[-1], GROWTHS[-2]))
    found = []
    for growth, smaller in zip(GROWTHS, (LEAST, *GROWTHS), strict=False):
        radius = _radius(growth, smaller)
        core = depth >= radius
        if not core.any():
            break
        fine = max(1, radius // FINEST)
        body = cells & dilate(core, 2 * round(1.41 * radius) + 1) & dilate(depth >= fine, 2 * fine - 1)
        found.append((growth, body))
    return found


def _radius(growth: int, smaller: int) -> int:
    """Least depth, in cells, at the core of a body that grows by `growth` pixels rather than by `smaller`."""
    thickness = ((growth + smaller) / 2 - LEAST) / PER_THICKNESS
    whole = (thickness - CELL + 1) / CELL  # cells: at either edge some pixels lie in cells that are cut
    return max(1, round((whole + 1) / 2))


def _depth(cells: Mask, most: int) -> NDArray[np.uint8]:
    """Distance of each cell to the nearest cell that is not set, at most `most`; 0 for a cell that is not set.

    The octagonal distance (Rosenfeld, Pfaltz, "Distance functions on digital pictures", 1968): steps to 4 and to 8
    neighbours in turn. Beyond the edge nothing is set.
    """
    depth = np.zeros(cells.shape, np.uint8)
    left = np.pad(cells, 1)
    for step in range(most):
        depth += left[1:-1, 1:-1]
        across = left[:, :-2] & left[:, 1:-1] & left[:, 2:]
        above, below = (across[:-2], across[2:]) if step % 2 else (left[:-2, 1:-1], left[2:, 1:-1])
        inner = across[1:-1] & above & below
        if not inner.any():
            break
        left = np.pad(inner, 1)
    return depth
