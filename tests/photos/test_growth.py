"""Masks grow by how thick a thing is at each place; what is asked about is what will be filled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.growth import check_growth, grow, large_share
from mlx_moebius.photos.mask_files import check_share
from mlx_moebius.photos.masks import dilate

Drawing = Callable[[ImageDraw.ImageDraw], None]


def drawn(draw: Drawing, size: tuple[int, int] = (900, 600)) -> Mask:
    image = Image.new("L", size)
    draw(ImageDraw.Draw(image))
    return np.asarray(image) > 0


def net(draw: ImageDraw.ImageDraw) -> None:
    """Diagonal wires 3 pixels wide, 48 apart."""
    for x in range(-600, 900, 48):
        draw.line((x, 0, x + 600, 600), 255, 3)
        draw.line((x + 600, 0, x, 600), 255, 3)


def straight_net(draw: ImageDraw.ImageDraw) -> None:
    for x in range(20, 900, 40):
        draw.line((x, 0, x, 599), 255, 4)
    for y in range(20, 600, 40):
        draw.line((0, y, 899, y), 255, 4)


def scratches(draw: ImageDraw.ImageDraw) -> None:
    random = np.random.default_rng(3)
    for _ in range(40):
        draw.line([int(x) for x in random.integers(0, 600, 4)], 255, 3)


@pytest.mark.parametrize("thin", [net, straight_net, scratches])
def test_a_net_of_thin_lines_grows_as_one_line_does(thin: Drawing) -> None:
    mask = drawn(thin)
    np.testing.assert_array_equal(grow(mask, "auto"), dilate(mask, 5))


def test_thin_and_thick_grow_each_by_their_own() -> None:
    line = drawn(lambda draw: draw.line((0, 20, 899, 120), 255, 3))
    disc = drawn(lambda draw: draw.ellipse((300, 200, 699, 599), 255))
    grown = grow(line | disc, "auto")
    np.testing.assert_array_equal(grown[:150], dilate(line, 5)[:150])
    wider = grow(disc, "auto")
    assert (wider & ~dilate(disc, 41)).sum() == (dilate(disc, 29) & ~wider).sum() == 0  # 14 to 20 pixels each way


def test_a_net_with_a_large_body_at_it_stays_a_net() -> None:
    body = drawn(lambda draw: draw.ellipse((300, 150, 600, 450), 255))
    mask = body | drawn(net)
    grown = grow(mask, "auto")
    assert not (grow(body, "auto") & ~grown).any()
    beyond = ~dilate(body, 81)
    np.testing.assert_array_equal(grown[beyond], dilate(mask, 5)[beyond])
    assert grown[~body].mean() < dilate(mask, 5)[~body].mean() + 0.05


@pytest.mark.parametrize("thickness", [20, 60, 200, 600])
def test_straight_edges_and_corners_of_a_box_grow_alike(thickness: int) -> None:
    mask = np.zeros((900, 900), bool)
    mask[150 : 150 + thickness, 150 : 150 + thickness] = True
    rows, columns = (np.flatnonzero(grow(mask, "auto").any(axis=axis)) for axis in (1, 0))
    each_way = 150 - rows[0]
    assert abs(each_way - (2 + 0.04 * thickness)) <= 0.1 * each_way + 1
    np.testing.assert_array_equal(grow(mask, "auto"), dilate(mask, 2 * int(each_way) + 1))
    np.testing.assert_array_equal(rows, columns)


def test_growth_narrows_along_what_narrows() -> None:
    wedge = drawn(lambda draw: draw.polygon([(50, 300), (850, 100), (850, 500)], 255))
    grown = grow(wedge, "auto")
    above = [int(wedge[:, x].argmax() - grown[:, x].argmax()) for x in (100, 300, 500, 700)]
    assert above == sorted(above)
    assert above[0] <= 5 < 10 < above[-1]


def test_a_mask_at_the_photos_edge_grows_as_elsewhere() -> None:
    mask = np.zeros((403, 401), bool)
    mask[300:, 301:] = True
    inside = np.zeros((700, 700), bool)
    inside[300:403, 301:401] = True
    np.testing.assert_array_equal(grow(mask, "auto"), grow(inside, "auto")[:403, :401])


def test_a_number_is_a_square_kernel_for_everything() -> None:
    mask = drawn(net)
    np.testing.assert_array_equal(grow(mask, 0), mask)
    np.testing.assert_array_equal(grow(mask, 8), dilate(mask, 8))


def test_more_than_half_has_to_be_meant() -> None:
    mask = np.zeros((10, 10), bool)
    mask[:5] = True
    check_share(mask, mask, meant=False)
    mask[5, 0] = True
    check_share(mask, mask, meant=True)
    with pytest.raises(MoebiusError, match=r"^51% of the photo would be filled: large=True if that is meant"):
        check_share(mask, mask, meant=False)


def test_what_counts_is_what_will_be_filled() -> None:
    mask = np.zeros((600, 900), bool)
    mask[(np.arange(600) - 5) % 10 < 3] = True
    grown = grow(mask, "auto")
    assert mask.mean() < 0.31
    assert large_share(mask, mask) is None
    assert large_share(grown, mask) == "70% of the photo would be filled (the mask covers 30%, and grows)"


def test_what_growth_leaves_nothing_of_is_said_to_be_its_fault() -> None:
    mask = np.ones((40, 40), bool)
    mask[20, 20] = False
    with pytest.raises(MoebiusError, match=r"the mask leaves 0.1% of the photo, and nothing once it has grown: let it"):
        check_growth(grow(mask, "auto"), mask)
    check_growth(mask, mask)
