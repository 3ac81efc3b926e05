"""A photo and a mask in, the filled photo out: plan the crops, fill them with the network, stitch them back.

`MoebiusPipeline` is the class that programs use; the command line is one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np

from mlx_moebius.alignment.shot import Shot
from mlx_moebius.alignment.take import unused
from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import expanded
from mlx_moebius.inpainting.call import check_names, fill_pictures
from mlx_moebius.inpainting.compose import PreparedCrops, Result, continue_known
from mlx_moebius.inpainting.detail import Detail, Growth
from mlx_moebius.inpainting.extend import Extension, checked, extended, inner_box, overlap, passes
from mlx_moebius.inpainting.outpaint import finish_frame, reliable_cell
from mlx_moebius.inpainting.prepare import prepare
from mlx_moebius.inpainting.seam import measure_seam
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.memory import parse_size
from mlx_moebius.models import find_model
from mlx_moebius.networks.config import UNET_NAME, VAE_NAME, ModelConfig, SamplingConfig
from mlx_moebius.networks.diffusion import Diffusion, Encoded, NewLatents, Noise, Step, checked_finite, draw_noise
from mlx_moebius.networks.footprint import crops_within
from mlx_moebius.networks.stages import Stages
from mlx_moebius.networks.weights import load_diffusion
from mlx_moebius.photos.geometry import Colours, Mask, slices
from mlx_moebius.photos.masks import components, latent_mask
from mlx_moebius.photos.photo import Photo
from mlx_moebius.runtime import private_kernels
from mlx_moebius.side_by_side import Ahead, Arriving
from mlx_moebius.version import __version__

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from mlx_moebius.inpainting.settings import Changes

Event = Step | Growth
Callback = Callable[[Event], object]


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
    def from_pretrained(
        cls, name: str, dtype: str | None = None, memory_limit: str | int | None = None
    ) -> MoebiusPipeline:
        """Load a model.

        Args:
            name: "places2", "pretrained", "celebahq", "ffhq" (downloaded at their first use), "nano" (bundled), a
                folder, or a repository of the hub ("organisation/name").
            dtype: what the U-Net computes in: "float32", "float16" or "bfloat16"; float16 on a GPU if None.
            memory_limit: what the network may take, in bytes or as "8GB"; a share of the memory if None. It decides
                `batch_size`, on the command line, on the page and here alike.

        Raises MoebiusError when there is no such model, it is damaged, or does not fit.
        """
        stages = Stages()
        folder = find_model(name)
        limit = parse_size(memory_limit) if isinstance(memory_limit, str) else memory_limit
        batch_size = crops_within(ModelConfig.load(folder), limit)
        with stages.measure("load"), private_kernels():
            diffusion = load_diffusion(folder, dtype)
        return cls(diffusion, name, batch_size, stages)

    @property
    def size(self) -> int:
        """Side of the network's input, in pixels."""
        return self.diffusion.config.image_size

    @property
    def sampling(self) -> SamplingConfig:
        """The model's sampling defaults."""
        return self.diffusion.config.sampling

    def settings(self, **changes: Unpack[Changes]) -> Settings:
        """The model's defaults with `changes`; None leaves a default.

        The reference differs from the default in what the official pipeline does not do: no dilation, and colours
        are compensated only where the model asks for it.

        Raises MoebiusError for an unknown setting, and for guidance that the model does not know.
        """
        check_names(changes)
        defaults = asdict(self.sampling) | {"compensate": True}
        if changes.get("reference"):
            defaults |= {"compensate": self.sampling.compensate, "dilate": 0}
        settings = Settings(**defaults | {name: value for name, value in changes.items() if value is not None})
        self.diffusion.check_guidance(settings.guidance_scale)
        return settings

    def provenance(
        self, settings: Settings, result: Result, quality: int | None = None, selected: Sequence[str] = ()
    ) -> dict[str, Any]:
        """What a filled file records: what decides its bytes, to repeat the run (see `record`), and how it went.

        `quality` is the quality that the file is written with, None for that of the source; `selected` is what was
        selected, as texts of `selection.request`.
        """
        files = {file.name: file.sha256 for file in self.diffusion.config.files}
        seam = asdict(result.seam) if result.seam else None
        folder = expanded(self.name)
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
            **({"selected": list(selected)} if selected else {}),
            "enlargement": round(result.enlargement, 3),
            "seam": {name: _rounded(value) for name, value in seam.items()} if seam else None,
            "detail": [detail.figures() for detail in result.details],
        } | ({"shots": [use.figures() for use in result.uses]} if result.uses else {})

    __call__ = fill_pictures

    def inpaint(
        self,
        photo: Photo,
        mask: Mask | None,
        settings: Settings,
        callback: Callback | None = None,
        others: Sequence[Shot] = (),
    ) -> Result:
        """Fill one photo where `mask` (bool [H, W]) says so, then widen it where the settings say so.

        What `others`, shots of the same scene, show of the mask is taken from them.

        Raises MoebiusError for what cannot be done.
        """
        if others and mask is None:
            raise MoebiusError("other shots show what a mask hides: give a mask or a box too, or no other shots")
        steps = passes(Extension(*settings.extend), photo, self.size, settings) if settings.extend else []
        parts = len(steps) + (mask is not None)
        result, uses = None, []
        if mask is not None:
            result = next(self.variations(photo, mask, settings, [settings.seed], _part(callback, 0, parts), others))
            photo, uses = result.photo, result.uses
        if steps:
            result = replace(self._extend(photo, steps, settings, callback, parts), uses=uses)
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
        others: Sequence[Shot] = (),
    ) -> Iterator[Result]:
        """Fills of one photo by several seeds, the same as one by one; the photo is planned and encoded once."""
        prepared = prepare(photo, mask, self.size, settings, others=others)
        if not prepared.crops:
            yield from (_saying(self.finish(prepared, [], settings)) for _ in seeds)
            return
        encoded: list[Encoded] = []
        for index, seed in enumerate(seeds):
            chosen = replace(settings, seed=seed)
            here = _part(callback, index, len(seeds))
            yield _saying(self.finish(prepared, self.fills(prepared, chosen, here, encoded), chosen, here))

    def _extend(
        self, photo: Photo, steps: list[Extension], settings: Settings, callback: Callback | None, parts: int
    ) -> Result:
        """Widen the frame: the network draws pass by pass, then detail is grown once. The photo stays as it is.

        A plain background and flat colours are continued without the network.
        """
        extension = checked(Extension(*(sum(sides) for sides in zip(*steps, strict=True))), photo)
        settings = replace(settings, opaque=True)
        wide, new = extended(photo, extension)
        if settings.detail and settings.paste:
            canvas, rest = continue_known(wide, new, opaque=True)
            if not rest.any():
                seam = measure_seam(canvas.rgb(), new, hidden=canvas.hidden())
                return Result(canvas, new, [], seam, [], continued=len(components(new)))
        canvas, crops, cells, notes = replace(photo, gains=None), [], [], []
        drawn = Extension()
        for index, step in enumerate(steps):
            canvas, added = extended(canvas, step)
            drawn = Extension(*(sum(sides) for sides in zip(drawn, step, strict=True)))
            prepared = prepare(canvas, added, self.size, settings, overlap(step, self.size))
            noise = self.draw_noise([prepared], settings)
            here = _part(callback, parts - len(steps) + index, parts)
            latents = self.denoise(self.encode([prepared], noise, settings), noise, settings, here)
            levels = list(prepared.match_colours(self.decode(latents), settings))
            squares = zip(prepared.crops, prepared.images, levels, prepared.masks, strict=True)
            cells += [reliable_cell(*square) for square in squares]
            result = prepared.finish(levels, [], settings)
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
        return Result(canvas, new, crops, measure_seam(canvas.rgb(), new, hidden=canvas.hidden()), notes, grown)

    def draw_noise(self, prepared: Sequence[PreparedCrops], settings: Settings) -> Noise:
        """The seed's noise for all crops of some photos."""
        vae = self.diffusion.config.vae
        parts = [index for crops_of_one in prepared for index in range(len(crops_of_one.crops))]
        size = self.size // vae.downsampling
        return draw_noise([settings.seed] * len(parts), parts, size, vae.latent_channels, settings.noise_offset)

    def fills(
        self,
        prepared: PreparedCrops,
        settings: Settings,
        callback: Callable[[Step], object] | None = None,
        encoded: list[Encoded] | None = None,
    ) -> Iterator[Colours]:
        """The network's fills of one photo's crops, as from `decode`. A batch is decoded before the next is encoded.

        `callback` as in `denoise`. `encoded` keeps encoded batches for other seeds.
        """
        encoded = [] if encoded is None else encoded
        noise = self.draw_noise([prepared], settings)
        starts = range(0, len(prepared.crops), self.batch_size)
        for number, start in enumerate(starts):
            batch = slice(start, start + self.batch_size)
            here = Noise(*(array[batch] for array in noise))
            if number == len(encoded):
                some = replace(prepared, images=prepared.images[batch], masks=prepared.masks[batch])
                encoded.append(self.encode([some], here, settings))
            yield from self.decode(self.denoise(encoded[number], here, settings, _part(callback, number, len(starts))))

    def encode(self, prepared: Sequence[PreparedCrops], noise: Noise, settings: Settings) -> Encoded:
        """Encode the crops of some photos one by one, since the VAE's activations take most of the memory."""
        cell = self.diffusion.config.vae.downsampling
        if not len(noise.start):
            return Encoded(noise.start, noise.start[..., :1], noise.start)
        crops = [pair for one in prepared for pair in zip(one.images, one.masks, strict=True)]
        parts = []
        with self.stages.measure("encode"), private_kernels():
            for index, (image, hole) in enumerate(crops):
                pixels = mx.array(image[None]).astype(mx.float32) / 127.5 - 1
                small = mx.array(latent_mask(hole, cell, settings.reference)[None, ..., None])
                apart = Noise(*(array[index : index + 1] for array in noise))
                masked = mx.array(hole[None, ..., None]).astype(mx.float32)
                part = self.diffusion.encode(pixels, masked, small, apart, settings.strength)
                mx.eval(part)
                parts.append(part)
        return Encoded(*(mx.concatenate(list(arrays)) for arrays in zip(*parts, strict=True)))

    def denoise(
        self,
        encoded: Encoded,
        noise: Noise,
        settings: Settings,
        callback: Callable[[Step], object] | None = None,
        latents: mx.array | None = None,
    ) -> mx.array:
        """Final latents [B, h, w, C] of all crops, `batch_size` of them at a time.

        `callback` is called with every step; `NewLatents` that it returns replace the step's latents.

        Raises MoebiusError for guidance that the model does not know.
        """
        self.diffusion.check_guidance(settings.guidance_scale)
        total = encoded.latents.shape[0]
        if not total:
            return encoded.latents
        starts = range(0, total, self.batch_size)
        finished = []
        for index, start in enumerate(starts):
            batch = slice(start, start + self.batch_size)
            here = _part(callback, index, len(starts))
            with self.stages.measure("denoise"):
                run = self.diffusion.denoise(
                    Encoded(*(array[batch] for array in encoded)),
                    Noise(*(array[batch] for array in noise)),
                    settings.num_steps,
                    settings.guidance_scale,
                    settings.strength,
                    latents=None if latents is None else latents[batch],
                    guidance_until=settings.guidance_until,
                    solver=settings.solver,
                    reuse_features=settings.reuse_features,
                )
                for step in run:
                    answer = None if here is None else here(step)
                    if isinstance(answer, NewLatents):
                        step = run.send(answer.latents)
            finished.append(step.latents)
        return mx.concatenate(finished)

    def finish(
        self, prepared: PreparedCrops, fills: Iterable[Colours], settings: Settings, callback: Callback | None = None
    ) -> Result:
        """Match the colours of one photo's fills (0..1), add detail, and blend them into the photo."""
        levels, grown = self.add_detail(prepared, fills, settings, callback)
        return prepared.finish(levels, grown, settings)

    def add_detail(
        self, prepared: PreparedCrops, fills: Iterable[Colours], settings: Settings, callback: Callback | None = None
    ) -> tuple[list[Colours], list[Detail]]:
        """The fills with matched colours, and the detail of every crop; `callback` gets a `Growth` per crop.

        Detail is grown on threads of its own while `fills`, such as from `fills`, are still made.
        """
        levels: Arriving[Colours] = Arriving(len(prepared.crops))
        grown: list[Detail] = []
        with Ahead(self._grown(prepared, levels, settings)) as details:
            with levels:
                for each in prepared.match_colours(fills, settings):
                    levels.arrive(each)
            for detail in details:
                grown.append(detail)
                if callback is not None:
                    callback(Growth(len(grown), len(levels)))
        return list(levels), grown

    def _grown(self, prepared: PreparedCrops, levels: Sequence[Colours], settings: Settings) -> Iterator[Detail]:
        """The detail of every crop; its time begins when the first of `levels` is there."""
        list(levels[:1])
        with self.stages.measure("detail"):
            yield from prepared.grow_details(levels, settings)

    def decode(self, latents: mx.array | Iterable[mx.array]) -> Iterator[Colours]:
        """Final latents [B, h, w, C] to fills, float32 [S, S, 3] in 0..1 (slightly beyond), one at a time.

        Raises MoebiusError where latents are not finite.
        """
        for latent in latents:
            checked_finite(latent)
            with self.stages.measure("decode"), private_kernels():
                fill = np.array(self.diffusion.decode(latent[None])[0])
            yield fill


def _rounded(value: float | tuple[float | None, ...]) -> float | list[float | None]:
    if isinstance(value, tuple):
        return [None if part is None else round(part, 3) for part in value]
    return round(value, 3)


def _saying(result: Result) -> Result:
    """The result, with a note on every shot that was given and gave nothing."""
    return replace(result, notes=[*unused(result.uses), *result.notes])


def _part(callback: Callable[[Any], object] | None, index: int, parts: int) -> Callable[[Any], object] | None:
    """A callback for the `index`-th of `parts` equal runs; it numbers steps over all the runs."""
    if callback is None or parts == 1:
        return callback

    def renumbered(event: Event) -> object:
        total = event.total
        return callback(event._replace(number=event.number + index * total, total=total * parts))

    return renumbered
