"""Which model the command line fills with, with what settings, and where MLX computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx

from mlx_moebius.alignment.sources import find_again
from mlx_moebius.console import warn
from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.pipeline import MoebiusPipeline
from mlx_moebius.inpainting.presets import preset_settings
from mlx_moebius.inpainting.record import Record
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.models import DEFAULT_MODEL, find_model, locate
from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.networks.footprint import crops_within
from mlx_moebius.options import generate as options
from mlx_moebius.options.common import DtypeName
from mlx_moebius.version import __version__


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Model, settings, and how to compute.

    What was not asked for is as the preset says, then as in `earlier`, the record of another fill.
    """

    model: str | None
    dtype: DtypeName | None
    device: options.DeviceName | None
    memory_limit: int | None
    settings: dict[str, Any]
    earlier: Record | None = None
    preset: str | None = None

    @property
    def growth(self) -> int | Literal["auto"]:
        """How the mask will grow, which is known before the model is; see `MoebiusPipeline.settings`."""
        asked = (self.earlier.settings if self.earlier else {}) | self.settings
        amount: int | Literal["auto"] = asked.get("dilate", 0 if asked.get("reference") else "auto")
        return amount

    def shots(self, given: Sequence[Path], photo: Path, record: Path | None) -> list[Path]:
        """The other shots to take from: those given, or those of the fill in the file `record`, which is repeated.

        `photo` may be a folder. Raises MoebiusError where a shot that is recorded is missing, or has changed.
        """
        recorded = self.earlier.shots if self.earlier else ()
        if record is None or not recorded:
            return list(given)
        if given and not {path.name for path in given} & {source.file for source in recorded}:
            return list(given)  # others instead
        return list(dict.fromkeys([*find_again(recorded, given, photo, record), *given]))

    def load(self, beside: int = 0, alone: bool = True) -> tuple[MoebiusPipeline, Settings]:
        """Load the pipeline and its settings, for as many crops at once as memory allows beside `beside` bytes.

        `alone`: a single photo is filled; a repetition then uses no more than the recorded batch size.

        Raises MoebiusError where the memory allows no crop.
        """
        if self.device is not None:
            choose_device(self.device)
        model, dtype = self.model or DEFAULT_MODEL, self.dtype
        if self.earlier is not None:
            model, dtype = self.model or self.earlier.model, dtype or self.earlier.dtype
            if self.model is None and locate(model) is None:  # a file does not decide what is downloaded
                raise MoebiusError(
                    f"the model {model!r:.80}, named by --from-metadata, is not on this machine: give --model"
                )
        config = ModelConfig.load(find_model(model))
        if self.earlier is not None and self.model is None:
            self.earlier.check_model(config)
        crops = crops_within(config, self.memory_limit, beside)
        pipeline = MoebiusPipeline.from_pretrained(model, dtype)
        pipeline.batch_size = crops
        settings: dict[str, Any] = {}
        if self.earlier is not None:
            settings = self.earlier.settings
            if alone:  # one photo: in the same batches, for the same bytes
                pipeline.batch_size = min(crops, self.earlier.batch_size or crops)
            self.warn_of_differences(self.earlier, pipeline)
        preset = preset_settings(self.preset, pipeline.sampling) if self.preset else {}
        return pipeline, pipeline.settings(**settings | preset | self.settings)

    def warn_of_differences(self, earlier: Record, pipeline: MoebiusPipeline) -> None:
        """Warn where version, device, MLX or batch size differ from those of the earlier fill."""
        device = mx.default_device().type.name
        if found := earlier.differences(__version__, device, metadata.version("mlx"), pipeline.batch_size):
            warn(f"the fill may differ in some bytes from the recorded one: {found}")


def choose_device(name: str) -> None:
    """Make MLX compute on "cpu" or "gpu"."""
    try:
        mx.set_default_device(mx.gpu if name == "gpu" else mx.cpu)
    except ValueError:
        raise MoebiusError("MLX has no GPU here: leave --device gpu out") from None
