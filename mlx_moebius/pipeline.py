"""A photo and a mask in, the filled photo out: plan the windows, fill them with the network, stitch them back.

`MoebiusPipeline` is what other programs use; the command line is one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any, Literal

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius import reference
from mlx_moebius.config import UNET_NAME, SamplingConfig
from mlx_moebius.crops import Window, plan
from mlx_moebius.diffusion import Diffusion, Encoded, Noise, Step, draw_noise
from mlx_moebius.errors import MoebiusError
from mlx_moebius.mask_files import check, load_mask
from mlx_moebius.masks import Mask, dilate, grow, latent_mask
from mlx_moebius.models import find_model
from mlx_moebius.photo import Photo, photo_from_image, to_image
from mlx_moebius.stages import Stages
from mlx_moebius.stitch import Seam, blend, extract, feather_width, match_colour, measure_seam
from mlx_moebius.version import __version__
from mlx_moebius.weights import load_diffusion

BAND = 512  # rows of a photo that are blended at a time, which bounds the memory
MAX_ENLARGEMENT = 3.0  # beyond it the fill is visibly softer than the photo
Callback = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides what comes out, besides model, photo and mask.

    `dilate` is a square kernel in pixels (0: none) or "auto"; `compensate` levels the fill's colours with what lies
    round the mask; `paste` blends the fill into the photo (otherwise the network's whole squares replace it);
    `context`, `max_crop` and `whole_image` plan the windows (see `crops.plan`); `reference` does all as the official
    pipeline does, on the whole image reduced to the network's square.
    """

    num_steps: int = 20
    guidance_scale: float = 2.5
    strength: float = 0.99
    noise_offset: float = 0.0357
    seed: int = 0
    dilate: int | Literal["auto"] = "auto"
    compensate: bool = True
    paste: bool = True
    context: float = 2.0
    max_crop: int | None = None
    whole_image: bool = False
    reference: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """A filled photo, the mask that was filled, the windows, the seam (None: no border), and warnings, a line each."""

    photo: Photo
    mask: Mask
    windows: list[Window]
    seam: Seam | None
    warnings: list[str]

    @property
    def enlargement(self) -> float:
        """Of the most enlarged window: 1 is native detail."""
        return max((window.enlargement for window in self.windows), default=1.0)


@dataclass(frozen=True, slots=True)
class Squares:
    """What the network fills of one photo: images uint8 [S, S, 3] and masks bool [S, S], one for each window."""

    photo: Photo
    mask: Mask
    windows: list[Window]
    images: list[NDArray[np.uint8]]
    masks: list[Mask]


