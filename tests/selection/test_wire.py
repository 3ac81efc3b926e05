"""A wire is followed from a click or two, to where it ends or leaves the photo."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mlx_moebius.benchmark.painted import paint_wire
from mlx_moebius.benchmark.selecting import score_wire
from mlx_moebius.errors import MoebiusError
from mlx_moebius.selection.neighbours import neighbours
from mlx_moebius.selection.wire import follow_wire

from .scenes import meadow, sky


@pytest.mark.parametrize("clicks", [(0.15, 0.85), (0.5,)])
@pytest.mark.parametrize("width", [1, 6])
def test_a_wire_before_the_sky_is_found_in_all_its_length(width: int, clicks: tuple[float, ...]) -> None:
    painted = paint_wire(sky(400, 700), width, np.random.default_rng(3))
    places = [(float(x), float(y)) for x, y in (painted.points[int(c * len(painted.points))] for c in clicks)]
    score = score_wire(painted, follow_wire(painted.rgb, places).points)
    assert score["found"] > 0.98
    assert score["beyond"] < 0.05


def test_a_wire_before_foliage_is_found_from_two_clicks() -> None:
    painted = paint_wire(meadow(400, 700), 2, np.random.default_rng(4))
    n = len(painted.points)
    places = [(float(x) + 2, float(y) - 2) for x, y in painted.points[[n // 6, 5 * n // 6]]]
    assert score_wire(painted, follow_wire(painted.rgb, places).points)["found"] > 0.95


def test_the_mask_is_as_wide_as_the_wire() -> None:
    rgb = sky(300, 500)
    rgb[148:156] = 30
    wire = follow_wire(rgb, [(250, 151)])
    assert abs(float(np.median(wire.widths)) - 8) <= 1
    mask = wire.mask((300, 500))
    assert mask[148:156].mean() > 0.99
    assert not mask[:144].any()
    assert not mask[160:].any()


def test_a_wire_that_ends_in_the_photo_is_not_continued() -> None:
    rgb = sky(300, 600)
    rgb[148:151, 120:430] = 30
    points = follow_wire(rgb, [(200, 149)]).points
    assert points[:, 0].min() == pytest.approx(120, abs=8)
    assert points[:, 0].max() == pytest.approx(429, abs=8)


@pytest.mark.parametrize("gap", [7, 9, 11])
def test_one_of_a_pair_is_followed_in_all_its_length(gap: int) -> None:
    rgb = sky(400, 700)
    for shift in (0, gap):
        cv2.line(rgb, (0, 60 + shift), (699, 330 + shift), (60,) * 3, 2, cv2.LINE_AA)
    points = follow_wire(rgb, [(300.0, 60 + 300 * 270 / 699)]).points
    assert np.ptp(points[:, 0]) > 690
    assert np.abs(points[:, 1] - (60 + points[:, 0] * 270 / 699)).max() < 3


def test_neighbours_of_the_same_direction_are_found_and_nothing_else() -> None:
    rgb = sky(400, 600)
    for row in (120, 150, 205):
        rgb[row : row + 3] = 40
    rgb[:, 300:303] = 40  # another direction
    wire = follow_wire(rgb, [(100, 151)])
    rows = sorted(round(float(np.median(each.points[:, 1]))) for each in neighbours(rgb, wire))
    assert rows == pytest.approx([121, 206], abs=1)


def test_the_light_between_two_dark_wires_is_no_neighbour() -> None:
    rgb = sky(300, 500)
    for row in (90, 99, 150, 159):
        rgb[row : row + 5] = 40
    wire = follow_wire(rgb, [(250, 92)])
    rows = sorted(round(float(np.median(each.points[:, 1]))) for each in (wire, *neighbours(rgb, wire)))
    assert rows == pytest.approx([92, 101, 152, 161], abs=1)


def test_where_no_wire_is_it_is_said() -> None:
    with pytest.raises(MoebiusError, match="no wire at that place"):
        follow_wire(np.full((200, 300, 3), 120, np.uint8), [(100, 100)])
    with pytest.raises(MoebiusError, match="outside the photo"):
        follow_wire(sky(200, 300), [(100, 300)])
