"""What decides how a photo is filled, besides model, photo and mask."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Literal, TypedDict

from mlx_moebius.networks.config import GuidanceScale, NoiseOffset, Share, Steps
from mlx_moebius.networks.scheduler import Solver
from mlx_moebius.schema import Bounds, check

Seed = Annotated[int, Bounds(0, 2**64 - 1)]
PixelCount = Annotated[int, Bounds(0, 1_000_000)]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides what comes out, besides model, photo and mask.

    `guidance_until`, `solver` and `reuse_features` (see `Diffusion.denoise`) trade exactness for time.
    `dilate` is a square kernel in pixels (0: none) or "auto"; `compensate` matches the fill's colours to what lies
    round the mask; `paste` blends the fill into the photo (otherwise whole crops of the network replace it);
    `context`, `max_crop` and `whole_image` plan the crops (see `crops.plan`); `extend` widens the frame, in pixels
    (left, top, right, bottom); `opaque` makes what is filled opaque (otherwise transparency stays); `reference` does
    all as the official pipeline does, on the whole image resized to the network's input; `detail` adds fine
    detail, which the network cannot draw, from the photo (see `synthesis`).

    Raises MoebiusError for a value of the wrong type or out of bounds.
    """

    num_steps: Steps = 20
    guidance_scale: GuidanceScale = 2.5
    strength: Share = 0.99
    noise_offset: NoiseOffset = 0.0357
    seed: Seed = 0
    dilate: PixelCount | Literal["auto"] = "auto"
    compensate: bool = True
    paste: bool = True
    context: Annotated[float, Bounds(1, 1000)] = 2.0
    max_crop: PixelCount | None = None
    whole_image: bool = False
    extend: tuple[PixelCount, PixelCount, PixelCount, PixelCount] | None = None
    opaque: bool = False
    reference: bool = False
    guidance_until: Share = 1.0
    solver: Solver = "ddim"
    reuse_features: Steps = 1
    detail: bool = True

    def __post_init__(self) -> None:
        check(self)


FIELDS = tuple(field.name for field in fields(Settings))


class Changes(TypedDict, total=False):
    """Some of the settings, as keyword arguments; None leaves one as it is."""

    num_steps: int | None
    guidance_scale: float | None
    strength: float | None
    noise_offset: float | None
    seed: int | None
    dilate: int | Literal["auto"] | None
    compensate: bool | None
    paste: bool | None
    context: float | None
    max_crop: int | None
    whole_image: bool | None
    extend: tuple[int, int, int, int] | None
    opaque: bool | None
    reference: bool | None
    guidance_until: float | None
    solver: Solver | None
    reuse_features: int | None
    detail: bool | None
