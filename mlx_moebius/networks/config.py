"""Frozen dataclasses that describe a model folder, and their `config.json`.

A model folder holds `config.json`, `unet.safetensors` and `vae.safetensors`. The defaults below are
the released model's (official repository, `config/model_cfg/moebius.yaml`; VAE of hustvl/PixelHacker).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import HEAD, saved_instead
from mlx_moebius.schema import Bounds, build

# The values that a run's settings may have, whoever sets them: a model folder, the command line, the page, Python.
Steps = Annotated[int, Bounds(1, 1000)]
GuidanceScale = Annotated[float, Bounds(0, 100)]
Share = Annotated[float, Bounds(0, 1)]
NoiseOffset = Annotated[float, Bounds(0, 10)]
# The sizes that a network may have. The size of its weights file bounds them further, see `check_against`.
Count = Annotated[int, Bounds(1, 64)]
Width = Annotated[int, Bounds(1, 65536)]
Size = Annotated[int, Bounds(1, 1024)]
Widths = tuple[Annotated[int, Bounds(1, 16384)], ...]

PredictionType = Literal["epsilon", "v_prediction"]
TimestepSpacing = Literal["leading", "trailing"]

CONFIG_NAME = "config.json"
UNET_NAME = "unet.safetensors"
VAE_NAME = "vae.safetensors"


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """The student network (paper, section 3). The defaults are the released shapes."""

    in_channels: Count = 9
    out_channels: Count = 4
    block_out_channels: Widths = (320, 640, 1280)
    layers_per_block: Count = 2
    num_heads: Count = 8
    num_tokens: Count = 10
    num_embeddings: Size = 20
    encoder_hid_dim: Width = 3072
    cross_attention_dim: Width = 768
    sample_size: Size = 64
    norm_num_groups: Size = 32
    mlp_ratio: Annotated[float, Bounds(0.1, 16)] = 2.5
    local_kernel_size: Count = 15

    @property
    def time_embed_dim(self) -> int:
        """Width of the time embedding: four times the first block's."""
        return 4 * self.block_out_channels[0]


@dataclass(frozen=True, slots=True)
class VAEConfig:
    """diffusers `AutoencoderKL` with the SDXL topology."""

    in_channels: Count = 3
    out_channels: Count = 3
    latent_channels: Count = 4
    block_out_channels: Widths = (128, 256, 512, 512)
    layers_per_block: Count = 2
    norm_num_groups: Size = 32
    scaling_factor: Annotated[float, Bounds(1e-4, 1e4)] = 0.13025

    @property
    def downsampling(self) -> int:
        """Pixels that a latent cell covers, along one side (8 for the released VAE)."""
        return 2 ** (len(self.block_out_channels) - 1)


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """Noise schedule ("scaled linear" betas), what the network predicts, and where a run's timesteps lie.

    The names and their meanings are those of diffusers' `DDIMScheduler`, with offset 0. Raises ValueError for an
    unknown prediction type or spacing.
    """

    num_train_timesteps: Annotated[int, Bounds(2, 10_000)] = 1000
    beta_start: Annotated[float, Bounds(1e-6, 0.1)] = 0.00085
    beta_end: Annotated[float, Bounds(1e-6, 0.1)] = 0.012
    prediction_type: PredictionType = "epsilon"
    timestep_spacing: TimestepSpacing = "leading"

    def __post_init__(self) -> None:
        for name, known in (("prediction_type", PredictionType), ("timestep_spacing", TimestepSpacing)):
            if (value := getattr(self, name)) not in get_args(known):
                raise ValueError(f"{name} is {value!r}; known: {', '.join(get_args(known))}")


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """Default settings of a run. A model folder may state others; those below are the official command line's.

    A `guidance_scale` of 1 says that the network was trained with one branch only: other values are refused for it.
    """

    num_steps: Steps = 20
    guidance_scale: GuidanceScale = 2.5
    strength: Share = 0.99
    noise_offset: NoiseOffset = 0.0357
    compensate: bool = False


