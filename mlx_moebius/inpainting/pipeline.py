"""A photo and a mask in, the filled photo out: plan the crops, fill them with the network, stitch them back.

`MoebiusPipeline` is what other programs use; the command line is one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
import numpy as np
from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.compose import PreparedCrops, Result, details, finish, match_colours, prepare
from mlx_moebius.inpainting.detail import Detail, Growth
from mlx_moebius.inpainting.extend import Extension, checked, extended, inner_box, overlap, passes
from mlx_moebius.inpainting.outpaint import finish_frame, reliable_cell
from mlx_moebius.inpainting.seam import measure_seam
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.models import find_model
from mlx_moebius.networks.config import UNET_NAME, VAE_NAME, SamplingConfig
from mlx_moebius.networks.diffusion import Diffusion, Encoded, Noise, Step, draw_noise
from mlx_moebius.networks.stages import Stages
from mlx_moebius.networks.weights import load_diffusion
from mlx_moebius.photos.geometry import Colours, Mask, slices
from mlx_moebius.photos.mask_files import load_mask
from mlx_moebius.photos.masks import latent_mask
from mlx_moebius.photos.photo import Photo, photo_from_image, to_image
from mlx_moebius.version import __version__

Event = Step | Growth
Callback = Callable[[Event], None]


@dataclass(slots=True)
class MoebiusPipeline:
    """A loaded model, ready to fill photos.

    `batch_size` is how many crops are denoised at once; `stages` collects time and memory.
    """

    diffusion: Diffusion
    name: str
    batch_size: int = 4
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

        Raises MoebiusError for guidance that the model does not know.
        """
        defaults = asdict(self.sampling) | {"compensate": True}
        if changes.get("reference"):
            defaults |= {"compensate": self.sampling.compensate, "dilate": 0}
        settings = Settings(**defaults | {name: value for name, value in changes.items() if value is not None})
        self.diffusion.check_guidance(settings.guidance_scale)
        return settings

    def provenance(self, settings: Settings, result: Result, quality: int | None = None) -> dict[str, Any]:
        """What a filled file records: what decides its bytes, to repeat the run (see `record`), and how it went.

        `quality` is what the file is written with, None for the source's own.
        """
        files = {file.name: file.sha256 for file in self.diffusion.config.files}
        seam = asdict(result.seam) if result.seam else None
        folder = Path(self.name).expanduser()
        return {
            "version": __version__,
            "model": folder.resolve().name if folder.is_dir() else self.name,  # no folders of the user's
            "unet_sha256": files.get(UNET_NAME),
            "vae_sha256": files.get(VAE_NAME),
            "dtype": str(self.diffusion.dtype).rpartition(".")[-1],
            "device": mx.default_device().type.name,
            "mlx": version("mlx"),
            "batch_size": max(1, min(self.batch_size, len(result.crops))),
            "quality": quality,
            "settings": asdict(settings),
            "enlargement": round(result.enlargement, 3),
            "seam": {name: round(value, 3) for name, value in seam.items()} if seam else None,
            "detail": [detail.figures() for detail in result.details],
        }

    def __call__(
        self,
        image: Image.Image | Sequence[Image.Image],
        mask: Image.Image | Sequence[Image.Image],
        *,
        callback: Callable[[Step], None] | None = None,
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
            output: "pil" for filled images like those that came in, "latents" for the [B, h, w, C] array of all
                crops in order (see `crops.plan`; with `reference`, one an image).
            latents: [B, h, w, C], noisy latents to start from instead of the noised image.
            noise: the randomness of the run (see `diffusion.draw_noise`) instead of the seed's.
            settings: fields of `Settings`, such as num_steps=20, guidance_scale=2.5, seed=0; not `extend`.

        Raises MoebiusError for bad input.
        """
        images = [image] if isinstance(image, Image.Image) else list(image)
        drawings = [mask] if isinstance(mask, Image.Image) else list(mask)
        if len(images) != len(drawings):
            raise MoebiusError(f"{len(images)} images and {len(drawings)} masks: give one mask for each image")
        chosen = self.settings(**settings)
        if chosen.extend:
            raise MoebiusError("extend one photo at a time, with MoebiusPipeline.inpaint")
        prepared = []
        for each, drawing in zip(images, drawings, strict=True):
            photo = photo_from_image(each)
            prepared.append(prepare(photo, load_mask(photo, [photo_from_image(drawing)])[0], self.size, chosen))
        noise = noise or self.draw_noise(prepared, chosen)
        finished = self.denoise(self.encode(prepared, noise, chosen), noise, chosen, callback, latents)
        if output == "latents":
            return checked_finite(finished)
        fills = self.decode(finished)
        results = [self.finish(each, list(islice(fills, len(each.crops))), chosen) for each in prepared]
        filled = [to_image(result.photo.pixels, result.photo.mode) for result in results]
        return filled[0] if isinstance(image, Image.Image) else filled

    def inpaint(self, photo: Photo, mask: Mask | None, settings: Settings, callback: Callback | None = None) -> Result:
        """Fill one photo where `mask` (bool [H, W]) says so, then widen it where the settings say so.

        Raises MoebiusError for what cannot be done.
        """
        steps = passes(Extension(*settings.extend), photo, self.size, settings) if settings.extend else []
        parts = len(steps) + (mask is not None)
        result = None
        if mask is not None:
            result = next(self.variations(photo, mask, settings, [settings.seed], _part(callback, 0, parts)))
            photo = result.photo
        if steps:
            result = self._extend(photo, steps, settings, callback, parts)
        if result is None:
            raise MoebiusError("nothing to do: give a mask or an extension")
        return result

    def variations(
        self,
        photo: Photo,
        mask: Mask,
        settings: Settings,
        seeds: Sequence[int],
        callback: Callback | None = None,
    ) -> Iterator[Result]:
        """Fills of one photo by several seeds, the same as one by one; the photo is planned and encoded once."""
        prepared = [prepare(photo, mask, self.size, settings)]
        encoded = self.encode(prepared, self.draw_noise(prepared, settings), settings)
        for index, seed in enumerate(seeds):
            chosen = replace(settings, seed=seed)
            noise = self.draw_noise(prepared, chosen)
            here = _part(callback, index, len(seeds))
            latents = self.denoise(encoded, noise, chosen, here)
            yield self.finish(prepared[0], list(self.decode(latents)), chosen, here)

    def _extend(
        self, photo: Photo, steps: list[Extension], settings: Settings, callback: Callback | None, parts: int
    ) -> Result:
        """Widen the frame: the network draws pass by pass, then detail is grown once. The photo stays as it is."""
        extension = checked(Extension(*(sum(sides) for sides in zip(*steps, strict=True))), photo)
        settings = replace(settings, opaque=True)
        wide, new = extended(photo, extension)
        canvas, crops, cells, notes = replace(photo, gains=None), [], [], []
        drawn = Extension()
        for index, step in enumerate(steps):
            canvas, added = extended(canvas, step)
            drawn = Extension(*(sum(sides) for sides in zip(drawn, step, strict=True)))
            prepared = prepare(canvas, added, self.size, settings, overlap(step, self.size))
            noise = self.draw_noise([prepared], settings)
            here = _part(callback, parts - len(steps) + index, parts)
            latents = self.denoise(self.encode([prepared], noise, settings), noise, settings, here)
            levels = match_colours(prepared, list(self.decode(latents)), settings)
            squares = zip(prepared.crops, prepared.images, levels, prepared.masks, strict=True)
            cells += [reliable_cell(*each) for each in squares]
            result = finish(prepared, levels, [], settings)
            # A rim of what was there is redrawn, so that the passes meet; the photo itself is kept.
            pixels = result.photo.pixels.copy()
            pixels[slices(inner_box(drawn, photo))] = photo.pixels
            canvas = replace(result.photo, pixels=pixels)
            crops += [crop.moved(extension.left - drawn.left, extension.top - drawn.top) for crop in result.crops]
            notes += [line for line in result.notes if line not in notes]
        canvas = replace(wide, pixels=canvas.pixels)
        with self.stages.measure("detail"):
            canvas, grown = finish_frame(canvas, wide, inner_box(extension, photo), max(cells), settings)
        if callback is not None and grown:
            callback(Growth(len(grown), len(grown)))
        if grown and all(detail.colours is not None for detail in grown):
            notes = []  # of softness
        return Result(canvas, new, crops, measure_seam(canvas.rgb(), new), notes, grown)

    def draw_noise(self, prepared: Sequence[PreparedCrops], settings: Settings) -> Noise:
        """The seed's noise for all crops of some photos."""
        vae = self.diffusion.config.vae
        parts = [index for each in prepared for index in range(len(each.crops))]
        size = self.size // vae.downsampling
        return draw_noise([settings.seed] * len(parts), parts, size, vae.latent_channels, settings.noise_offset)

    def encode(self, prepared: Sequence[PreparedCrops], noise: Noise, settings: Settings) -> Encoded:
        """All crops of some photos, one by one: the VAE's activations are what takes the memory."""
        cell = self.diffusion.config.vae.downsampling
        crops = [pair for each in prepared for pair in zip(each.images, each.masks, strict=True)]
        parts = []
        with self.stages.measure("encode"):
            for index, (image, hole) in enumerate(crops):
                pixels = mx.array(image[None]).astype(mx.float32) / 127.5 - 1
                small = mx.array(latent_mask(hole, cell, settings.reference)[None, ..., None])
                own = Noise(*(array[index : index + 1] for array in noise))
                part = self.diffusion.encode(pixels, mx.array(hole[None, ..., None]).astype(mx.float32), small, own)
                mx.eval(part)
                parts.append(part)
        return Encoded(*(mx.concatenate(list(arrays)) for arrays in zip(*parts, strict=True)))

    def denoise(
        self,
        encoded: Encoded,
        noise: Noise,
        settings: Settings,
        callback: Callable[[Step], None] | None = None,
        latents: mx.array | None = None,
    ) -> mx.array:
        """Final latents [B, h, w, C] of all crops, `batch_size` of them at a time.

        Raises MoebiusError for guidance that the model does not know.
        """
        self.diffusion.check_guidance(settings.guidance_scale)
        total = encoded.latents.shape[0]
        starts = range(0, total, self.batch_size)
        finished = []
        for index, start in enumerate(starts):
            own = slice(start, start + self.batch_size)
            here = _part(callback, index, len(starts))
            with self.stages.measure("denoise"):
                for step in self.diffusion.denoise(
                    Encoded(*(array[own] for array in encoded)),
                    Noise(*(array[own] for array in noise)),
                    settings.num_steps,
                    settings.guidance_scale,
                    settings.strength,
                    latents=None if latents is None else latents[own],
                    guidance_until=settings.guidance_until,
                    solver=settings.solver,
                    reuse_features=settings.reuse_features,
                ):
                    if here is not None:
                        here(step)
            finished.append(step.latents)
        return mx.concatenate(finished)

    def finish(
        self, prepared: PreparedCrops, fills: list[Colours], settings: Settings, callback: Callback | None = None
    ) -> Result:
        """The network's fills (0..1) of one photo, levelled, given detail and blended into it."""
        levels, grown = self.add_detail(prepared, fills, settings, callback)
        return finish(prepared, levels, grown, settings)

    def add_detail(
        self, prepared: PreparedCrops, fills: list[Colours], settings: Settings, callback: Callback | None = None
    ) -> tuple[list[Colours], list[Detail]]:
        """Levelled fills, and what is grown in each crop, which `callback` sees as `Growth`."""
        levels = match_colours(prepared, fills, settings)
        grown: list[Detail] = []
        with self.stages.measure("detail"):
            for detail in details(prepared, levels, settings):
                grown.append(detail)
                if callback is not None:
                    callback(Growth(len(grown), len(levels)))
        return levels, grown

    def decode(self, latents: mx.array | Iterable[mx.array]) -> Iterator[Colours]:
        """Final latents [B, h, w, C] to fills, float32 [S, S, 3] in 0..1 (slightly beyond), one at a time.

        Raises MoebiusError where latents are not finite.
        """
        for each in latents:
            checked_finite(each)
            with self.stages.measure("decode"):
                fill = np.array(self.diffusion.decode(each[None])[0])
            yield fill


def checked_finite(latents: mx.array) -> mx.array:
    """The same latents. Raises MoebiusError where they are not finite, so that such a fill is never written."""
    if not mx.isfinite(latents).all().item():
        raise MoebiusError("the network's numbers overflow: use less --guidance, more --steps, or --dtype float32")
    return latents


def _part(callback: Callable[[Any], None] | None, index: int, parts: int) -> Callable[[Any], None] | None:
    """A callback for the `index`-th of `parts` equal runs, which counts its steps among all of theirs."""
    if callback is None or parts == 1:
        return callback

    def renumbered(event: Event) -> None:
        total = event.total
        callback(event._replace(number=event.number + index * total, total=total * parts))

    return renumbered
