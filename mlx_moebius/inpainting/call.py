"""`pipe(image, mask)`: pictures in, filled pictures of the same kind out.

Settings go by our names, or by diffusers' where those mean the same. Begin with `fill_pictures`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

import mlx.core as mx
import numpy as np
from PIL import Image

from mlx_moebius.errors import GIVEN, Change, MoebiusError
from mlx_moebius.inpainting.pictures import Array, Picture, as_array, as_image, as_mask, as_photo, check_image
from mlx_moebius.inpainting.prepare import prepare
from mlx_moebius.inpainting.settings import FIELDS, Changes, Settings
from mlx_moebius.networks.diffusion import NewLatents, Noise, Step, checked_finite
from mlx_moebius.networks.scheduler import Solver
from mlx_moebius.photos.mask_files import load_mask
from mlx_moebius.photos.photo import Photo

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from mlx_moebius.inpainting.pipeline import MoebiusPipeline

One: TypeAlias = "Image.Image | str | Path"
Same = TypeVar("Same", Array, Photo)
Output: TypeAlias = Literal["pil", "np", "latents"]
StepEnd: TypeAlias = "Callable[[MoebiusPipeline, int, int, dict[str, Any]], Mapping[str, Any] | None]"
NOT_TAKEN = {
    "prompt": "the network reads no text",
    "negative_prompt": "the network reads no text",
    "generator": "give a number as seed",
    "height": "a photo keeps its size",
    "width": "a photo keeps its size",
    "num_images_per_prompt": "call once for each seed",
    "return_dict": "pictures are returned as they are",
    "callback_on_step_end_tensor_inputs": "the callback gets latents",
    "steps": "did you mean num_steps?",
    "guidance": "did you mean guidance_scale?",
}
"""Words of diffusers that mean nothing here, and words of the command line."""


class Words(Changes, total=False):
    """What `pipe(...)` takes besides pictures and the kind of output."""

    settings: Settings | None
    invert: bool
    callback: Callable[[Step], object] | None
    latents: mx.array | None
    noise: Noise | None
    num_inference_steps: int | None
    callback_on_step_end: StepEnd | None


# Overloads overlap for mypy alone: a path is also a sequence of texts, but never many pictures.
@overload
def fill_pictures(  # type: ignore[overload-overlap]
    pipe: MoebiusPipeline, image: One, mask: Picture, *, output: Literal["pil"] | None = None, **words: Unpack[Words]
) -> Image.Image: ...
@overload
def fill_pictures(  # type: ignore[overload-overlap]
    pipe: MoebiusPipeline,
    image: Sequence[One],
    mask: Sequence[Picture],
    *,
    output: Literal["pil"] | None = None,
    **words: Unpack[Words],
) -> list[Image.Image]: ...
@overload
def fill_pictures(
    pipe: MoebiusPipeline, image: Same, mask: Picture, *, output: None = None, **words: Unpack[Words]
) -> Same: ...
@overload
def fill_pictures(
    pipe: MoebiusPipeline,
    image: Sequence[Same],
    mask: Sequence[Picture],
    *,
    output: None = None,
    **words: Unpack[Words],
) -> list[Same]: ...
@overload
def fill_pictures(  # type: ignore[overload-overlap]
    pipe: MoebiusPipeline, image: Picture, mask: Picture, *, output: Literal["pil"], **words: Unpack[Words]
) -> Image.Image: ...
@overload
def fill_pictures(  # type: ignore[overload-overlap]
    pipe: MoebiusPipeline, image: Picture, mask: Picture, *, output: Literal["np"], **words: Unpack[Words]
) -> Array: ...
@overload
def fill_pictures(
    pipe: MoebiusPipeline,
    image: Sequence[Picture],
    mask: Sequence[Picture],
    *,
    output: Literal["pil"],
    **words: Unpack[Words],
) -> list[Image.Image]: ...
@overload
def fill_pictures(
    pipe: MoebiusPipeline,
    image: Sequence[Picture],
    mask: Sequence[Picture],
    *,
    output: Literal["np"],
    **words: Unpack[Words],
) -> list[Array]: ...
@overload
def fill_pictures(
    pipe: MoebiusPipeline,
    image: Picture | Sequence[Picture],
    mask: Picture | Sequence[Picture],
    *,
    output: Literal["latents"],
    **words: Unpack[Words],
) -> mx.array: ...
@overload
def fill_pictures(
    pipe: MoebiusPipeline,
    image: Picture | Sequence[Picture],
    *,
    mask_image: Picture | Sequence[Picture],
    output_type: Literal["pil", "latent"] | None = None,
    **words: Unpack[Words],
) -> Any: ...
def fill_pictures(
    pipe: MoebiusPipeline,
    image: Picture | Sequence[Picture],
    mask: Picture | Sequence[Picture] | None = None,
    *,
    settings: Settings | None = None,
    num_steps: int | None = None,
    guidance_scale: float | None = None,
    strength: float | None = None,
    noise_offset: float | None = None,
    seed: int | None = None,
    dilate: int | Literal["auto"] | None = None,
    compensate: bool | None = None,
    paste: bool | None = None,
    context: float | None = None,
    max_crop: int | None = None,
    whole_image: bool | None = None,
    opaque: bool | None = None,
    reference: bool | None = None,
    guidance_until: float | None = None,
    solver: Solver | None = None,
    reuse_features: int | None = None,
    detail: bool | None = None,
    invert: bool = False,
    callback: Callable[[Step], object] | None = None,
    output: Output | None = None,
    latents: mx.array | None = None,
    noise: Noise | None = None,
    mask_image: Picture | Sequence[Picture] | None = None,
    num_inference_steps: int | None = None,
    callback_on_step_end: StepEnd | None = None,
    output_type: str | None = None,
    **unknown: Any,
) -> Any:
    """Fill what is white in the mask.

    Args:
        image: a PIL image, the path of a file, or an array uint8 or uint16, [H, W] or [H, W, C]; or several.
        mask: one mask per image, of the same size or aspect. White, or what is painted, is filled. It may also be a
            bool array [H, W], or "alpha" for what is transparent in the image.
        settings: all settings at once; settings given one by one override it. None for the model's defaults.
        num_steps, ..., detail: see `Settings`.
        invert: fill what the mask leaves out.
        callback: called with every step (see `Step`); whatever it raises ends the run.
        output: None for what the image was: PIL images for PIL images and paths, arrays for arrays. "pil", "np"
            (uint8 or uint16, as deep as the image), or "latents" for one array [B, h, w, C] of all crops in order
            (see `crops.plan`; with `reference`, one per image).
        latents: [B, h, w, C], noisy latents to start from instead of the noised image.
        noise: the randomness of the run (see `diffusion.draw_noise`) instead of the seed's.
        mask_image, num_inference_steps, output_type ("pil" or "latent"): diffusers' names of mask, num_steps, output.
        callback_on_step_end: called as diffusers does, with the pipeline, the step from 0, its timestep, and
            {"latents": [B, h, w, C]}. If it returns a dict with "latents", these replace the run's.

    Warns (`warnings.warn`) of what may not be meant. Raises MoebiusError for bad input.
    """
    for word in unknown:
        raise unknown_word(word)
    masks = one_of("mask", mask, "mask_image", mask_image)
    kind = output_kind(one_of("output", output, "output_type", output_type))
    chosen = chosen_settings(
        pipe,
        settings,
        {
            "num_steps": one_of("num_steps", num_steps, "num_inference_steps", num_inference_steps),
            "guidance_scale": guidance_scale,
            "strength": strength,
            "noise_offset": noise_offset,
            "seed": seed,
            "dilate": dilate,
            "compensate": compensate,
            "paste": paste,
            "context": context,
            "max_crop": max_crop,
            "whole_image": whole_image,
            "opaque": opaque,
            "reference": reference,
            "guidance_until": guidance_until,
            "solver": solver,
            "reuse_features": reuse_features,
            "detail": detail,
        },
    )
    if chosen.extend:
        raise MoebiusError("pictures of a call keep their frame", "mlx_moebius.fill for a wider one")
    if masks is None:
        raise MoebiusError("no mask", Change("mask", GIVEN))
    pictures, drawings = several(image), several(masks)
    if len(pictures) != len(drawings):
        raise MoebiusError(f"{len(pictures)} images and {len(drawings)} masks", "give one mask for each image")
    prepared, notes = [], list[str]()
    for number, (picture, drawing) in enumerate(zip(pictures, drawings, strict=True)):
        try:
            photo = as_photo(picture)
            if wanted_kind(picture, kind) == "pil":
                check_image(photo)
            drawn, said = load_mask(photo, [as_mask(drawing)], invert=invert)
            prepared.append(prepare(photo, drawn, pipe.size, chosen))
        except MoebiusError as error:
            raise (error.within(f"image {number}") if len(pictures) > 1 else error) from None
        notes += [*photo.notes, *said]
    noise = pipe.draw_noise(prepared, chosen) if noise is None else noise
    watch = watched(pipe, callback, callback_on_step_end)
    finished = pipe.denoise(pipe.encode(prepared, noise, chosen), noise, chosen, watch, latents)
    if kind == "latents":
        return checked_finite(finished)
    fills = pipe.decode(finished)
    results = [pipe.finish(crops_of_one, islice(fills, len(crops_of_one.crops)), chosen) for crops_of_one in prepared]
    for note in dict.fromkeys([*notes, *(line for result in results for line in result.warnings)]):
        warnings.warn(note, stacklevel=2)
    filled = [
        given_back(filled_one.photo, picture, kind) for filled_one, picture in zip(results, pictures, strict=True)
    ]
    return filled if is_several(image) else filled[0]


def chosen_settings(pipe: MoebiusPipeline, settings: Settings | None, changes: Mapping[str, Any]) -> Settings:
    """`settings`, or the model's defaults if None, with `changes`; a change of None is ignored. Raises MoebiusError."""
    check_names(changes)
    given = {name: value for name, value in changes.items() if value is not None}
    if settings is None:
        return pipe.settings(**given)
    pipe.diffusion.check_guidance(given.get("guidance_scale", settings.guidance_scale))
    return replace(settings, **given)


