"""Reads what a filled file records about its filling: enough to repeat it, or to say why that is impossible."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from mlx_moebius.alignment.sources import Source
from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.networks.config import UNET_NAME, VAE_NAME, ModelConfig
from mlx_moebius.photos.photo import read_provenance
from mlx_moebius.schema import Bounds, build


@dataclass(frozen=True, slots=True)
class Record:
    """What `MoebiusPipeline.provenance` wrote. What earlier versions did not write is None.

    `settings` are fields of `Settings`. `quality` is what was asked for, None for that of the source.
    """

    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    version: str | None = None
    unet_sha256: str | None = None
    vae_sha256: str | None = None
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    device: str | None = None
    mlx: str | None = None
    batch_size: Annotated[int, Bounds(1, 1000)] | None = None
    quality: Annotated[int, Bounds(1, 100)] | None = None
    shots: tuple[Source, ...] = ()
    selected: tuple[str, ...] = ()
    """What was selected, as texts of `selection.request`."""

    def check_model(self, config: ModelConfig) -> None:
        """Raise MoebiusError where a model of this name is here, but not the one that filled the file."""
        files = {file.name: file.sha256 for file in config.files}
        for name, recorded in ((UNET_NAME, self.unet_sha256), (VAE_NAME, self.vae_sha256)):
            if recorded is not None and files.get(name) != recorded:
                raise MoebiusError(
                    f"the file was filled by another model called {self.model!r:.80}: its {name} had the SHA-256 "
                    f"{recorded:.12}..., the one here has {files.get(name)!s:.12}...; choose the model by its folder"
                )

    def differences(self, version: str, device: str, mlx: str, batch_size: int) -> str:
        """What differs from the recorded run and may change some bytes, in words; empty if nothing differs."""
        pairs = {
            "mlx-moebius": (self.version, version),
            "the device": (self.device, device),
            "MLX": (self.mlx, mlx),
            "the number of crops in a batch": (self.batch_size, batch_size),
        }
        return ", ".join(f"{name} was {was}, is {now}" for name, (was, now) in pairs.items() if was not in (None, now))


def read_record(path: Path) -> Record:
    """The record of a filled file, checked. Raises MoebiusError where there is none, or one that cannot be."""
    values = read_provenance(path) or {}
    asked = values.get("settings")
    if not isinstance(asked, dict) or not isinstance(values.get("model"), str):
        raise MoebiusError(f"{path} does not say how it was filled: it was written without a record, or elsewhere")
    if unknown := set(asked) - {field.name for field in fields(Settings)}:
        raise MoebiusError(f"{path} was filled by another version, with the unknown setting {min(unknown)!r:.60}")
    try:
        settings = build(Settings, asked)
        known = {field.name: values[field.name] for field in fields(Record) if field.name in values}
        known["shots"] = _sources(values.get("shots", ()))
        return build(Record, known | {"settings": {name: getattr(settings, name) for name in asked}})
    except (ValueError, MoebiusError) as error:
        raise MoebiusError(f"{path} was filled with settings that cannot be: {error}") from None


def _sources(shots: Any) -> tuple[Source, ...]:
    """The other shots that a record names. Raises ValueError for what is no list of them."""
    if not isinstance(shots, list | tuple):
        raise ValueError("shots must be a list")
    return tuple(build(Source, shot, extra=True) for shot in shots)
