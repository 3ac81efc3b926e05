"""Frozen dataclasses that describe a model folder, and their `config.json`.

A model folder holds `config.json`, `unet.safetensors` and `vae.safetensors`. The defaults below are
the released model's (official repository, `config/model_cfg/moebius.yaml`; VAE of hustvl/PixelHacker).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from mlx_moebius.errors import MoebiusError

T = TypeVar("T")

PredictionType = Literal["epsilon", "v_prediction"]
TimestepSpacing = Literal["leading", "trailing"]

CONFIG_NAME = "config.json"
UNET_NAME = "unet.safetensors"
VAE_NAME = "vae.safetensors"


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """The student network (paper, section 3; `golden/unet_full_keys.json` for the released shapes)."""

    in_channels: int = 9
    out_channels: int = 4
    block_out_channels: tuple[int, ...] = (320, 640, 1280)
    layers_per_block: int = 2
    num_heads: int = 8
    num_tokens: int = 10
    num_embeddings: int = 20
    encoder_hid_dim: int = 3072
    cross_attention_dim: int = 768
    sample_size: int = 64
    norm_num_groups: int = 32
    mlp_ratio: float = 2.5
    local_kernel_size: int = 15

    @property
    def time_embed_dim(self) -> int:
        """Width of the time embedding: four times the first block's."""
        return 4 * self.block_out_channels[0]


@dataclass(frozen=True, slots=True)
class VAEConfig:
    """diffusers `AutoencoderKL` with the SDXL topology."""

    in_channels: int = 3
    out_channels: int = 3
    latent_channels: int = 4
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    norm_num_groups: int = 32
    scaling_factor: float = 0.13025

    @property
    def downsampling(self) -> int:
        """Pixels a latent cell covers along each side (8 for the released VAE)."""
        return 2 ** (len(self.block_out_channels) - 1)


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """Noise schedule ("scaled linear" betas), what the network predicts, and where a run's timesteps lie.

    All named and meant as in diffusers' `DDIMScheduler`, with offset 0. Raises ValueError for other words.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    prediction_type: PredictionType = "epsilon"
    timestep_spacing: TimestepSpacing = "leading"

    def __post_init__(self) -> None:
        for name, known in (("prediction_type", PredictionType), ("timestep_spacing", TimestepSpacing)):
            if (value := getattr(self, name)) not in get_args(known):
                raise ValueError(f"{name} is {value!r}; known: {', '.join(get_args(known))}")


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """Defaults of a run; a model folder may carry its own (official command line's otherwise).

    A `guidance_scale` of 1 says that the network knows one branch only: other values are refused for it.
    """

    num_steps: int = 20
    guidance_scale: float = 2.5
    strength: float = 0.99
    noise_offset: float = 0.0357
    compensate: bool = False


@dataclass(frozen=True, slots=True)
class QuantizationConfig:
    """How the U-Net's matrices are stored: bits a weight, weights a scale, and MLX's name of the mode."""

    bits: int = 8
    group_size: int = 64
    mode: str = "affine"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file by name, with its size in bytes and its SHA-256 in hex."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Everything in a model folder's `config.json`."""

    unet: UNetConfig = UNetConfig()
    vae: VAEConfig = VAEConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    sampling: SamplingConfig = SamplingConfig()
    dtype: str = "float16"
    quantization: QuantizationConfig | None = None
    converter_version: str = ""
    sources: tuple[FileRecord, ...] = ()
    files: tuple[FileRecord, ...] = field(default=())

    @property
    def image_size(self) -> int:
        """Side, in pixels, of the square image that the network takes."""
        return self.unet.sample_size * self.vae.downsampling

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; "quantization" only where there is one."""
        values = {"model_type": "moebius", **asdict(self)}
        if self.quantization is None:
            del values["quantization"]
        return values

    def save(self, path: Path) -> None:
        """Write `config.json` at `path`."""
        path.write_text(json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> ModelConfig:
        """Read the `config.json` of a model folder.

        Raises MoebiusError when it is missing, not JSON, or not a Moebius configuration.
        """
        path = folder / CONFIG_NAME
        try:
            values = json.loads(path.read_text())
            if values.get("model_type") != "moebius":
                raise ValueError('"model_type" is not "moebius"')
            return cls(
                unet=build(UNetConfig, values["unet"]),
                vae=build(VAEConfig, values["vae"]),
                scheduler=build(SchedulerConfig, values["scheduler"]),
                sampling=build(SamplingConfig, values["sampling"]),
                dtype=values["dtype"],
                quantization=build(QuantizationConfig, values["quantization"]) if "quantization" in values else None,
                converter_version=values["converter_version"],
                sources=tuple(build(FileRecord, v) for v in values["sources"]),
                files=tuple(build(FileRecord, v) for v in values["files"]),
            )
        except FileNotFoundError:
            raise MoebiusError(f"{folder} is not a model folder: it has no {CONFIG_NAME}") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise MoebiusError(f"{path} is not a model configuration ({error}); convert the model again") from None


def build(cls: type[T], values: dict[str, Any]) -> T:
    """A configuration dataclass from JSON values: lists become tuples, unknown names are refused."""
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - known):
        raise ValueError(f"unknown setting {unknown[0]!r} for {cls.__name__}")
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