def check_names(changes: Mapping[str, Any]) -> None:
    """Raise MoebiusError for a name that is no field of `Settings`."""
    for name in changes:
        if name not in FIELDS:
            raise unknown_word(name)


def unknown_word(word: str) -> MoebiusError:
    """The error for an unknown parameter, with a hint at what may have been meant."""
    known = [*FIELDS, *Words.__annotations__, "output"]
    near = get_close_matches(word, known, 1)
    hint = NOT_TAKEN.get(word) or (f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted({*known}))}")
    return MoebiusError(f"there is no parameter {word!r}", hint)


def one_of(name: str, value: Any, other: str, same: Any) -> Any:
    """The value of a parameter that has two names. Raises MoebiusError where both are given."""
    if value is not None and same is not None:
        raise MoebiusError(f"{other} is another name of {name}", "give one of them")
    return same if value is None else value


def output_kind(name: str | None) -> Output | None:
    """A kind of output by our name or diffusers'. Raises MoebiusError for any other."""
    kinds: dict[str | None, Output | None] = {None: None, "pil": "pil", "np": "np", "latents": "latents"}
    kinds["latent"] = "latents"
    if name not in kinds:
        raise MoebiusError(f"output must be pil, np or latents, not {name!r:.60}")
    return kinds[name]


