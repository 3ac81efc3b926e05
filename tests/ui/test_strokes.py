"""Strokes become exactly the pixels that they cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.ui import strokes as module
from mlx_moebius.ui.strokes import rasterise, read_strokes

WIDTH, HEIGHT = 83, 61
Y, X = np.mgrid[:HEIGHT, :WIDTH] + 0.5


def near(points: list[list[float]], radius: float) -> Mask:
    """Pixels whose centres are within a distance of a polyline, by the formula for one segment after the other."""
    nearest = np.full((HEIGHT, WIDTH), np.inf)
    for one, other in zip(points[:-1] or points, points[1:] or points, strict=True):
        (x1, y1), (x2, y2) = one, other
        length = (x2 - x1) ** 2 + (y2 - y1) ** 2
        share = (((X - x1) * (x2 - x1) + (Y - y1) * (y2 - y1)) / (length or 1)).clip(0, 1)
        nearest = np.minimum(nearest, np.hypot(X - x1 - share * (x2 - x1), Y - y1 - share * (y2 - y1)))
    return np.asarray(nearest <= radius)


def drawn(*values: dict[str, Any]) -> Mask:
    return rasterise(read_strokes(list(values)), WIDTH, HEIGHT)


@pytest.mark.parametrize("size", [1.5, 2, 7, 40, 300])
@pytest.mark.parametrize(
    "points",
    [
        [[20, 20]],
        [[10.3, 10.8], [50.1, 33.2], [20, 60]],
        [[5, 30], [70, 30]],
        [[30, 5], [30, 55]],
        [[-20, -9], [200, 90]],
    ],
)
def test_a_polyline_swept_by_a_disc(points: list[list[float]], size: float) -> None:
    assert np.array_equal(drawn({"tool": "brush", "size": size, "points": points}), near(points, size / 2))


def test_a_line_of_one_pixel_is_what_it_passes() -> None:
    line = drawn({"tool": "brush", "size": 1, "points": [[2.5, 3.5], [40.5, 20.5]]})
    along = np.linspace([2.5, 3.5], [40.5, 20.5], 100_000)
    passed = np.zeros_like(line)
    passed[np.floor(along[:, 1]).astype(int), np.floor(along[:, 0]).astype(int)] = True
    assert np.array_equal(line, passed)
    dot = drawn({"tool": "brush", "size": 1, "points": [[7.2, 9.9]]})
    assert np.argwhere(dot).tolist() == [[9, 7]]
    for points in ([[3, 5.5], [9.9, 5.5]], [[9.9, 5.5], [3, 5.5]]):
        level = drawn({"tool": "brush", "size": 1, "points": points})
        assert np.argwhere(level).tolist() == [[5, x] for x in range(3, 10)]


def test_eraser_rectangles_and_clear_follow_one_another() -> None:
    box = {"tool": "rect", "size": 1, "points": [[30.6, 20.4], [10.2, 5]]}
    mask = drawn(box)
    assert mask.sum() == mask[5:20, 10:31].sum() == 15 * 21
    hole = {"tool": "erase", "size": 5, "points": [[20, 12]]}
    assert np.array_equal(drawn(box, hole), mask & ~near([[20, 12]], 2.5))
    assert np.array_equal(drawn(hole, box), mask)
    assert drawn(box, {"tool": "erase_rect", "points": [[10, 5], [31, 19]]}).sum() == 21
    assert not drawn(box, {"tool": "clear"}).any()
    assert drawn({"tool": "rect", "points": [[4.1, 4.1], [4.2, 4.2]]}).sum() == 1
    assert not drawn({"tool": "rect", "points": [[-9, -9], [-2, 900]]}).any()


def test_a_mask_from_a_file_is_a_stroke_like_any_other() -> None:
    loaded = near([[40, 30]], 8)
    strokes = read_strokes(
        [{"tool": "mask", "mask": "m", "size": 0, "points": []}, {"tool": "erase", "size": 4, "points": [[40, 30]]}]
    )
    assert np.array_equal(rasterise(strokes, WIDTH, HEIGHT, {"m": loaded}), loaded & ~near([[40, 30]], 2))
    for masks in ({}, {"m": loaded[1:]}):
        with pytest.raises(MoebiusError, match="load it again"):
            rasterise(strokes, WIDTH, HEIGHT, masks)


def test_many_segments_are_worked_on_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).uniform(0, 60, (40, 2)).tolist()
    stroke = {"tool": "brush", "size": 3, "points": points}
    whole = drawn(stroke)
    monkeypatch.setattr(module, "AT_ONCE", 50)
    assert np.array_equal(drawn(stroke), whole)
    monkeypatch.setattr(module, "MAX_RUNS", 50)
    with pytest.raises(MoebiusError, match="too long"):
        drawn(stroke)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("brush", "must be a list"),
        (["brush"], "must be an object"),
        ([{"tool": "spray", "points": [[1, 2]]}], "tool must be brush or erase"),
        ([{"tool": "brush", "size": -1, "points": [[1, 2]]}], "size must be"),
        ([{"tool": "brush", "size": float("nan"), "points": [[1, 2]]}], "size must be"),
        ([{"tool": "brush", "points": []}], "must be a list of 1 to"),
        ([{"tool": "brush", "points": [[1, 2], [3]]}], "pairs of numbers"),
        ([{"tool": "brush", "points": [["1", "2"]]}], "pairs of numbers"),
        ([{"tool": "brush", "points": [[1, float("inf")]]}], "within"),
        ([{"tool": "brush", "points": [[1, float("nan")]]}], "within"),
        ([{"tool": "brush", "points": [[1, 10**30]]}], "pairs of numbers"),
        ([{"tool": "rect", "points": [[1, 2]]}], "two corners"),
        ([{"tool": "brush", "points": [[1, 2]], "colour": "red"}], "unknown setting"),
    ],
)
def test_what_is_no_stroke_is_refused_in_one_line(value: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error) as raised:
        read_strokes(value)
    assert "\n" not in str(raised.value)


def test_a_lasso_sets_what_it_goes_round() -> None:
    square = drawn({"tool": "lasso", "points": [[10, 10], [30, 10], [30, 25], [10, 25]]})
    assert square.sum() == 20 * 15
    assert square[10:25, 10:30].all()
    points: list[list[float]] = [[5.2, 5.7], [60.3, 20.1], [20, 55.5], [70, 58], [40.4, 2.2]]  # crosses itself
    turned = np.zeros((HEIGHT, WIDTH))
    for one, other in zip(points, points[1:] + points[:1], strict=True):
        (x1, y1), (x2, y2) = one, other
        angle = np.arctan2(y2 - Y, x2 - X) - np.arctan2(y1 - Y, x1 - X)
        turned += (angle + np.pi) % (2 * np.pi) - np.pi
    round_it = np.abs(np.round(turned / (2 * np.pi))) > 0
    lasso = drawn({"tool": "lasso", "points": points})
    assert np.array_equal(lasso, round_it)
    assert np.array_equal(drawn({"tool": "lasso", "points": points[::-1]}), lasso)
    beyond = drawn({"tool": "lasso", "points": [[-50, -50], [500, -50], [500, 500], [-50, 500]]})
    assert beyond.all()
    hole = drawn(
        {"tool": "rect", "points": [[0, 0], [83, 61]]},
        {"tool": "erase_lasso", "points": [[10, 10], [30, 10], [30, 25], [10, 25]]},
    )
    assert np.array_equal(hole, ~square)
