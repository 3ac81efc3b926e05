"""An object, found from a box, a lasso or a rough line, and corrected by strokes.

Two steps: a cut between the colours of the object and of its surroundings, on the surroundings reduced to a few
hundred pixels (Rother, Kolmogorov, Blake, "GrabCut", 2004); then the edge at the photo's own resolution (`edges.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.errors import MoebiusError
from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Box, Mask, bounding_box, intersection
from mlx_moebius.selection.colours import lab
from mlx_moebius.selection.edges import Guide

Point = tuple[float, float]
"""x, y in pixels of the upright photo."""

PIXELS = 100_000  # in which colours are told apart
AROUND = 0.25  # of the longer side of the box: what is seen of the surroundings
ROUND_LINE = 0.75  # of a line's extent: how far the object that it crosses may reach beyond it
ROUNDS = 2  # of the cut for the first outline
REACH = 16  # pixels of the reduced photo round a stroke, and round what has its colours, that it may change
ROUND_IT = 0.1  # share of what a stroke would add that may lie outside the box
NEARLY_ALL = 0.5  # of the thing: a stroke that would take away more takes what is near it
COARSE = 2  # the colours of both sides are learnt again, after a stroke, from a picture reduced by this
NEAR = 16
CAUTION = 0.5
SMALLEST = 0.02  # of the largest part: smaller parts and holes are left out, unless a stroke is in them
ALIKE = 3.0  # levels by which colours of one surface differ at least
LIGHT = np.array([0.6, 1.4, 1.4], np.float32)  # weight of lightness, a and b: shadows differ in lightness alone
LINE, WIDEST = 4, 400  # pixels of the reduced photo: width of a rough line, and most of a stroke
FAR = 8000  # pixels of the reduced photo: points farther away are moved there
LEAST = 4  # pixels: a box or lasso must be as large


class ObjectCut:
    """An object being selected. Strokes correct it one after the other; `mask` is what is selected now.

    cut = ObjectCut(photo.rgb(), box=(100, 50, 300, 350))
    cut.add([(120, 90), (140, 95)], width=20)
    """

    def __init__(
        self,
        rgb: NDArray[np.uint8],
        box: Box | None = None,
        lasso: Sequence[Point] = (),
        line: Sequence[Point] = (),
    ) -> None:
        """Select what lies in a box, in a lasso or below a line.

        Args:
            rgb: the photo, uint8 [H, W, 3].
            box: left, top, right, bottom in pixels; all of the object is inside.
            lasso: corners of a polygon round the object.
            line: points of a line drawn over the object.

        Raises MoebiusError where this is outside the photo or too small.
        """
        if sum((box is not None, len(lasso) > 0, len(line) > 0)) != 1:
            raise MoebiusError("an object is selected by one of a box, a lasso and a line")
        cv2 = opencv()
        self.rgb = rgb
        whole: Box = (0, 0, rgb.shape[1], rgb.shape[0])
        points = np.array(lasso or line, np.float64).reshape(-1, 2)
        wanted = box or _box_of(points, len(line) > 0)
        inside = intersection(wanted, whole)
        if inside is None or min(inside[2] - inside[0], inside[3] - inside[1]) < LEAST:
            raise MoebiusError(
                f"what was drawn is outside the photo ({whole[2]} x {whole[3]} pixels) or smaller than {LEAST} pixels"
            )
        margin = int(AROUND * max(inside[2] - inside[0], inside[3] - inside[1])) + LEAST
        grown = (inside[0] - margin, inside[1] - margin, inside[2] + margin, inside[3] + margin)
        self.seen: Box = intersection(grown, whole) or whole
        left, top, right, bottom = self.seen
        self.scale = min(1.0, float(np.sqrt(PIXELS / ((right - left) * (bottom - top)))))
        size = max(1, round((right - left) * self.scale)), max(1, round((bottom - top) * self.scale))
        self.small = cv2.resize(rgb[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
        self.models = np.zeros((1, 65)), np.zeros((1, 65))
        self.certain = np.full(self.small.shape[:2], -1, np.int8)  # what strokes say: 1 object, 0 surroundings
        possible = np.zeros(self.small.shape[:2], np.uint8)
        if len(lasso):
            cv2.fillPoly(possible, [self._reduced(points)], 1)
        else:
            corners = self._reduced(np.array([inside[:2], inside[2:]]))
            possible[corners[0, 1] : corners[1, 1], corners[0, 0] : corners[1, 0]] = 1
        self.possible = possible > 0
        if not self.possible.any() or self.possible.all():
            raise MoebiusError("the object needs surroundings to be told from: draw a smaller box or lasso")
        self.labels = self._guess()
        if len(line):
            self._draw(points, 1, LINE / self.scale)
        self._cut()

    def add(self, points: Sequence[Point], width: float = 1) -> None:
        """Take what is below a stroke of `width` pixels, and what belongs to it."""
        self._stroke(points, 1, width)

    def remove(self, points: Sequence[Point], width: float = 1) -> None:
        """Leave out what is below a stroke of `width` pixels, and what belongs to it."""
        self._stroke(points, 0, width)

    def mask(self) -> Mask:
        """What is selected, bool [H, W] of the photo, with its edge at the photo's own resolution."""
        cv2 = opencv()
        left, top, right, bottom = self.seen
        chosen = self._whole_parts().astype(np.uint8) * np.uint8(255)
        rough = cv2.resize(chosen, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR) > 127
        mask = np.zeros(self.rgb.shape[:2], bool)
        mask[top:bottom, left:right] = self._guide.snap(rough) if rough.any() else rough
        return mask

    @cached_property
    def _guide(self) -> Guide:
        left, top, right, bottom = self.seen
        return Guide(self.rgb[top:bottom, left:right], round(1.5 / self.scale) if self.scale < 1 else 1)

    def _stroke(self, points: Sequence[Point], label: int, width: float) -> None:
        drawn = self._draw(np.array(points, np.float64).reshape(-1, 2), label, width)
        if not drawn.any():
            return
        cv2 = opencv()
        alike, before = self._belongs(drawn, label), self.labels % 2 == label
        self.labels[alike & (self.certain < 0)] = cv2.GC_PR_FGD if label else cv2.GC_PR_BGD
        self._cut_near(alike, before)

    def _draw(self, points: NDArray[np.float64], label: int, width: float) -> Mask:
        cv2 = opencv()
        drawn = np.zeros(self.certain.shape, np.uint8)
        path = self._reduced(points)
        thickness = int(min(max(1.0, round(width * self.scale)), WIDEST))
        cv2.polylines(drawn, [np.concatenate([path[:1], path])], False, 1, thickness)  # a point alone is a dot
        self.certain[drawn > 0] = label
        return drawn > 0

    def _belongs(self, drawn: Mask, label: int) -> Mask:
        """What has the colours below a stroke and hangs together with it.

        Near the stroke alone, where that would add what lies round the thing, or take away most of it.
        """
        cv2 = opencv()
        colours = lab(self.small)
        middle, spread = colours[drawn].mean(axis=0), colours[drawn].std(axis=0) + ALIKE
        alike = (np.abs(colours - middle) < 2 * spread).all(axis=-1) | drawn
        count, numbers = cv2.connectedComponents(alike.astype(np.uint8), connectivity=4)
        touched = np.zeros(count, bool)
        touched[numbers[drawn]] = True
        belongs: Mask = touched[numbers]
        chosen = np.isin(self.labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
        outside = (belongs & ~self.possible & ~chosen).sum() if label else (belongs & chosen).sum()
        if outside > (ROUND_IT * (belongs & ~chosen).sum() if label else NEARLY_ALL * chosen.sum()):
            left, top, right, bottom = bounding_box(drawn) or (0, 0, 1, 1)
            reach = max(REACH, max(right - left, bottom - top) // 2)
            belongs &= cv2.dilate(drawn.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
        return belongs

    def _guess(self) -> NDArray[np.uint8]:
        """Labels to begin with: inside the box, what differs from its surroundings continued into it."""
        cv2 = opencv()
        colours = lab(self.small) * LIGHT
        outside = (~self.possible).astype(np.float32)
        sigma = max(self.small.shape[:2]) / NEAR
        weight = cv2.GaussianBlur(outside, (0, 0), sigma).clip(1e-6)
        continued = cv2.GaussianBlur(colours * outside[..., None], (0, 0), sigma) / weight[..., None]
        difference = np.linalg.norm(colours - continued, axis=-1)[self.possible]
        steps = np.rint(difference * 2).clip(0, 255).astype(np.uint8)
        threshold, _ = cv2.threshold(steps.reshape(-1, 1), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        labels = np.full(self.possible.shape, cv2.GC_BGD, np.uint8)
        labels[self.possible] = np.where(steps > CAUTION * threshold, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
        return labels

    def _cut(self) -> None:
        """The first cut, which learns the colours of both sides."""
        cv2 = opencv()
        if self._both_sides():
            cv2.setRNGSeed(0)  # its first clusters are drawn by chance: the same box gives the same outline
            cv2.grabCut(self.small, self.labels, None, *self.models, ROUNDS, cv2.GC_INIT_WITH_MASK)

    def _cut_near(self, alike: Mask, before: Mask) -> None:
        """Cut again near what a stroke has the colours of; the rest stays as it is.

        `before` is what was already as the stroke wants it: one that adds takes nothing away.
        """
        cv2 = opencv()
        if not self._both_sides():
            return
        if not self.models[0].any():  # nothing was cut so far
            self._cut()
            return
        few = np.s_[::COARSE, ::COARSE]
        learnt = np.ascontiguousarray(self.labels[few])
        if len(np.unique(learnt % 2)) == 2:  # object is odd, surroundings are even
            cv2.grabCut(np.ascontiguousarray(self.small[few]), learnt, None, *self.models, 1, cv2.GC_EVAL)
        free = cv2.dilate(alike.astype(np.uint8), np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)) > 0
        free &= ~before
        left, top, right, bottom = bounding_box(free) or (0, 0, 1, 1)
        here = np.s_[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1]
        labels = np.where(free, self.labels, self.labels % 2)[here]  # what is not free is certain
        if len(np.unique(labels % 2)) == 2:
            cv2.grabCut(np.ascontiguousarray(self.small[here]), labels, None, *self.models, 1, cv2.GC_EVAL_FREEZE_MODEL)
            self.labels[here] = np.where(free[here], labels, self.labels[here])

    def _both_sides(self) -> bool:
        """Set the labels that strokes are certain of; whether there are an object and something else."""
        cv2 = opencv()
        self.labels[self.certain == 1] = cv2.GC_FGD
        self.labels[self.certain == 0] = cv2.GC_BGD
        kinds = np.isin(self.labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
        return bool(kinds.any() and not kinds.all())

    def _whole_parts(self) -> Mask:
        """What the cut says, without specks and pinholes that no stroke has asked for."""
        cv2 = opencv()
        chosen = np.isin(self.labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
        for value in (True, False):
            _, numbers, figures, _ = cv2.connectedComponentsWithStats((chosen == value).astype(np.uint8))
            areas = figures[:, cv2.CC_STAT_AREA]
            least = SMALLEST * (chosen.sum() if not value else areas[1:].max(initial=0))
            left_out = areas < least
            left_out[0] = False
            left_out[numbers[self.certain == int(value)]] = False
            chosen[left_out[numbers]] = not value
        return chosen

    def _reduced(self, points: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.int32]:
        return np.rint((points - np.array(self.seen[:2])) * self.scale).clip(-FAR, FAR).astype(np.int32)


def select_object(
    rgb: NDArray[np.uint8], box: Box | None = None, lasso: Sequence[Point] = (), line: Sequence[Point] = ()
) -> Mask:
    """The object in a box, in a lasso or below a line, bool [H, W]; see `ObjectCut`.

    Raises MoebiusError where nothing there differs from its surroundings.
    """
    mask = ObjectCut(rgb, box, lasso, line).mask()
    if not mask.any():
        raise MoebiusError("nothing there differs from its surroundings: draw a smaller box, or a lasso")
    return mask


def _box_of(points: NDArray[np.float64], is_line: bool) -> Box:
    low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0)) + 1
    more = ROUND_LINE * (high - low).max() if is_line else 0
    return int(low[0] - more), int(low[1] - more), int(high[0] + more), int(high[1] + more)
