"""The outline of a mask goes exactly round it."""

from __future__ import annotations

import numpy as np
import pytest

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.ui.outline import encloses, inside, outline_of, stroke_of
from mlx_moebius.ui.strokes import rasterise, read_strokes
from tests.selection.scenes import overlap


def drawn(mask: Mask, most: int = 40_000) -> Mask:
    strokes = read_strokes([stroke_of(outline_of(mask, most))])
    return rasterise(strokes, mask.shape[1], mask.shape[0])


def test_what_an_outline_goes_round_is_the_mask_to_the_pixel() -> None:
    generator = np.random.default_rng(0)
    for _ in range(60):
        height, width = generator.integers(1, 24, 2)
        mask = generator.random((height, width)) < generator.random()
        mask[generator.integers(height), generator.integers(width)] = True
        assert np.array_equal(drawn(mask), mask)


def test_a_hole_is_gone_round_the_other_way_and_the_dot_is_beside_it() -> None:
    mask = np.zeros((60, 80), bool)
    mask[10:50, 10:70] = True
    mask[15:45, 15:60] = False
    outer, hole = sorted(outline_of(mask), key=lambda loop: -int(np.ptp(loop[:, 0])))
    assert encloses(outer)
    assert not encloses(hole)
    x, y = inside([outer, hole])
    assert mask[y, x]


def test_a_ragged_outline_is_simplified_as_far_as_it_stays_near() -> None:
    y, x = np.mgrid[:400, :400]
    disc = (x - 200) ** 2 + (y - 200) ** 2 < 150**2
    assert sum(map(len, outline_of(disc, 200))) <= 200
    assert overlap(drawn(disc, 200), disc) > 0.97
    squares = np.kron(np.indices((12, 12)).sum(axis=0) % 2 > 0, np.ones((30, 30), bool))
    with pytest.raises(MoebiusError, match="too ragged"):
        outline_of(squares, 100)
