"""Hairs, fibres and scratches of scans: thin lines by themselves, straight or bent, in calm surroundings.

Means along short lines of many directions are compared with those on both sides. A line is kept if it is long and thin,
ends in the photo or leaves it at one place only, and if hardly anything near it answers as strongly: branches, letters,
edges of things and wires that reach something are left as they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Mask

Floats = NDArray[np.float32]
USUAL = 0.5  # sensitivity
CLEAREST, FAINTEST = 9.0, 4.0  # how many times a line answers more than what is round it, at sensitivity 0 and 1
LEVELS = (1.0, 1.5, 2.2)  # times as clear: what hangs together with something fainter may be a line by itself there
VISIBLE = 2.5  # levels: what answers less is no line
GOES_ON = 0.5  # of both: a line goes on where it is fainter
WIDTHS = (0.7, 1.6)  # standard deviations of a line's profile, in pixels
ALONG = 6.0  # the same along it
TURNS = 12  # directions
AROUND = 81  # pixels across the surroundings with which answers are compared
SHORTEST = 48  # pixels of a line
CLEAR_SHARE = 0.3  # of a line must be clear, not only go on
ROOM = 18  # pixels round a line that must be calm
BUSY, AS_MUCH = 0.03, 0.6  # share of them that may answer by this share of the line's answer
EVEN, LEVEL = 0.5, 41  # of the line's answer: how unlike its two sides may be, over so many pixels
OWN = 0.35  # of the line's difference: what differs less beside it is not part of it
RIM = 2  # pixels


def find_hairs(rgb: NDArray[np.uint8], sensitivity: float = USUAL) -> Mask:
    """Hairs and scratches in a photo uint8 [H, W, 3], with a rim, bool [H, W]. `sensitivity` is 0 to 1."""
    cv2 = opencv()
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    steps = grey - cv2.blur(grey, (LEVEL, LEVEL))
    least = CLEAREST * (FAINTEST / CLEAREST) ** sensitivity
    found = np.zeros(grey.shape, np.uint8)
    for width in WIDTHS:
        answer = _strongest(grey, width)
        strength = np.abs(answer)
        clarity = strength / (cv2.blur(strength, (AROUND, AROUND)) + 0.3)
        for side in (answer > 0, answer < 0):  # lighter or darker than what is beside it
            for level in LEVELS:
                clear = side & (clarity > level * least) & (strength > VISIBLE)
                goes_on = side & (clarity > GOES_ON * level * least) & (strength > GOES_ON * VISIBLE)
                _keep_lines(found, (strength, steps), clear, goes_on, width)
    rim = np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8)
    return np.asarray(cv2.dilate(found, rim) > 0)


def _strongest(grey: Floats, width: float) -> Floats:
    """The answer, of all directions, that differs most from 0: above for a light line, below for a dark one.

    An answer is how much a line differs from that of its two sides that is more like it: the edge of a thing, which is
    like one of its sides, answers nowhere.
    """
    height, across = grey.shape
    beside = round(2 * width + 1.5)
    padded = np.pad(grey, beside, "edge")
    best = np.zeros_like(grey)
    for turn in range(TURNS):
        angle = np.pi * turn / TURNS
        means = opencv().filter2D(padded, opencv().CV_32F, _kernel(width, angle), borderType=opencv().BORDER_REPLICATE)
        down, right = round(beside * np.cos(angle)), round(-beside * np.sin(angle))
        line, one, other = (
            means[beside + side * down :, beside + side * right :][:height, :across] for side in (0, 1, -1)
        )
        answer = line - line.clip(np.minimum(one, other), np.maximum(one, other))
        np.copyto(best, answer, where=np.abs(answer) > np.abs(best))
    return best


def _kernel(width: float, angle: float) -> Floats:
    """The mean along a line."""
    reach = int(2.2 * ALONG)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kernel = np.exp(-(along**2) / (2 * ALONG**2) - across**2 / (2 * width**2)) * (np.hypot(x, y) <= reach)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _keep_lines(
    found: NDArray[np.uint8], pictures: tuple[Floats, Floats], clear: Mask, goes_on: Mask, width: float
) -> None:
    """Mark in `found` what hangs together and is a line by itself. `pictures`: how strong answers are, and steps."""
    cv2 = opencv()
    strength, steps = pictures
    _, numbers, figures, _ = cv2.connectedComponentsWithStats(goes_on.astype(np.uint8), connectivity=8)
    clear_pixels = np.bincount(numbers[clear], minlength=len(figures))
    areas = figures[:, cv2.CC_STAT_AREA]
    lengths = figures[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1)
    thin = areas < 1.6 * (4 * width + 5) * lengths
    likely = thin & (lengths >= SHORTEST) & (clear_pixels >= CLEAR_SHARE * areas)
    likely[0] = False
    height, width_of_photo = strength.shape
    ends = np.array([0, 0, width_of_photo, height])
    for number in np.flatnonzero(likely):
        left, top, across, down = figures[number, :4]
        if (np.array([left, top, left + across, top + down]) == ends).sum() > 1:
            continue  # a wire from one side of the photo to another
        here = np.s_[max(0, top - ROOM) : top + down + ROOM, max(0, left - ROOM) : left + across + ROOM]
        line = (numbers[here] == number).astype(np.uint8)
        if _is_by_itself(line, strength[here], steps[here], width):
            found[here] |= _own(line, steps[here])


def _own(line: NDArray[np.uint8], steps: Floats) -> NDArray[np.uint8]:
    """What differs of what answers: filters answer beyond a line's ends and beside it, too."""
    cv2 = opencv()
    beside = cv2.dilate(line, np.ones((2 * ROOM + 1, 2 * ROOM + 1), np.uint8)) - line
    differences = cv2.GaussianBlur(steps, (0, 0), 0.8) - np.float32(np.median(steps[beside > 0]))
    middle = np.median(differences[line > 0])
    clearest = np.percentile(differences[line > 0] * np.sign(middle), 80)
    return np.asarray(line & (differences * np.sign(middle) > OWN * clearest))


def _is_by_itself(line: NDArray[np.uint8], strength: Floats, steps: Floats, width: float) -> bool:
    """Whether hardly anything near a line answers as strongly, and both its sides are alike: it is no edge."""
    cv2 = opencv()
    own, room = int(4 * width) + 9, 2 * ROOM + 1
    near = cv2.dilate(line, np.ones((room, room), np.uint8)) > 0
    near &= ~(cv2.dilate(line, np.ones((own, own), np.uint8)) > 0)
    typical = np.median(strength[line > 0])
    if not near.any() or steps[near].std() > EVEN * typical:
        return False
    return bool((strength[near] > AS_MUCH * typical).mean() < BUSY)