@dataclass(frozen=True, slots=True)
class QuantizationConfig:
    """How the U-Net's matrices are stored: bits per weight, weights per scale, and MLX's name of the mode."""

    bits: int = 8
    group_size: int = 64
    mode: str = "affine"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file by name, with its size in bytes and its SHA-256 in hex."""

    name: str
    size: Annotated[int, Bounds(0, 2**50)]
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
            if not isinstance(values, dict) or values.pop("model_type", None) != "moebius":
                raise ValueError('"model_type" is not "moebius"')
            if missing := sorted({"unet", "vae", "scheduler", "sampling", "dtype", "sources", "files"} - set(values)):
                raise ValueError(f"{missing[0]!r} is missing")
            config = build(cls, values)
            check_consistent(config)
            check_against(config, folder)
            return config
        except FileNotFoundError:
            raise MoebiusError(f"{folder} is not a model folder: it has no {CONFIG_NAME}") from None
        except (OSError, ValueError, RecursionError) as error:
            raise MoebiusError(f"{path} is not a model configuration ({error}); convert the model again") from None


def check_consistent(config: ModelConfig) -> None:
    """Check that the fields fit together, such as widths and numbers of groups. Raises ValueError."""
    unet, vae, noise = config.unet, config.vae, config.scheduler
    levels = len(unet.block_out_channels)
    rules = {
        '"dtype" is none that a network computes in': config.dtype in ("float16", "bfloat16", "float32"),
        "a U-Net has 2 to 8 levels": 2 <= levels <= 8,
        "a VAE has 1 to 8 levels": 1 <= len(vae.block_out_channels) <= 8,
        "the U-Net takes noisy latents, a mask and masked latents": unet.in_channels == 2 * vae.latent_channels + 1,
        "the U-Net predicts noise of latents": unet.out_channels == vae.latent_channels,
        "pictures have 3 channels": vae.in_channels == vae.out_channels == 3,
        "background and foreground have 10 tokens each": unet.num_tokens == 10 and unet.num_embeddings >= 20,
        "widths are multiples of heads, groups and 2": all(
            width % parts == 0
            for width in unet.block_out_channels
            for parts in (unet.num_heads, unet.norm_num_groups, 2)
        ),
        "latents are halved at each level": unet.sample_size % 2 ** (levels - 1) == 0,
        "a picture's side is at most 4096": config.image_size <= 4096,
        "a neighbourhood has a centre": unet.local_kernel_size % 2 == 1,
        "noise grows, and leaves something of the picture": noise.beta_start <= noise.beta_end
        and noise.num_train_timesteps * noise.beta_end <= 50,
    }
    for rule, holds in rules.items():
        if not holds:
            raise ValueError(f"not so here: {rule}")


def check_against(config: ModelConfig, folder: Path) -> None:
    """Check that the weights files are large enough for such networks.

    The least size counts only some of the matrices, stored in the fewest bits. A missing file is not reported here but
    where it is loaded. Raises MoebiusError.
    """
    unet, vae = config.unet, config.vae
    # Per layer: one 1x1 convolution of its resnet and half of its feed-forward layer, in squares of the width.
    layer = 1 + unet.mlp_ratio
    matrices = (2 * unet.layers_per_block + 1) * layer * sum(width**2 for width in unet.block_out_channels)
    tokens = unet.encoder_hid_dim * (unet.num_embeddings + unet.cross_attention_dim)
    weight = config.quantization.bits / 8 if config.quantization else 2  # bytes
    convolutions = 9 * (2 * vae.layers_per_block + 1) * sum(width**2 for width in vae.block_out_channels)
    for name, least in ((UNET_NAME, int((matrices + tokens) * weight)), (VAE_NAME, convolutions * 2)):
        path = folder / name
        if path.is_file() and path.stat().st_size < least:
            with path.open("rb") as file:
                if (other := saved_instead(file.read(HEAD), path.stat().st_size)) is not None:
                    raise MoebiusError(f"{path}: {other}")
            raise MoebiusError(
                f"{path} is missing or damaged (what {CONFIG_NAME} describes takes {least} bytes at least); "
                "convert or download the model again"
            )
