"""A thing is selected by a box, a lasso or a line, up to its own edge."""

from __future__ import annotations

import numpy as np
import pytest

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.masks import dilate
from mlx_moebius.selection.edges import Guide
from mlx_moebius.selection.object import ObjectCut, select_object

from .scenes import meadow, overlap, with_ball


def test_a_box_finds_the_thing_in_it_up_to_its_edge_pixel_by_pixel() -> None:
    rgb, ball = with_ball(900, 1200)  # three times the size in which colours are told apart
    found = select_object(rgb, box=(340, 140, 920, 710))
    assert overlap(found, ball) > 0.99
    edge = dilate(ball, 3) & dilate(~ball, 3)
    assert (found != ball)[~edge].sum() < 0.001 * ball.sum()


@pytest.mark.parametrize("how", ["lasso", "line"])
def test_a_lasso_or_a_line_does_as_well(how: str) -> None:
    rgb, ball = with_ball()
    drawn = {"lasso": [(150, 230), (365, 30), (580, 230), (365, 450)], "line": [(260, 230), (460, 240)]}[how]
    found = select_object(rgb, lasso=drawn) if how == "lasso" else select_object(rgb, line=drawn)
    assert overlap(found, ball) > 0.95


def test_strokes_add_and_take_away() -> None:
    rgb, ball = with_ball()
    rgb[200:300, 20:120] = 250  # a white box apart
    cut = ObjectCut(rgb, box=(10, 60, 560, 420))
    assert cut.mask()[230, 364]
    cut.remove([(40, 250), (100, 250)], width=30)
    without = cut.mask()
    assert not without[220:280, 40:100].any()
    assert overlap(without, ball) > 0.95
    cut.add([(40, 250), (100, 250)], width=30)
    assert cut.mask()[230:270, 45:95].all()


def test_a_stroke_changes_what_is_near_it_or_hangs_together_with_it_alone() -> None:
    rgb = np.full((500, 700, 3), (92, 120, 60), np.uint8)
    rgb += np.random.default_rng(0).integers(0, 8, rgb.shape, np.uint8)
    y, x = np.mgrid[:500, :700]
    ball = (x - 360) ** 2 + (y - 240) ** 2 < 130**2
    rgb[ball] = np.array([150, 60, 50]) + rgb[ball] // 20
    cut = ObjectCut(rgb, box=(210, 90, 510, 390))
    cut.add([(300, 420), (340, 420)], width=20)  # of the colours of everything round the ball
    added = cut.mask() & ~ball
    assert added[415:425, 305:335].all()
    assert not added[:360].any()
    assert added.sum() < 0.2 * ball.sum()
    cut.remove([(300, 420), (340, 420)], width=40)
    cut.remove([(350, 200), (370, 200)], width=20)  # of the ball's colours, which are all alike
    left = cut.mask()
    assert not left[195:205, 352:368].any()
    assert left[ball].mean() > 0.7


def test_an_edge_that_is_moved_again_is_as_if_it_were_the_first() -> None:
    rgb, _ = with_ball(900, 1200)
    guide, (y, x) = Guide(rgb, 6), np.mgrid[:900, :1200]
    for shift in (0, 0, 40):
        rough = ((x - 624 - shift) ** 2 + (y - 423) ** 2 < 240**2) | ((x - 90) ** 2 + (y - 700) ** 2 < 60**2)
        assert np.array_equal(guide.snap(rough), Guide(rgb, 6).snap(rough))


def test_the_same_box_gives_the_same_outline() -> None:
    rgb, _ = with_ball()
    first, second = (select_object(rgb, box=(200, 60, 560, 420)) for _ in range(2))
    assert (first == second).all()


def test_a_dark_speck_in_the_thing_is_no_hole_of_its_mask() -> None:
    rgb, ball = with_ball()
    rgb[230:236, 360:366] = meadow(6, 6)
    assert select_object(rgb, box=(200, 60, 560, 420))[228:240, 358:370].all()


def test_what_cannot_be_selected_is_said() -> None:
    rgb, _ = with_ball()
    with pytest.raises(MoebiusError, match="outside the photo"):
        select_object(rgb, box=(900, 0, 1000, 100))
    with pytest.raises(MoebiusError, match="needs surroundings"):
        select_object(rgb, box=(0, 0, 700, 500))
    with pytest.raises(MoebiusError, match="nothing there differs"):
        select_object(np.full((200, 200, 3), 90, np.uint8), box=(50, 50, 150, 150))
