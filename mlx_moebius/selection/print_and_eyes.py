"""Letters and eyes, which have small spots on calm ground as dust is.

What tells them from dust is round them. Print is of one ink on one ground: beside a dot lie a letter's stroke, other
letters or more dots in a row. Texture differs to both sides, print to one. An eye is both lighter and darker than the
skin, and has a light or a pupil inside; a speck covers what is behind it with one tone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.opencv import opencv
from mlx_moebius.selection.spot import Floats, Spot, frame

INK = 0.55  # of a spot's difference: what differs more is of its ink
GROUND = 0.3  # what differs less is ground
PLAIN, OTHERS = 0.6, 0.02  # share of a page that is ground at least, and that differs to the other side at most
READING = 20  # times a spot's size: how far letters are looked for
LETTERS = 3  # so many are print
LETTER = 1.5, 12  # times a spot's extent: a letter
FULL, LONG = 0.6, 2  # share of its box that a speck fills at least, and how many times longer than wide it is at most
HOLE = 0.7  # share of the farther surroundings of the spot's ink: the spot is ground, seen through a thing
WHITE, MUCH = 0.5, 0.08  # of the difference to the other side, over such a share of a spot: an eye's white or light
LIGHT = 0.4  # of the difference: how much the inside of a spot may differ from the rest of it
NOISE = 5.0  # times the ground's usual difference: what differs less is noise


def is_print_or_eye(grey: Floats, spot: Spot) -> bool:
    """Whether a spot of a grey photo [H, W] is part of a letter or of an eye."""
    return _is_eye(grey, spot) or _is_print(grey, spot)


def _is_eye(grey: Floats, spot: Spot) -> bool:
    """Whether a spot, or what is next to it, is both lighter and darker than its surroundings, or has a light in it."""
    cv2 = opencv()
    _, part, differences = spot.part(grey, 2 * spot.size + 8)
    towards = differences * np.float32(np.sign(spot.difference))
    most = _most(towards, part, spot)
    noise = NOISE * float(np.median(np.abs(frame(differences))))
    near = cv2.dilate(part.astype(np.uint8), np.ones((spot.size // 2 * 2 + 5,) * 2, np.uint8)) > 0
    if (towards[near] < -max(WHITE * most, noise)).sum() > MUCH * max(50.0, part.sum()):
        return True
    outlines, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = cv2.drawContours(np.zeros(part.shape, np.uint8), outlines, -1, 1, -1)
    inside = cv2.erode(whole, np.ones((3, 3), np.uint8)) > 0
    across = 2 * max(1, round(0.35 * spot.size)) + 1
    dips = cv2.morphologyEx(towards, cv2.MORPH_CLOSE, np.ones((across, across), np.uint8)) - towards
    return bool((dips[inside] > max(LIGHT * most, noise)).any())


def _is_print(grey: Floats, spot: Spot) -> bool:
    """Whether the ink of a spot makes letters or rows near it, or is what the spot is a hole in."""
    cv2 = opencv()
    here, row, column = spot.window(grey, READING * (spot.size + 1))
    near = grey[here]
    rows, columns = np.ogrid[-row : near.shape[0] - row, -column : near.shape[1] - column]
    distance = np.sqrt(rows * rows + columns * columns, dtype=np.float32)
    ground = np.median(near[(distance > spot.size / 2 + 3) & (distance <= spot.size + 6)])
    towards = (near - ground) * np.float32(np.sign(spot.difference))
    most = _most(towards, distance <= spot.size / 4 + 1, spot)
    ink = towards > INK * most
    if ink[(distance > 4 * spot.size + 8) & (distance <= 5 * spot.size + 14)].mean() > HOLE:
        return True
    if (np.abs(towards) < GROUND * most).mean() < PLAIN or (towards < -GROUND * most).mean() > OTHERS:
        return False
    _, numbers, figures, middles = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    centre = max(1, spot.size // 2)
    own = numbers[max(0, row - centre) : row + centre + 1, max(0, column - centre) : column + centre + 1].max()
    if not own:
        return False
    free = _free_parts(towards, ink, figures, GROUND * most)
    return _makes_print(figures, middles, int(own), free[free != own])


def _most(towards: Floats, part: NDArray[np.bool_], spot: Spot) -> float:
    return max(float(towards[part].max(initial=0)), abs(spot.difference))


def _free_parts(towards: Floats, ink: NDArray[np.bool_], figures: NDArray[np.int32], ground: float) -> NDArray[np.intp]:
    """The numbers of the parts of ink that lie within the window, each with ground round it."""
    cv2 = opencv()
    outside = cv2.dilate(ink.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    ends = figures[:, :2] + figures[:, 2:4]
    whole = (figures[:, :2] > 0).all(axis=1) & (ends < ink.shape[::-1]).all(axis=1)
    free = []
    for number in np.flatnonzero(whole):
        (left, top), (right, bottom) = (figures[number, :2] - 3).clip(0), ends[number] + 3
        round_it = towards[top:bottom, left:right][outside[top:bottom, left:right]]
        if round_it.size >= 4 and abs(float(np.median(round_it))) <= ground:
            free.append(number)
    return np.array(free, np.intp)


def _makes_print(figures: NDArray[np.int32], middles: NDArray[np.float64], own: int, others: NDArray[np.intp]) -> bool:
    """Whether parts of ink are letters for a dot: one beside it, several larger ones, or two like it in a row."""
    extents, areas = figures[:, 2:4].max(axis=1), figures[:, 4]
    extent, area = int(extents[own]), int(areas[own])
    others = others[extents[others] <= LETTER[1] * max(extent, 4)]
    starts, ends = figures[:, :2], figures[:, :2] + figures[:, 2:4]
    gaps = np.hypot(*np.maximum(starts[others] - ends[own], starts[own] - ends[others]).clip(0).T)
    if ((areas[others] >= area / 4) & (gaps <= 1.2 * extent + 1)).any():
        return True
    larger = (extents[others] >= LETTER[0] * extent) & (areas[others] >= 1.5 * area)
    sides = figures[others, 2:4]
    strokes = (areas[others] < FULL * sides.prod(axis=1)) | (sides.max(axis=1) > LONG * sides.min(axis=1))
    if (larger & strokes).sum() >= LETTERS:
        return True
    like = others[~larger & (areas[others] >= area / 2) & (areas[others] <= 2 * area)]
    x, y = (middles[like] - middles[own]).T
    far = np.maximum.outer(np.hypot(x, y), np.hypot(x, y))
    in_a_row = np.abs(np.outer(x, y) - np.outer(y, x)) <= (0.25 * extent + 0.7) * far
    in_a_row &= far <= 14 * extent + 10
    return bool(in_a_row.sum() > len(like))  # each is in a row with itself