@dataclass(slots=True)
class MoebiusPipeline:
    """A loaded model, ready to fill photos.

    `max_windows` is how many squares are denoised at once; `stages` collects time and memory.
    """

    diffusion: Diffusion
    name: str
    max_windows: int = 4
    stages: Stages = field(default_factory=Stages)

    @classmethod
    def from_pretrained(cls, name: str, dtype: str | None = None) -> MoebiusPipeline:
        """Load a model by name ("nano") or folder; `dtype` as in `weights.load_diffusion`.

        Raises MoebiusError when there is no such model or it is damaged.
        """
        stages = Stages()
        with stages.measure("load"):
            diffusion = load_diffusion(find_model(name), dtype)
        return cls(diffusion, name, stages=stages)

    @property
    def size(self) -> int:
        """Side of the square that the network takes, in pixels."""
        return self.diffusion.config.image_size

    @property
    def sampling(self) -> SamplingConfig:
        """The model's own sampling defaults."""
        return self.diffusion.config.sampling

    def settings(self, **changes: Any) -> Settings:
        """The model's defaults with `changes`; None leaves a default.

        The reference differs from the default in what the official pipeline does not do: no dilation, and colours
        are compensated only where the model asks for it.
        """
        defaults = asdict(self.sampling) | {"compensate": True}
        if changes.get("reference"):
            defaults |= {"compensate": self.sampling.compensate, "dilate": 0}
        return Settings(**defaults | {name: value for name, value in changes.items() if value is not None})

    def provenance(self, settings: Settings) -> dict[str, Any]:
        """What a filled file records: version, model and settings, enough to repeat the run."""
        files = {file.name: file.sha256 for file in self.diffusion.config.files}
        return {"version": __version__, "model": self.name, "unet_sha256": files[UNET_NAME], **asdict(settings)}

    def __call__(
        self,
        image: Image.Image | Sequence[Image.Image],
        mask: Image.Image | Sequence[Image.Image],
        *,
        callback: Callback | None = None,
        output: Literal["pil", "latents"] = "pil",
        latents: mx.array | None = None,
        noise: Noise | None = None,
        **settings: Any,
    ) -> Any:
        """Fill what is white in the mask.

        Args:
            image: a PIL image of any size, or several.
            mask: one for each image, of the same size (or aspect); white, or what is painted, is filled.
            callback: called after every step; whatever it raises ends the run.
            output: "pil" for filled images like those that came in, "latents" for the [B, h, w, 4] array of all
                windows in order (see `crops.plan`; with `reference`, one an image).
            latents: [B, h, w, 4], noisy latents to start from instead of the noised image.
            noise: the randomness of the run (see `diffusion.draw_noise`) instead of the seed's.
            settings: fields of `Settings`, such as num_steps=20, guidance_scale=2.5, seed=0.

        Raises MoebiusError for bad input.
        """
        images = [image] if isinstance(image, Image.Image) else list(image)
        drawings = [mask] if isinstance(mask, Image.Image) else list(mask)
        if len(images) != len(drawings):
            raise MoebiusError(f"{len(images)} images and {len(drawings)} masks: give one mask for each image")
        photos = [photo_from_image(each) for each in images]
        masks = [
            load_mask(photo, [photo_from_image(drawing)])[0] for photo, drawing in zip(photos, drawings, strict=True)
        ]
        chosen = self.settings(**settings)
        prepared = [self.prepare(photo, each, chosen) for photo, each in zip(photos, masks, strict=True)]
        finished = list(self.denoise(prepared, chosen, callback, latents, noise))
        if output == "latents":
            return mx.concatenate(finished)
        results = self._results(prepared, self.decode(finished), chosen)
        filled = [to_image(result.photo.pixels, result.photo.mode) for result in results]
        return filled[0] if isinstance(image, Image.Image) else filled

    def inpaint(self, photo: Photo, mask: Mask, settings: Settings, callback: Callback | None = None) -> Result:
        """Fill one photo where `mask` (bool [H, W]) says so. Raises MoebiusError for what cannot be done."""
        prepared = [self.prepare(photo, mask, settings)]
        latents = self.denoise(prepared, settings, callback)
        return self._results(prepared, self.decode(latents), settings)[0]

    def prepare(self, photo: Photo, mask: Mask, settings: Settings) -> Squares:
        """Plan the windows of a photo and cut them out."""
        if settings.reference:
            return self._prepare_reference(photo, mask, settings)
        mask = grow(mask, settings.dilate)
        check(mask, inverted=False, warnings=[])
        windows = plan(mask, self.size, settings.context, settings.max_crop, settings.whole_image)
        rgb = photo.rgb()
        squares = [extract(rgb, mask, window) for window in windows]
        return Squares(photo, mask, windows, [image for image, _ in squares], [hole for _, hole in squares])

    def _prepare_reference(self, photo: Photo, mask: Mask, settings: Settings) -> Squares:
        """The whole image as the official pipeline resizes it; its output has the network's size."""
        drawing = reference.binarise(Image.fromarray(mask.astype(np.uint8) * 255))
        image = reference.resize_to_multiple(Image.fromarray(photo.rgb()), self.size)
        drawing = reference.resize_to_multiple(drawing, self.size)
        if image.size != (self.size, self.size):
            raise MoebiusError(
                f"--reference resizes this photo to {image.width} x {image.height}, but the network only takes "
                f"{self.size} x {self.size}: crop it to a square or leave --reference out"
            )
        hole = reference.network_mask(drawing)
        if settings.dilate not in ("auto", 0):
            hole = dilate(hole, int(settings.dilate))
        window = Window(0, 0, self.size, self.size, (0, 0, self.size, self.size))
        reduced = replace(photo_from_image(image), format=photo.format, metadata=photo.metadata)
        return Squares(reduced, hole, [window], [np.asarray(image)], [hole])

    def denoise(
        self,
        prepared: Sequence[Squares],
        settings: Settings,
        callback: Callback | None = None,
        latents: mx.array | None = None,
        noise: Noise | None = None,
    ) -> Iterator[mx.array]:
        """Encode and denoise all windows of some photos; yields the final latents [1, h, w, 4] of each in turn."""
        squares = [
            (i, image, hole)
            for each in prepared
            for i, (image, hole) in enumerate(zip(each.images, each.masks, strict=True))
        ]
        batches = -(-len(squares) // self.max_windows)
        rest = iter(squares)
        for batch in range(batches):
            part = list(islice(rest, self.max_windows))
            own = slice(batch * self.max_windows, batch * self.max_windows + len(part))
            vae = self.diffusion.config.vae
            drawn = noise or draw_noise(
                [(settings.seed, i) for i, _, _ in part],
                self.size // vae.downsampling,
                vae.latent_channels,
                settings.noise_offset,
            )
            if noise is not None:
                drawn = Noise(*(array[own] for array in noise))
            with self.stages.measure("encode"):
                encoded = self._encode(part, drawn, settings)
            with self.stages.measure("denoise"):
                steps = self.diffusion.denoise(
                    encoded,
                    drawn,
                    settings.num_steps,
                    settings.guidance_scale,
                    settings.strength,
                    None if latents is None else latents[own],
                )
                for step in steps:
                    if callback is not None:
                        total = step.total * batches
                        callback(step._replace(number=step.number + batch * step.total, total=total))
            yield from mx.split(step.latents, len(part))

    def _encode(self, squares: list[tuple[int, NDArray[np.uint8], Mask]], noise: Noise, settings: Settings) -> Encoded:
        """Window by window, since the VAE's activations are what takes the memory."""
        cell = self.diffusion.config.vae.downsampling
        parts = []
        for index, (_, image, hole) in enumerate(squares):
            pixels = mx.array(image[None]).astype(mx.float32) / 127.5 - 1
            small = latent_mask(hole, cell, settings.reference)
            own = Noise(*(array[index : index + 1] for array in noise))
            hole_array = mx.array(hole[None, ..., None]).astype(mx.float32)
            part = self.diffusion.encode(pixels, hole_array, mx.array(small[None, ..., None]), own)
            mx.eval(part)
            parts.append(part)
        return Encoded(*(mx.concatenate(list(arrays)) for arrays in zip(*parts, strict=True)))

    def decode(self, latents: Iterator[mx.array] | Sequence[mx.array]) -> Iterator[NDArray[np.float32]]:
        """Final latents to fills, float32 [S, S, 3] in 0..1 (slightly beyond), one at a time."""
        for each in latents:
            with self.stages.measure("decode"):
                fill = np.array(self.diffusion.decode(each)[0])
            yield fill

    def _results(
        self, prepared: Sequence[Squares], fills: Iterator[NDArray[np.float32]], settings: Settings
    ) -> list[Result]:
        finish = finish_reference if settings.reference else stitch
        return [finish(each, list(islice(fills, len(each.windows))), settings) for each in prepared]


def stitch(squares: Squares, fills: list[NDArray[np.float32]], settings: Settings) -> Result:
    """Level the colours of each window's fill and blend all into the photo; the rest of it stays bit for bit."""
    photo, mask, windows = squares.photo, squares.mask, squares.windows
    levels = [fill.clip(0, 1) * np.float32(255) for fill in fills]
    if settings.compensate:
        levels = [match_colour(*each) for each in zip(levels, squares.images, squares.masks, strict=True)]
    if not settings.paste:
        windows = [replace(window, box=_inside(window, photo)) for window in windows]
        mask = np.ones_like(mask)
    for top in range(0, photo.height, BAND):
        band = (0, top, photo.width, min(photo.height, top + BAND))
        reaches = [window.reach(photo.width, photo.height) for window in windows]
        if any(reach[1] < band[3] and band[1] < reach[3] for reach in reaches):
            photo = photo.composite(*blend(levels, windows, mask, band), band)
    warnings = []
    enlargement = max((window.enlargement for window in windows), default=1)
    if enlargement > MAX_ENLARGEMENT:
        warnings.append(
            f"the fill is enlarged {enlargement:.1f} times and will be softer than the photo: mask smaller parts"
        )
    gap = max((feather_width(window) for window in windows), default=0)
    seam = measure_seam(photo.rgb(), squares.mask, gap)
    return Result(photo, squares.mask, squares.windows, seam, warnings)


def _inside(window: Window, photo: Photo) -> tuple[int, int, int, int]:
    left, top, right, bottom = window.frame
    return max(0, left), max(0, top), min(photo.width, right), min(photo.height, bottom)


def finish_reference(squares: Squares, fills: list[NDArray[np.float32]], settings: Settings) -> Result:
    """The official pipeline's last step."""
    pixels = reference.to_uint8(fills[0])
    if settings.paste:
        drawing = Image.fromarray(squares.mask.astype(np.uint8) * 255)
        pixels = reference.paste(squares.images[0], pixels, drawing, settings.compensate)
    return Result(replace(squares.photo, pixels=pixels), squares.mask, squares.windows, None, [])
