"""The edge of a rough mask, moved to where the photo has one, at the photo's own resolution.

Near its edge the mask is filtered with the photo as a guide (He, Sun, Tang, "Guided Image Filtering", 2010): in every
small window it becomes the linear function of the colours that fits the rough mask best. The functions are found on a
reduced photo and applied to the whole one (He, Sun, "Fast Guided Filter", 2015).
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Mask

TILE = 256  # pixels: only tiles that the edge crosses are computed
RADIUS = 3  # of a window, in pixels of the reduced photo
NOISE = 12.0  # levels: differences in colour below this are no edge


def snap(rgb: NDArray[np.uint8], rough: Mask, reach: int) -> Mask:
    """The mask [H, W] with its edge moved by at most `reach` pixels to that of the photo [H, W, 3]."""
    return Guide(rgb, reach).snap(rough) if rough.any() else rough


class Guide:
    """A photo that edges are moved in, again and again: what does not depend on the mask is computed once."""

    def __init__(self, rgb: NDArray[np.uint8], reach: int) -> None:
        """`rgb`: the photo, uint8 [H, W, 3]. `reach`: pixels by which an edge is moved at most; below 1, none is."""
        self.rgb, self.reach = rgb, reach
        self.last: tuple[Mask, Mask] | None = None  # a rough mask, and what it became
        if reach < 1:
            return
        step = max(1.0, reach / RADIUS)
        self.far = reach + ceil((2 * RADIUS + 2) * step)  # what is as far away changes nothing at a pixel
        height, width = rgb.shape[:2]
        self.size = max(1, round(width / step)), max(1, round(height / step))
        small = opencv().resize(rgb, self.size, interpolation=opencv().INTER_AREA).astype(np.float32)
        self.colours = small
        self.means = means = _mean(small)
        (m_r, m_g, m_b), (r, g, b) = np.moveaxis(means, -1, 0), np.moveaxis(small, -1, 0)
        # The covariance of the colours in each window; its inverse by cofactors, which whole arrays compute fastest.
        rr, gg, bb = (
            _mean(r * r) - m_r * m_r + NOISE**2,
            _mean(g * g) - m_g * m_g + NOISE**2,
            _mean(b * b) - m_b * m_b + NOISE**2,
        )
        rg, rb, gb = _mean(r * g) - m_r * m_g, _mean(r * b) - m_r * m_b, _mean(g * b) - m_g * m_b
        c_rr, c_rg, c_rb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
        c_gg, c_gb, c_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
        self.cofactors = (c_rr, c_rg, c_rb), (c_rg, c_gg, c_gb), (c_rb, c_gb, c_bb)
        self.determinant = rr * c_rr + rg * c_rg + rb * c_rb

    def snap(self, rough: Mask) -> Mask:
        """A mask [H, W] with its edge moved to that of the photo; anew only where the last one was another."""
        if self.reach < 1:
            return rough
        cv2 = opencv()
        drawn = rough.astype(np.uint8)
        height, width = rough.shape
        share = cv2.resize(drawn * np.uint8(255), self.size, interpolation=cv2.INTER_AREA)
        functions = self._linear_functions(share.astype(np.float32) / 255)
        across, down = self.size[0] / width, self.size[1] / height
        result = rough.copy()
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                here = np.s_[top : top + TILE, left : left + TILE]
                if self.last is not None and self._is_as_before(rough, left, top):
                    result[here] = self.last[1][here]
                    continue
                near = self._near(drawn, left, top)
                if near is None:
                    continue
                placed = np.array([[across, 0, (left + 0.5) * across - 0.5], [0, down, (top + 0.5) * down - 0.5]])
                local = cv2.warpAffine(
                    functions,
                    placed,
                    near.shape[::-1],
                    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                    borderMode=cv2.BORDER_REPLICATE,
                )[near]
                result[here][near] = np.einsum("ij,ij->i", local[:, :3], self.rgb[here][near]) + local[:, 3] > 0.5
        self.last = rough.copy(), result
        return result.copy()

    def _is_as_before(self, rough: Mask, left: int, top: int) -> bool:
        """Whether the mask is the last one in a tile and as far round it as it matters there."""
        assert self.last is not None
        near = np.s_[max(0, top - self.far) : top + TILE + self.far, max(0, left - self.far) : left + TILE + self.far]
        return bool((rough[near] == self.last[0][near]).all())

    def _near(self, drawn: NDArray[np.uint8], left: int, top: int) -> Mask | None:
        """Where a tile is within reach of the mask's edge; None where it is nowhere."""
        reach = self.reach
        low_x, low_y = max(0, left - reach), max(0, top - reach)
        part = drawn[low_y : top + TILE + reach, low_x : left + TILE + reach]
        cv2, square = opencv(), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        if cv2.countNonZero(part) in (0, part.size):
            return None
        band = cv2.dilate(part, square) != cv2.erode(part, square)
        near = band[top - low_y :, left - low_x :][:TILE, :TILE]
        return np.asarray(near) if near.any() else None

    def _linear_functions(self, mask: NDArray[np.float32]) -> NDArray[np.float32]:
        """For every pixel the function of red, green, blue that gives the mask near it: slopes, offset, [h, w, 4]."""
        share = _mean(mask)
        with_mask = _mean(self.colours * mask[..., None]) - self.means * share[..., None]
        r, g, b = np.moveaxis(with_mask / self.determinant[..., None], -1, 0)
        slopes = np.stack([c_r * r + c_g * g + c_b * b for c_r, c_g, c_b in self.cofactors], axis=-1)
        offset = share - (slopes * self.means).sum(axis=-1)
        return _mean(np.concatenate([slopes, offset[..., None]], axis=-1))


def _mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(opencv().blur(values, (2 * RADIUS + 1, 2 * RADIUS + 1)))
