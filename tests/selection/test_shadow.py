"""The shadow of a thing is proposed, and other dark things are not."""

from __future__ import annotations

import numpy as np
from PIL import Image

from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.photo import photo_from_image
from mlx_moebius.selection.request import select
from mlx_moebius.selection.shadow import shadow_of

from .scenes import meadow, overlap, with_ball


def with_shadow() -> tuple[np.ndarray, Mask, Mask]:
    """A ball and its shadow on the meadow; and a dark patch that does not touch it."""
    rgb, ball = with_ball()
    y, x = np.mgrid[:500, :700]
    shadow = (((x - 470) / 130) ** 2 + ((y - 365) / 40) ** 2 < 1) & ~ball
    rgb[shadow] = (rgb[shadow] * 0.55).astype(np.uint8)
    rgb[20:60, 20:90] = (rgb[20:60, 20:90] * 0.5).astype(np.uint8)
    return rgb, ball, shadow


def test_the_shadow_that_touches_the_thing_is_found() -> None:
    rgb, ball, shadow = with_shadow()
    found = shadow_of(rgb, ball)
    assert overlap(found, shadow) > 0.8
    assert not (found & ball).any()
    assert not found[20:60, 20:90].any()


def test_without_a_shadow_there_is_nothing() -> None:
    rgb, ball = with_ball()
    assert not shadow_of(rgb, ball).any()
    assert not shadow_of(meadow(60, 80), np.zeros((60, 80), bool)).any()


def test_it_joins_what_was_selected_before_it() -> None:
    rgb, ball, shadow = with_shadow()
    mask = select(photo_from_image(Image.fromarray(rgb)), ["box:200,60,360,360", "shadow"])
    assert overlap(mask, ball | shadow) > 0.9
