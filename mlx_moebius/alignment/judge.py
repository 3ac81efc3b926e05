"""Where another shot can be believed: what is round a hole must look the same in both shots, but for their noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.alignment.tone import brightest
from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Colours, Mask

BLUR = 2.0  # pixels over which differences are averaged, so that noise counts less
NOISES = 1.2  # of both shots' noise, after that, that are no difference
STEP = 3.0  # levels that are no difference
MISS = 0.45  # pixels by which edges may miss each other
TONE = 8.0  # levels that may differ over an area, which blending levels
FAR_TONE = 14.0  # the same, inside a hole: tone is less certain there
WIDE = 24.0  # pixels over which what differs is tone
WORK = 800  # pixels along a side on which pictures are compared
SPECK = 5  # pixels: what is smaller is no difference
BLOCK = 12  # pixels across blocks in which noise is measured
SMOOTHEST = 15  # per cent of them show nothing but noise
BINS = 12  # of a channel, in histograms of colours
LIKELY = 1.0  # the logarithm of how much likelier a colour is what differs round the hole than what agrees
LEAST_INTRUDER = 60  # pixels round the hole that differ, to look for their colours in it
CELLS = 40  # cells along a side, on which belief is continued into a hole


def grey(colours: Colours) -> NDArray[np.float32]:
    """Luma, [h, w]."""
    return np.asarray(opencv().cvtColor(colours, opencv().COLOR_RGB2GRAY))


def noise(values: NDArray[np.float32], where: Mask) -> float:
    """Standard deviation of the noise of a grey picture [h, w]: what the smoothest blocks that lie `where` have."""
    cv2 = opencv()
    band = values - cv2.GaussianBlur(values, (0, 0), 2.0)
    height, width = (length // BLOCK for length in where.shape)
    cut = np.s_[: height * BLOCK, : width * BLOCK]
    inside = where[cut].reshape(height, BLOCK, width, BLOCK).all(axis=(1, 3))
    if not inside.any():
        return 1.0
    squares = (band[cut] ** 2).reshape(height, BLOCK, width, BLOCK).mean(axis=(1, 3))
    return float(np.sqrt(np.percentile(squares[inside], SMOOTHEST)))


def differs(a: Colours, b: Colours, both: Mask, level: float, tone: float = TONE) -> Mask:
    """Where two aligned pictures [h, w, 3] do not show the same, of what `both` show; `level`: noise of both.

    What differs slowly over the picture by up to `tone` levels counts as the same.
    """
    cv2 = opencv()
    height, width = both.shape
    scale = WORK / max(height, width)
    if scale < 1:
        size = max(8, round(width * scale)), max(8, round(height * scale))
        a, b = (cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in (a, b))
        small = cv2.resize(both.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.99
        found = cv2.resize(_differs(a, b, small, level, tone), (width, height), interpolation=cv2.INTER_NEAREST)
    else:
        found = _differs(a, b, both, level, tone)
    return np.asarray((found > 0) & both)


def _differs(a: Colours, b: Colours, both: Mask, level: float, tone: float) -> NDArray[np.uint8]:
    cv2 = opencv()
    weight = both.astype(np.float32)
    difference = (a - b) * weight[..., None]
    total = cv2.GaussianBlur(weight, (0, 0), BLUR)
    small = cv2.GaussianBlur(difference, (0, 0), BLUR) / np.maximum(total, 0.05)[..., None]
    around = blurred(np.dstack([difference, weight]), WIDE)
    small = small - (around[..., :3] / np.maximum(around[..., 3:], 0.02)).clip(-tone, tone)
    bright = np.where(both, (grey(a) + grey(b)) / 2, 0).astype(np.float32)
    gx, gy = (cv2.Sobel(bright, cv2.CV_32F, dx, 1 - dx, ksize=3) / 8 for dx in (1, 0))
    steep = cv2.GaussianBlur(np.sqrt(gx**2 + gy**2), (0, 0), BLUR)
    allowed = STEP + NOISES * level + MISS * steep
    found = (brightest(np.abs(small)) > allowed) & both
    kernel = np.ones((SPECK, SPECK), np.uint8)
    return np.asarray(cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, kernel))


def belief(good: Mask, bad: Mask) -> NDArray[np.float32]:
    """How far each pixel can be believed, 0 to 1, [h, w]: by what is near it, weighted by 1 / distance^4 (Shepard)."""
    cv2 = opencv()
    height, width = good.shape
    cell = max(1, -(-max(height, width) // CELLS))
    size = -(-width // cell), -(-height // cell)
    pad = (0, size[1] * cell - height), (0, size[0] * cell - width)
    sums = [
        np.pad(counted, pad).reshape(size[1], cell, size[0], cell).sum(axis=(1, 3)).astype(np.float32)
        for counted in (good, bad)
    ]
    rows, columns = np.nonzero(sums[0] + sums[1])
    if not len(rows):
        return np.zeros((height, width), np.float32)
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    distance = (x.ravel()[:, None] - columns) ** 2 + (y.ravel()[:, None] - rows) ** 2
    weights = (1.0 / (distance + 1.0) ** 2).astype(np.float32)
    # What differs is small beside what agrees round an arm that reaches into a hole: it counts more.
    yes, no = weights @ sums[0][rows, columns], weights @ (2 * sums[1][rows, columns])
    share = (yes / np.maximum(yes + no, 1e-6)).reshape(size[1], size[0]).astype(np.float32)
    return np.asarray(cv2.resize(share, (size[0] * cell, size[1] * cell), interpolation=cv2.INTER_LINEAR))[
        :height, :width
    ]


def sharpness(values: NDArray[np.float32], where: Mask, level: float) -> float:
    """Mean strength of what is finer than about 3 pixels in a grey picture [h, w], without its noise, squared."""
    cv2 = opencv()
    if not where.any():
        return 0.0
    fine = cv2.GaussianBlur(values, (0, 0), 0.7) - cv2.GaussianBlur(values, (0, 0), 2.0)
    return max(float((fine[where] ** 2).mean()) - 0.1 * level**2, 0.0)


def blurred(values: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    """A Gaussian of `width` pixels; a wide one on a reduced picture, where it looks the same."""
    cv2 = opencv()
    by = max(1, int(width / 4))
    if by == 1:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), width))
    height, across = values.shape[:2]
    small = cv2.resize(values, (max(1, across // by), max(1, height // by)), interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(small, (0, 0), width / by)
    return np.asarray(cv2.resize(smooth, (across, height), interpolation=cv2.INTER_LINEAR))


def intruder(colours: Colours, inside: Mask, agrees: Mask, differs: Mask) -> Mask:
    """What of a shot [h, w, 3] `inside` the hole belongs to a thing that shows round it, where the shots differ.

    It has the colours of what `differs` rather than of what `agrees`, and hangs together with it.
    """
    cv2 = opencv()
    nothing = np.zeros_like(inside)
    if differs.sum() < LEAST_INTRUDER or agrees.sum() < LEAST_INTRUDER:
        return nothing
    cells = (colours.clip(0, 255) * np.float32((BINS - 1) / 255) + 0.5).astype(np.int64)
    place = (cells[..., 0] * BINS + cells[..., 1]) * BINS + cells[..., 2]
    shares = []
    for where in (differs, agrees):
        counts: NDArray[np.float32] = np.bincount(place[where], minlength=BINS**3).astype(np.float32)
        counts = counts.reshape(BINS, BINS, BINS)
        for axis in range(3):
            padded = np.pad(counts, [(1, 1) if axis == number else (0, 0) for number in range(3)], "edge")
            low, middle, high = (np.take(padded, np.arange(start, start + BINS), axis) for start in range(3))
            counts = (0.25 * low + 0.5 * middle + 0.25 * high).astype(np.float32)
        shares.append((counts / counts.sum() + 1e-4).ravel())
    likely = cv2.GaussianBlur(np.log(shares[0] / shares[1])[place].astype(np.float32), (0, 0), 2) > LIKELY
    found = (likely & inside) | differs
    _, labels = cv2.connectedComponents(cv2.dilate(found.astype(np.uint8), np.ones((3, 3), np.uint8)))
    touching = np.unique(labels[differs])
    hangs = np.isin(labels, touching[touching > 0]) & found & inside
    return np.asarray((cv2.dilate(hangs.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0) & inside)
