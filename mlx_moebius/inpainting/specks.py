"""Specks, such as dust on a scan, are filled without the network: the photo nearby has what belongs there.

For every speck, the place is found whose surroundings are most like the speck's own (an exhaustive search, by FFT). It
is copied, and the differences along the speck's outline are continued smoothly into it (Perez et al., "Poisson image
editing", 2003; Georgiev, "Photoshop healing brush", 2004). Grain and edges come with the copy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.inpainting.synthesis.grids import Floats, resize
from mlx_moebius.photos.geometry import Box, Mask, around, slices
from mlx_moebius.photos.masks import Part, components, dilate
from mlx_moebius.photos.own_colours import fill_parts, levels
from mlx_moebius.photos.photo import Photo

LARGEST = 40  # pixels along a speck's longer side,
SHARE = 64  # but at most 1/64 of the photo's longer side
RING = 5  # pixels round a speck that are compared
REACH = 64  # pixels round a speck that are searched
EDGE = 2  # pixels along a mask that are not copied: what was removed may have left a fringe there
FEW = 24  # pixels of the ring that must be known
LEVEL = 0.1  # weight of a difference in brightness, which is evened out, against one in what is seen
FAR = 0.001  # cost of a pixel's distance, relative to the variance of the ring
CELL = 3  # pixels over which grain averages out when a match is judged
MISFIT, LEAST_MISFIT = 1.0, 6.0  # deviation of a match, relative to the ring's own, and in 8-bit levels


def heal_specks(photo: Photo, mask: Mask, opaque: bool = False) -> tuple[Photo, Mask]:
    """The photo with the specks of a mask [H, W] filled, and the mask of what is left to fill.

    What is larger than a speck stays, and so does a speck whose surroundings are unlike anything near it. With
    `opaque`, filled pixels become opaque; otherwise their opacity stays.
    """
    largest = min(LARGEST, max(photo.height, photo.width) // SHARE)
    specks = [part for part in components(mask) if max(_sides(part.box)) <= largest]
    return fill_parts(photo, mask, specks, lambda unknown, number: _healed(photo, unknown, specks[number]), opaque)


def _healed(photo: Photo, unknown: Mask, part: Part) -> tuple[Mask, Floats] | None:
    """The pixels of a speck and their values [N, C], in 8-bit levels; None where nothing near it fits."""
    frame = around(part.box, REACH, photo.width, photo.height)
    window = around(part.box, RING, photo.width, photo.height)
    missing = unknown[slices(frame)]
    hole = np.zeros((window[3] - window[1], window[2] - window[0]), bool)
    hole[slices(part.box, window[:2])] = part.mask()
    ring = dilate(hole, 2 * RING + 1) & ~dilate(unknown[slices(window)], 3)
    if ring.sum() < FEW:
        return None
    colours = levels(photo, frame)
    colours[missing] = colours[~missing].mean(axis=0)
    origin = window[1] - frame[1], window[0] - frame[0]
    surroundings = colours[origin[0] : origin[0] + hole.shape[0], origin[1] : origin[1] + hole.shape[1]]
    source = _best(colours, dilate(missing, 2 * EDGE + 1), surroundings, ring, hole, origin)
    if source is None:
        return None
    copied = colours[source[0] : source[0] + hole.shape[0], source[1] : source[1] + hole.shape[1]]
    difference = surroundings - copied
    if not _fits(surroundings, difference, ring):
        return None
    return part.mask(), copied[hole] + _continued(difference[ring], np.argwhere(ring), np.argwhere(hole))


def _best(
    colours: Floats, excluded: Mask, surroundings: Floats, ring: Mask, hole: Mask, origin: tuple[int, int]
) -> tuple[int, int] | None:
    """Row and column of the place in `colours` [H, W, C] at which `ring` [h, w] is most like `surroundings` [h, w, C].

    Nothing of the ring or the hole may be `excluded` there. None if there is no such place.
    """
    shape = colours.shape[:2]
    count = float(ring.sum())
    level = surroundings[ring].mean(axis=0)
    centred, template = colours - level, np.where(ring[..., None], surroundings - level, 0)
    # Sums of differences over the ring at every place are correlations.
    planes = [*np.moveaxis(centred, -1, 0), (centred**2).sum(axis=-1), excluded.astype(np.float32)]
    size = _fast(shape[0]), _fast(shape[1])
    spectra = np.fft.rfft2(np.stack(planes), size)
    kernels = [*np.moveaxis(template, -1, 0), ring.astype(np.float32), (ring | hole).astype(np.float32)]
    filters = np.conj(np.fft.rfft2(np.stack(kernels), size))
    channels = len(planes) - 2
    products = np.concatenate(
        [
            (spectra[:channels] * filters[:channels]).sum(axis=0, keepdims=True),
            spectra[:channels] * filters[channels],
            spectra[channels:] * filters[channels:],
        ]
    )
    found = np.fft.irfft2(products, size)[:, : shape[0] - hole.shape[0] + 1, : shape[1] - hole.shape[1] + 1]
    same, sums, squares, taken = found[0], found[1 : 1 + channels], found[-2], found[-1]
    variance = float((template**2).sum()) / count
    offset = (sums**2).sum(axis=0) / count**2  # of the mean, squared
    cost = (squares - 2 * same) / count + variance - (1 - LEVEL) * offset
    rows, columns = np.ogrid[: cost.shape[0], : cost.shape[1]]
    cost += FAR * (variance + 1) * np.hypot(rows - origin[0], columns - origin[1])
    cost[taken > 0.5] = np.inf
    row, column = np.unravel_index(cost.argmin(), cost.shape)
    return (int(row), int(column)) if np.isfinite(cost[row, column]) else None


def _fast(length: int) -> int:
    """The next length that has no prime factors but 2, 3 and 5: transforms of others take several times as long."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


def _fits(surroundings: Floats, difference: Floats, ring: Mask) -> bool:
    """Whether a copy is like the ring, apart from its brightness: grain does not count, and averages out over cells."""
    shape = tuple(-(-length // CELL) for length in ring.shape)
    weight = resize(ring.astype(np.float32), shape)
    whole = weight > 0.5
    if not whole.any():
        return True

    def deviation(values: Floats) -> float:
        means = resize(np.where(ring[..., None], values, 0), shape)[whole] / weight[whole, None]
        return float(means.std(axis=0).max())

    return deviation(difference) <= max(LEAST_MISFIT, MISFIT * deviation(surroundings))


def _continued(values: Floats, known: NDArray[np.int64], wanted: NDArray[np.int64]) -> Floats:
    """Values [N, C] at known points, at other points: means by 1 / distance^4 (Shepard, 1968), grain averaged out."""
    down, across = ((wanted[:, None, axis] - known[:, axis]) ** 2 for axis in (0, 1))
    weights = 1 / (down + across + 4.0) ** 2
    means: Floats = ((weights @ values) / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return means


def _sides(box: Box) -> tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]