def several(pictures: Any) -> list[Any]:
    """Pictures as a list, one or many."""
    return list(pictures) if is_several(pictures) else [pictures]


def is_several(pictures: Any) -> bool:
    """Whether a parameter holds many pictures: a sequence that is no path."""
    return isinstance(pictures, Sequence) and not isinstance(pictures, str)


def wanted_kind(picture: Any, output: Output | None) -> Output | None:
    """The kind of picture to give back; None for a photo."""
    if output is not None:
        return output
    return "np" if isinstance(picture, np.ndarray) else None if isinstance(picture, Photo) else "pil"


def given_back(photo: Photo, picture: Any, output: Output | None) -> Any:
    """A filled photo as the kind of picture that is wanted, or else of the kind that came in."""
    kind = wanted_kind(picture, output)
    return photo if kind is None else as_image(photo) if kind == "pil" else as_array(photo, picture)


def watched(
    pipe: MoebiusPipeline, callback: Callable[[Step], object] | None, step_end: StepEnd | None
) -> Callable[[Step], object] | None:
    """One callback that calls both. Latents that `step_end` returns replace the step's."""
    if step_end is None:
        return callback

    def watch(step: Step) -> NewLatents | None:
        if callback is not None:
            callback(step)
        returned = step_end(pipe, step.number - 1, step.timestep, {"latents": step.latents})
        latents = None if returned is None else returned.get("latents")
        return None if latents is None or latents is step.latents else NewLatents(latents)

    return watch
