"""The shadow of what is selected: darker than the ground round it, of the same colour, and touching the thing.

Only a proposal. What is dark for another reason and touches the thing looks the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Box, Mask, bounding_box, intersection
from mlx_moebius.selection.colours import lab
from mlx_moebius.selection.edges import snap

SIDE = 300  # pixels of the longer side in which the shadow is looked for
AROUND = 0.6  # of the thing's longer side: how far its shadow may reach
DARK, DARKEST = 0.85, 0.2  # of the light of the ground: a shadow is between
TINT = 14.0  # levels in a and b by which a shadow's colour may differ from the ground's
LEAST, MOST = 0.02, 1.0  # of the thing's area: what else is no shadow of it
ROUNDS = 3  # in which the ground is told from what is darker


def shadow_of(rgb: NDArray[np.uint8], thing: Mask) -> Mask:
    """The shadow of a thing [H, W] in a photo uint8 [H, W, 3], without the thing; nothing where there is none."""
    cv2 = opencv()
    nothing = np.zeros(thing.shape, bool)
    box = bounding_box(thing)
    if box is None:
        return nothing
    margin = int(AROUND * max(box[2] - box[0], box[3] - box[1])) + 8
    whole: Box = (0, 0, thing.shape[1], thing.shape[0])
    grown = (box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin)
    left, top, right, bottom = intersection(grown, whole) or whole
    here = np.s_[top:bottom, left:right]
    scale = min(1.0, SIDE / max(right - left, bottom - top))
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    small = cv2.resize(rgb[here], size, interpolation=cv2.INTER_AREA)
    inside = cv2.resize(thing[here].astype(np.uint8), size, interpolation=cv2.INTER_AREA) > 0
    near = cv2.dilate(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    colours = lab(cv2.GaussianBlur(small, (0, 0), 1.5))
    ground, sigma = (~near).astype(np.float32), max(size) / 8
    for _ in range(ROUNDS):
        weight = cv2.GaussianBlur(ground, (0, 0), sigma)[..., None].clip(1e-6)
        level = cv2.GaussianBlur(colours * ground[..., None], (0, 0), sigma) / weight
        light = (colours[..., 0] + 1) / (level[..., 0] + 1)
        ground = ((~near) & (light > DARK)).astype(np.float32)
    tint = np.abs(colours[..., 1:] - level[..., 1:]).max(axis=-1)
    dark = (light < DARK) & (light > DARKEST) & (tint < TINT) & ~inside
    dark = cv2.morphologyEx(dark.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    dark = cv2.morphologyEx(dark, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    _, numbers, figures, _ = cv2.connectedComponentsWithStats(dark)
    touching = np.unique(numbers[near & (numbers > 0)])
    sides = {"top": numbers[0], "bottom": numbers[-1], "left": numbers[:, 0], "right": numbers[:, -1]}
    ends = {"top": top == 0, "bottom": bottom == whole[3], "left": left == 0, "right": right == whole[2]}
    outside = np.concatenate([[0], *(numbers for side, numbers in sides.items() if not ends[side])])
    touching = np.setdiff1d(touching, outside)  # what goes on far from the thing is another's shade
    areas = figures[touching, cv2.CC_STAT_AREA]
    fitting = touching[(areas >= LEAST * inside.sum()) & (areas <= MOST * inside.sum())]
    found = cv2.dilate((np.isin(numbers, fitting) & (numbers > 0)).astype(np.uint8), np.ones((3, 3), np.uint8))
    rough = cv2.resize(found * np.uint8(255), (right - left, bottom - top), interpolation=cv2.INTER_LINEAR) > 127
    nothing[here] = snap(rgb[here], rough, round(1.5 / scale)) & ~thing[here]
    return nothing
