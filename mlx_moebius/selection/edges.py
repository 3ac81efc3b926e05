"""The edge of a rough mask, moved to where the photo has one, at the photo's own resolution.

Near its edge the mask is filtered with the photo as a guide (He, Sun, Tang, "Guided Image Filtering", 2010): in every
small window it becomes the linear function of the colours that fits the rough mask best. The functions are found on a
reduced photo and applied to the whole one (He, Sun, "Fast Guided Filter", 2015).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Mask

TILE = 256  # pixels: only tiles that the edge crosses are computed
RADIUS = 3  # of a window, in pixels of the reduced photo
NOISE = 12.0  # levels: differences in colour below this are no edge


def snap(rgb: NDArray[np.uint8], rough: Mask, reach: int) -> Mask:
    """The mask [H, W] with its edge moved by at most `reach` pixels to that of the photo [H, W, 3]."""
    cv2 = opencv()
    if reach < 1 or not rough.any():
        return rough
    drawn = rough.astype(np.uint8)
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    band = cv2.dilate(drawn, square) != cv2.erode(drawn, square)
    step = max(1.0, reach / RADIUS)
    height, width = rough.shape
    size = max(1, round(width / step)), max(1, round(height / step))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    functions = _linear_functions(cv2, small, cv2.resize(drawn.astype(np.float32), size, interpolation=cv2.INTER_AREA))
    across, down = size[0] / width, size[1] / height
    result = rough.copy()
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            here = np.s_[top : top + TILE, left : left + TILE]
            near = band[here]
            if not near.any():
                continue
            placed = np.array([[across, 0, (left + 0.5) * across - 0.5], [0, down, (top + 0.5) * down - 0.5]])
            local = cv2.warpAffine(
                functions,
                placed,
                near.shape[::-1],
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )[near]
            share = (local[:, :3] * rgb[here][near]).sum(axis=-1) + local[:, 3]
            result[here][near] = share > 0.5
    return result


def _linear_functions(cv2: Any, guide: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """For every pixel the function of red, green and blue that gives the mask near it: slopes and offset, [h, w, 4]."""

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(values, (2 * RADIUS + 1, 2 * RADIUS + 1)))

    means, share = mean(guide), mean(mask)
    with_mask = mean(guide * mask[..., None]) - means * share[..., None]
    (m_r, m_g, m_b), (r, g, b) = np.moveaxis(means, -1, 0), np.moveaxis(guide, -1, 0)
    # The covariance of the colours in each window; its inverse by cofactors, which whole arrays compute fastest.
    rr, gg, bb = (
        mean(r * r) - m_r * m_r + NOISE**2,
        mean(g * g) - m_g * m_g + NOISE**2,
        mean(b * b) - m_b * m_b + NOISE**2,
    )
    rg, rb, gb = mean(r * g) - m_r * m_g, mean(r * b) - m_r * m_b, mean(g * b) - m_g * m_b
    c_rr, c_rg, c_rb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    c_gg, c_gb, c_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    t_r, t_g, t_b = np.moveaxis(with_mask / (rr * c_rr + rg * c_rg + rb * c_rb)[..., None], -1, 0)
    slopes = np.stack(
        [
            c_rr * t_r + c_rg * t_g + c_rb * t_b,
            c_rg * t_r + c_gg * t_g + c_gb * t_b,
            c_rb * t_r + c_gb * t_g + c_bb * t_b,
        ],
        axis=-1,
    )
    offset = share - (slopes * means).sum(axis=-1)
    return mean(np.concatenate([slopes, offset[..., None]], axis=-1))
