"""The options of `mlx-moebius convert`."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from mlx_moebius.cli.values import argument, flag, option
from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.config import SamplingConfig
from mlx_moebius.networks.quantize import MODES
from mlx_moebius.options import common
from mlx_moebius.schema import Bounds, from_text, hint_of

ABOUT = """
Convert a PyTorch checkpoint of Moebius into a model folder for MLX.

PyTorch is not needed, and nothing in the checkpoint is executed.
"""
EXAMPLES = (
    "mlx-moebius convert diffusion_pytorch_model.bin my-model/ --vae vae/",
    "mlx-moebius convert checkpoints/ft_places2 my-model/ --quantize 8",
    "mlx-moebius convert my-model/ unet.safetensors --to-pytorch",
)
MOST_USED = ("source", "out", "vae", "dtype", "quantize", "overwrite", "check", "to_pytorch")


def parse_sampling(text: str) -> SamplingConfig:
    """`name=value,name=value` -> sampling defaults. Raises MoebiusError or ValueError."""
    known = [field.name for field in fields(SamplingConfig)]
    values: dict[str, Any] = {}
    for item in filter(None, text.split(",")):
        name, _, value = (part.strip() for part in item.partition("="))
        if name not in known:
            raise MoebiusError(f"unknown sampling default {name!r}; known: {', '.join(known)}")
        values[name] = from_text(value, hint_of(SamplingConfig, name), name)
    return SamplingConfig(**values)


Source = Annotated[
    Path | None,
    argument("SOURCE", help="U-Net checkpoint (.bin, .pt, .pth, .safetensors), or the folder that holds it."),
]
Out = Annotated[Path | None, argument("OUT", help="Model folder to write.")]
Vae = Annotated[
    Path | None,
    option(
        "--vae", metavar="PATH", kind=Path, help="VAE weights with config.json beside them.", shown="vae/ beside SOURCE"
    ),
]
Dtype = Annotated[common.DtypeName, common.dtype(help="Type of the stored weights.")]
Quantize = Annotated[
    str | None,
    option("--quantize", choices=("8", "4"), help="Store the U-Net's matrices in this many bits: a smaller file."),
]
Check = Annotated[
    Path | None, option("--verify", metavar="FOLDER", kind=Path, help="Check a model folder; convert nothing.")
]
ToPytorch = Annotated[
    bool, flag("--to-pytorch", help="Convert back: SOURCE is a model folder, OUT a .safetensors file.")
]
QGroupSize = Annotated[
    int | None,
    option(
        "--q-group-size",
        metavar="N",
        kind=Annotated[int, Bounds(16, 128)],
        help="Weights that share a scale.",
        shown="64 for 8 bits, 32 for 4",
    ),
]
QMode = Annotated[
    str | None,
    option("--q-mode", choices=tuple(MODES), help="mxfp8 has 8 bits, mxfp4 and nvfp4 have 4.", shown="affine"),
]
Sampling = Annotated[
    Any,
    option(
        "--sampling",
        metavar="NAME=VALUE,...",
        read=parse_sampling,
        help="Sampling defaults of the folder, like guidance_scale=1.5,compensate=true.",
    ),
]
Note = Annotated[str, option("--note", metavar="TEXT", help="A sentence for the model card.")]
UploadRepo = Annotated[
    str,
    option("--upload-repo", metavar="ORG/NAME", help="Upload OUT to this repository of the hub, with its model card."),
]
BaseModel = Annotated[str, option("--base-model", metavar="NAME", help="The card's base model, for an upload.")]
License = Annotated[
    str,
    option(
        "--license",
        metavar="NAME",
        help="The card's licence, for an upload.",
        shown="what the base model's card states",
    ),
]
