"""Where each pixel round a hole lies in another shot, to a tenth of a pixel.

First a smooth motion of eight parameters, by Gauss-Newton on the pixels themselves (Bergen et al., "Hierarchical
model-based motion estimation", 1992), with weights that leave out what moved (Tukey's biweight). Then, if that brings
the shots closer, dense flow (Kroeger et al., "Fast optical flow using dense inverse search", 2016), smoothed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Mask

POINTS = 12000  # pixels that are compared: the steepest of each cell
BLOCK = 3  # pixels across blocks of which one pixel is taken
CELLS = 24  # cells along a side, from each of which as many are taken
STEPS = 8  # of Gauss-Newton, at each scale
REDUCED = 800  # pixels along the side of the coarser scale
FARTHEST = 12.0  # pixels of the coarser scale by which the motion may differ from the features'
SMOOTH = 25.0  # pixels over which flow is averaged
LEAST = 0.05  # pixels that are worth another look
MOST_BEND = 2.0  # pixels by which flow may differ over a picture

Motion = NDArray[np.float32]
"""[h, w, 2]: how far right and down of a pixel its content lies."""


def motion(photo: NDArray[np.float32], other: NDArray[np.float32], both: Mask) -> Motion | None:
    """The smooth motion between a photo and a warped shot, grey [h, w], where `both` show the scene; None if lost."""
    cv2 = opencv()
    height, width = both.shape
    parameters = np.zeros(8)
    scales = [min(1.0, REDUCED / max(height, width))] + ([1.0] if max(height, width) > REDUCED else [])
    for scale in scales:
        size = round(width * scale), round(height * scale)
        a, b = photo, other
        seen = both.astype(np.uint8)
        if scale < 1:
            a, b = (cv2.resize(grey, size, interpolation=cv2.INTER_AREA) for grey in (a, b))
            seen = cv2.resize(seen, size, interpolation=cv2.INTER_AREA)
        for blur in (2.5, 1.0) if scale == scales[0] else (1.2,):
            parameters = _descend(a, b, seen, blur, parameters)
    x, y = (np.arange(n, dtype=np.float32) for n in (width, height))
    moved = _displacement(parameters, x[None, :] / width - 0.5, y[:, None] / height - 0.5)
    result = np.stack([moved[0] * width, moved[1] * height], axis=-1).astype(np.float32)
    farthest = np.abs(result).max() * scales[0]
    return result if np.isfinite(farthest) and farthest <= FARTHEST else None


def _descend(
    photo: NDArray[np.float32],
    other: NDArray[np.float32],
    both: NDArray[np.uint8],
    blur: float,
    start: NDArray[np.float64],
) -> NDArray[np.float64]:
    cv2 = opencv()
    height, width = both.shape
    a, b = cv2.GaussianBlur(photo, (0, 0), blur), cv2.GaussianBlur(other, (0, 0), blur)
    reach = 2 * round(2 * blur) + 1
    inside = cv2.erode(both, np.ones((reach, reach), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1) > 0
    gx, gy = (cv2.Sobel(b, cv2.CV_32F, dx, 1 - dx, ksize=3) / 8 for dx in (1, 0))
    slopes = (cv2.Sobel(a, cv2.CV_32F, dx, 1 - dx, ksize=3) / 8 for dx in (1, 0))
    # Steep in both: what stands in one shot alone has the strongest edges of all.
    rows, columns = _steepest(np.minimum(gx**2 + gy**2, sum(slope**2 for slope in slopes)), inside)
    if len(rows) < 100:
        return start
    x, y = columns.astype(np.float32), rows.astype(np.float32)
    u, v = x / width - 0.5, y / height - 0.5
    target, parameters = a[rows, columns], start.copy()
    stacked = np.dstack([b, gx * width, gy * height])
    one, zero = np.ones_like(u), np.zeros_like(u)
    across = np.stack([one, u, v, zero, zero, zero, u * u, u * v])
    down = np.stack([zero, zero, zero, one, u, v, u * v, v * v])
    for _ in range(STEPS):
        dx, dy = _displacement(parameters, u, v)
        at = (x + dx * width).astype(np.float32)[:, None], (y + dy * height).astype(np.float32)[:, None]
        value, right, below = cv2.remap(stacked, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0].T
        error = target - value
        error = error - np.median(error)
        limit = 4.685 * 1.4826 * np.median(np.abs(error)) + 1e-3
        weight = np.maximum(0, 1 - (error / limit) ** 2) ** 2
        jacobian = np.vstack([across * right + down * below, one, value / 64])
        normal = (jacobian * weight) @ jacobian.T
        pull = np.diag([1e-4] * 6 + [3e-3] * 2 + [0, 1e-2]) * np.trace(normal[:6, :6]) / 6
        step = np.linalg.solve(normal + pull, (jacobian * weight) @ error)
        parameters += step[:8]
        if np.abs(step[:8]).max() * max(width, height) < 0.005:
            break
    return parameters


def _steepest(energy: NDArray[np.float32], inside: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the pixels with the largest gradients, spread over the picture."""
    height, width = (length // BLOCK for length in inside.shape)
    cut = np.where(inside, energy, -1)[: height * BLOCK, : width * BLOCK]
    blocks = cut.reshape(height, BLOCK, width, BLOCK).swapaxes(1, 2).reshape(height, width, BLOCK * BLOCK)
    best = blocks.argmax(axis=-1)
    values = np.take_along_axis(blocks, best[..., None], axis=-1)[..., 0]
    down, across = np.nonzero(values >= 0)
    place = best[down, across]
    cell = (down * CELLS // height) * CELLS + across * CELLS // width
    order = np.lexsort((-values[down, across], cell))
    firsts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(firsts, np.diff([*firsts, len(order)]))
    kept = np.sort(order[rank < POINTS // (CELLS * CELLS) + 1])
    return (down * BLOCK + place // BLOCK)[kept], (across * BLOCK + place % BLOCK)[kept]


def _displacement(
    p: NDArray[np.float64], u: NDArray[np.float32], v: NDArray[np.float32]
) -> tuple[NDArray[np.float64], ...]:
    """Displacement at places in -0.5..0.5, in shares of width and height: affine, and what a tilt adds."""
    tilt = p[6] * u + p[7] * v
    return p[0] + p[1] * u + p[2] * v + u * tilt, p[3] + p[4] * u + p[5] * v + v * tilt


def flow(photo: NDArray[np.float32], other: NDArray[np.float32], both: Mask) -> Motion | None:
    """What is left of motion between a photo and a warped shot, grey [h, w]: dense flow, smoothed into the hole.

    Far from what `both` show it falls to zero. None where there is none, and where near and far things have moved
    apart: between them, in the hole, it would be true of neither.
    """
    cv2 = opencv()
    height, width = both.shape
    scale = min(1.0, REDUCED / max(height, width))
    size = round(width * scale), round(height * scale)
    a, b, seen = photo, np.where(both, other, photo), both.astype(np.float32)
    if scale < 1:
        a, b, seen = (cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in (a, b, seen))
    bytes_of = [np.rint(plane).clip(0, 255).astype(np.uint8) for plane in (a, b)]
    found = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(*bytes_of, None)
    gx, gy = (cv2.Sobel(a, cv2.CV_32F, dx, 1 - dx, ksize=3) / 8 for dx in (1, 0))
    steep = cv2.GaussianBlur(np.sqrt(gx**2 + gy**2), (0, 0), 2)
    weight = np.where(seen > 0.99, steep**2 / (steep**2 + 9), 0).astype(np.float32)
    weight[np.abs(found).max(axis=-1) > FARTHEST] = 0
    sigma = max(4.0, SMOOTH * max(scale, 0.4))
    total = cv2.GaussianBlur(weight, (0, 0), sigma)
    smooth = cv2.GaussianBlur(found * weight[..., None], (0, 0), sigma) / (total + 0.05)[..., None]
    if scale < 1:
        smooth = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR) / scale
    low, high = np.percentile(smooth[both], [3, 97], axis=0) if both.any() else np.zeros((2, 2))
    bends = (high - low).max() > MOST_BEND
    return None if bends or np.abs(smooth[both]).max(initial=0) <= LEAST else smooth.astype(np.float32)
