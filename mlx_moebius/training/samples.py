"""Batches: crops of photos at native detail and smaller scales, holes, noise and timesteps, made on threads ahead.

Everything random about a sample follows from the run's seed and the sample's number, so a run goes on where it
stopped, with whatever number of threads.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.networks.unet import BACKGROUND_TOKENS, FOREGROUND_TOKENS
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.masks import components, latent_mask
from mlx_moebius.training.holes import draw_hole, grow_as_official
from mlx_moebius.training.objective import UNIFORM_SHARE, Timesteps, draw_timesteps, sampled_timesteps
from mlx_moebius.training.photos import Decoder, Found, Pixels, empty_places

Floats = NDArray[np.float32]
THREADS = 2
AHEAD = 3  # batches made before they are wanted
NATIVE_SHARE = 0.5  # of the crops, the others show more of the photo, reduced
FOREGROUND_SHARE = 0.5  # of the samples of photos that have an object's mask
OUTLINES = 64  # object outlines kept as shapes of holes


class Batch(NamedTuple):
    """B samples, float32 where not said otherwise.

    images [B, S, S, 3] in [-1, 1]; masks [B, S, S, 1] and latent_masks [B, s, s, 1], 1 = fill; ids int32 [B, M];
    timesteps int64 [B]; noise, image_posterior and masked_posterior [B, s, s, C], the noise with its offset.
    """

    images: Floats
    masks: Floats
    latent_masks: Floats
    ids: NDArray[np.int32]
    timesteps: NDArray[np.int64]
    noise: Floats
    image_posterior: Floats
    masked_posterior: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """What a sample shows: uint8 [S, S, 3], its hole [S, S], and whether the hole is a thing to put back."""

    rgb: NDArray[np.uint8]
    hole: Mask
    foreground: bool


class Samples:
    """The samples of a run by their number, from 0 on: every photo once before any comes again."""

    def __init__(
        self,
        photos: list[Found],
        config: ModelConfig,
        decoder: Decoder,
        seed: int,
        timesteps: Timesteps = "all",
        uniform_share: float = UNIFORM_SHARE,
    ) -> None:
        self.photos, self.config, self.decoder, self.seed = photos, config, decoder, seed
        self.uniform_share = uniform_share
        self.visited = np.array(sampled_timesteps(config)) if timesteps == "sampled" else None
        self.outlines = _outlines(photos, decoder)

    def crop(self, number: int) -> Crop:
        """The picture of one sample. Raises MoebiusError when no photo can be decoded."""
        epoch, place = divmod(number, len(self.photos))
        order = np.random.default_rng((self.seed, 0, epoch)).permutation(len(self.photos))
        rng = np.random.default_rng((self.seed, 1, number))
        for index in np.roll(order, -place):  # the next one where one is broken
            if (pixels := self.decoder(self.photos[index])) is not None:
                return draw_crop(rng, pixels, self.config.image_size, self.outlines)
        raise MoebiusError(f"none of {len(self.photos)} photos can be decoded any more, {self.photos[0].path} for one")

    def batch(self, first: int, count: int) -> Batch:
        """Samples `first` to `first + count - 1`."""
        crops = [self.crop(number) for number in range(first, first + count)]
        rngs = [np.random.default_rng((self.seed, 2, number)) for number in range(first, first + count)]
        total = self.config.scheduler.num_train_timesteps
        if self.visited is None:
            timesteps = np.concatenate([draw_timesteps(rng, 1, total, self.uniform_share) for rng in rngs])
        else:
            timesteps = np.array([rng.choice(self.visited) for rng in rngs])
        return assemble(crops, rngs, timesteps, self.config)

    def ahead(self, first: int, size: int, count: int = 1, stride: int | None = None) -> Generator[Batch, None, None]:
        """Batches of `size` without end, made on threads: `count` of them from sample `first` on, then as many from
        `first + stride` on, and so forth (`stride` is `size * count` if None).
        """
        starts = (
            first + step * (size * count if stride is None else stride) + part * size
            for step in itertools.count()
            for part in range(count)
        )
        with ThreadPoolExecutor(THREADS) as pool:
            pending: deque[Future[Batch]] = deque()
            try:
                while True:
                    while len(pending) < AHEAD:
                        pending.append(pool.submit(self.batch, next(starts), size))
                    yield pending.popleft().result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def assemble(
    crops: list[Crop], rngs: list[np.random.Generator], timesteps: NDArray[np.int64], config: ModelConfig
) -> Batch:
    """Crops with the noise that their generators draw."""
    side, channels = config.unet.sample_size, config.vae.latent_channels
    draws = []
    for rng in rngs:
        noise, image, masked = rng.standard_normal((3, side, side, channels), dtype=np.float32)
        noise += config.sampling.noise_offset * rng.standard_normal(channels, dtype=np.float32)
        draws.append((noise, image, masked))
    tokens = np.array([list(BACKGROUND_TOKENS), list(FOREGROUND_TOKENS)], np.int32)
    return Batch(
        np.stack([crop.rgb for crop in crops]).astype(np.float32) / 127.5 - 1,
        np.stack([crop.hole for crop in crops]).astype(np.float32)[..., None],
        np.stack([latent_mask(crop.hole, config.vae.downsampling) for crop in crops])[..., None],
        tokens[[int(crop.foreground) for crop in crops]],
        timesteps,
        *(np.stack(arrays) for arrays in zip(*draws, strict=True)),
    )


def draw_crop(rng: np.random.Generator, pixels: Pixels, side: int, outlines: list[Mask]) -> Crop:
    """A square of a photo, never enlarged or stretched, and a hole; half of the time mirrored.

    It shows nothing of what is transparent.
    """
    height, width = pixels.rgb.shape[:2]
    largest = min(height, width)
    cut = side if rng.random() < NATIVE_SHARE else round(side * (largest / side) ** rng.random())
    mask = pixels.mask
    foreground = mask is not None and rng.random() < FOREGROUND_SHARE
    left, top = (int(rng.integers(0, n - cut + 1)) for n in (width, height))
    if foreground:
        assert mask is not None
        part = max(components(mask), key=lambda component: component.area)
        cut = min(largest, max(cut, part.box[2] - part.box[0], part.box[3] - part.box[1]))
        left, top = (
            int(np.clip((part.box[i] + part.box[i + 2] - cut) / 2 + rng.normal(0, cut / 8), 0, n - cut))
            for i, n in ((0, width), (1, height))
        )
    if pixels.transparent is not None:
        left, top, cut = opaque_place(pixels.transparent, left, top, cut, side)
    window = slice(top, top + cut), slice(left, left + cut)
    rgb = np.asarray(Image.fromarray(pixels.rgb[window]).resize((side, side), Image.Resampling.LANCZOS))
    hole = draw_hole(rng, side, outlines)
    if foreground:
        assert mask is not None
        shown = Image.fromarray(mask[window]).convert("L").resize((side, side), Image.Resampling.BOX)
        hole = grow_as_official(rng, np.asarray(shown) > 63, side)
        foreground = bool(hole.any())
    if not foreground and not hole.any():
        hole = draw_hole(rng, side)
    if rng.random() < 0.5:
        rgb, hole = rgb[:, ::-1], hole[:, ::-1]
    return Crop(rgb, hole, foreground)


def opaque_place(transparent: Mask, left: int, top: int, cut: int, side: int) -> tuple[int, int, int]:
    """The place nearest to (left, top) where a square holds nothing transparent, and its side.

    That is `cut`, or `side` where no square of `cut` pixels is opaque; one of `side` must be.
    """
    places = empty_places(transparent, cut)
    if not places.any():
        cut, places = side, empty_places(transparent, side)
    stride = max(1, cut // 64)
    if not places[::stride, ::stride].any():
        stride = 1
    rows, columns = (index * stride for index in np.nonzero(places[::stride, ::stride]))
    nearest = np.argmin((rows - top) ** 2 + (columns - left) ** 2)
    return int(columns[nearest]), int(rows[nearest]), cut


def _outlines(photos: list[Found], decoder: Decoder) -> list[Mask]:
    """Objects of the photos' masks, cut to their boxes."""
    shapes: list[Mask] = []
    for photo in photos:
        if photo.mask is not None and len(shapes) < OUTLINES:
            pixels = decoder(photo)
            if pixels is not None and pixels.mask is not None:
                shapes += [part.mask() for part in components(pixels.mask) if part.area >= 64]
    return shapes[:OUTLINES]
