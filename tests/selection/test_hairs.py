"""Hairs and scratches of scans: thin lines by themselves, not edges, wires and branches."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mlx_moebius.selection.hairs import find_hairs
from tests.selection.scenes import meadow, sky

HAIRS: tuple[tuple[tuple[int, int], ...], ...] = (
    ((60, 60), (90, 75), (130, 80), (160, 70)),
    ((300, 40), (302, 120), (306, 160)),
    ((80, 200), (110, 180), (150, 190), (170, 220)),
)


def drawn(rgb: np.ndarray, *lines: tuple[tuple[int, int], ...], level: int = -40, width: int = 2) -> np.ndarray:
    line = np.zeros(rgb.shape[:2], np.uint8)
    cv2.polylines(line, [np.array(points, np.int32) for points in lines], False, 255, width, cv2.LINE_AA)
    return (rgb + level * (line[..., None] / 255)).clip(0, 255).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("level", [-40, 40])
def test_hairs_are_found_along_their_length_and_nothing_else(level: int) -> None:
    rgb = drawn(sky(260, 380), *HAIRS, level=level)
    found = find_hairs(rgb)
    wanted = drawn(np.zeros((260, 380, 3), np.uint8), *HAIRS, level=255)[..., 0] > 127
    assert (found & wanted).sum() > 0.9 * wanted.sum()
    assert not (found & ~(cv2.dilate(wanted.astype(np.uint8), np.ones((13, 13))) > 0)).any()


@pytest.mark.parametrize(("across", "contrast"), [(2, 12), (4, 16)])
def test_a_hair_over_uneven_ground_is_found(across: int, contrast: int) -> None:
    clouds = cv2.GaussianBlur(np.random.default_rng(4).normal(0, 1, (260, 380)), (0, 0), across)
    rgb = (sky(260, 380) + contrast * clouds[..., None] / clouds.std()).clip(0, 255).astype(np.uint8)
    found = find_hairs(drawn(rgb, HAIRS[2], level=-50))
    wanted = drawn(np.zeros((260, 380, 3), np.uint8), HAIRS[2], level=255)[..., 0] > 127
    assert (found & wanted).sum() > 0.9 * wanted.sum()
    assert not find_hairs(rgb).any()


@pytest.mark.slow
def test_wires_edges_words_and_texture_are_no_hairs() -> None:
    wire = drawn(sky(260, 380), ((0, 40), (379, 90)))
    edge = sky(260, 380)
    edge[130:] = edge[130:] // 2
    comb = drawn(sky(260, 380), *(((40 + 14 * i, 60), (40 + 14 * i, 160)) for i in range(20)))
    words = sky(260, 380)
    cv2.putText(words, "NILE ill", (10, 180), cv2.FONT_HERSHEY_SIMPLEX, 3, (20, 20, 20), 3, cv2.LINE_AA)
    for rgb in (wire, edge, comb, words, meadow(260, 380)):
        assert not find_hairs(rgb).any()
