"""The options of `python -m mlx_moebius.generate`: an annotated type each, in the panels that `--help` shows.

A section of this file is a panel; panels, and the options in them, are shown in the order of `generate`'s parameters.
A new option is a type here and a line there. Where None leaves a value open, `show_default` says what it will be.
"""

from __future__ import annotations

from enum import Enum
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.schema import bounds
from mlx_moebius.version import __version__

# No line ends within a paragraph: the terminal's width decides.
ABOUT = (
    "Remove what a mask covers from a photo, at the photo's own resolution; the rest stays as it is.\n\n"
    "The released weights are downloaded at their first use; afterwards no network is touched. "
    "The bundled model, nano, is a demonstration: 4.7 M parameters, 128 x 128 pixels, a few hours of training on two "
    "CPU cores. It works offline and gives colours and coarse shapes; what is sharp in its results is grown from the "
    "photo itself (--no-detail shows the network alone). Real work wants the released weights."
)
INFORMATION = "Information"


class DtypeName(str, Enum):
    """What the U-Net computes in."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


class SolverName(str, Enum):
    """How the sampler steps."""

    ddim = "ddim"
    dpm = "dpm++"


class PresetName(str, Enum):
    """Speed and accuracy in one word, see `inpainting/presets.py`."""

    fast = "fast"
    standard = "standard"
    best = "best"


class DeviceName(str, Enum):
    """Where MLX computes."""

    cpu = "cpu"
    gpu = "gpu"


def parse_dilate(text: str | None) -> int | Literal["auto"] | None:
    """None, "auto", or a whole number of pixels."""
    if text is None:
        return None
    if text == "auto":
        return "auto"
    if not text.isdecimal():
        raise MoebiusError(f'--dilate "{text}" is neither auto nor a number of pixels such as 9')
    return int(text[:20])  # more digits are out of bounds all the same


def show_version(wanted: bool) -> None:
    """Print versions and stop."""
    if wanted:
        typer.echo(f"mlx-moebius {__version__} (mlx {metadata.version('mlx')})")
        raise typer.Exit


def panel(title: str) -> tuple[partial[Any], partial[Any]]:
    """What makes the options of a panel: those with a value, and flags, which have none to name."""
    option = partial(typer.Option, rich_help_panel=title, show_default=False)
    return option, partial(option, metavar="")


def limits(setting: str) -> dict[str, float]:
    """What a setting may be, for its option; whatever gets past it (nan) is refused by `Settings`."""
    allowed = bounds(Settings, setting)
    return {"min": allowed.least, "max": allowed.most}


Photo = Annotated[
    Path,
    typer.Argument(
        metavar="IMAGE",
        show_default=False,
        help="The photo (JPEG, PNG, WebP, TIFF, AVIF, BMP, HEIC, JPEG XL), or a folder.",
    ),
]

option, flag = panel("What to fill")

Masks = Annotated[
    list[str] | None,
    option(
        "--mask",
        "-m",
        metavar="FILE",
        help='Mask file, white = fill; or "alpha": what is transparent. For a folder, a folder too.',
    ),
]
Boxes = Annotated[
    list[str] | None,
    option("--mask-from", metavar="X,Y,W,H", help="A box to fill, in pixels. May be repeated."),
]
Invert = Annotated[bool, flag("--invert", help="Fill what the masks leave out.")]
Yes = Annotated[bool, flag("--yes", help="Fill more than half of a photo without asking.")]
Dilate = Annotated[
    str | None,
    option(
        "--dilate",
        metavar="auto|N",
        help="Grow the mask: by each part's size, or by a square of N pixels (0: not).",
        show_default="auto",
    ),
]
Extend = Annotated[
    str | None,
    option(
        "--extend", metavar="SIDES", help="Widen the frame: left=256,top=10% (pixels or per cent), or 10% on all sides."
    ),
]
Aspect = Annotated[str | None, option("--aspect", metavar="W:H", help="Widen the frame to an aspect such as 16:9.")]
Gravity = Annotated[
    str,
    option(
        "--gravity",
        metavar="SIDE",
        help="Where the photo stays in the wider frame: center, left, right, top or bottom.",
        show_default=True,
    ),
]

option, flag = panel("How to sample")

Model = Annotated[
    str | None,
    option(
        "--model",
        metavar="NAME",
        help="places2, pretrained, celebahq or ffhq (released weights, downloaded at first use), nano (bundled: a "
        "small demonstration), a converted folder, or a repository of the hub.",
        show_default="places2",
    ),
]
Steps = Annotated[
    int | None,
    option(
        "--steps",
        metavar="N",
        **limits("num_steps"),
        help="Sampling steps.",
        show_default="the model's, 20 if it has none",
    ),
]
Guidance = Annotated[
    float | None,
    option(
        "--guidance",
        metavar="SCALE",
        **limits("guidance_scale"),
        help="Guidance scale; 1 is twice as fast, and all that nano knows.",
        show_default="the model's, 2.5",
    ),
]
Strength = Annotated[
    float | None,
    option("--strength", metavar="S", **limits("strength"), help="1 starts from pure noise.", show_default="0.99"),
]
NoiseOffset = Annotated[
    float | None,
    option(
        "--noise-offset",
        metavar="S",
        **limits("noise_offset"),
        help="Share of noise that is the same all over.",
        show_default="0.0357",
    ),
]
Seed = Annotated[
    int | None,
    option("--seed", metavar="N", **limits("seed"), help="Another seed gives another fill.", show_default="0"),
]
Seeds = Annotated[
    int | None,
    option(
        "--seeds", metavar="N", min=2, max=64, help="Only write a numbered sheet of this many fills to choose from."
    ),
]
Pick = Annotated[
    int | None,
    option("--pick", metavar="N", min=1, help="Apply the fill of this number on the sheet."),
]

option, flag = panel("How it looks")

Detail = Annotated[
    bool | None,
    flag(
        "--detail/--no-detail",
        help="Grow what the network cannot give, texture and grain, from the photo round the hole.",
        show_default="detail",
    ),
]
Compensate = Annotated[
    bool | None,
    flag(
        "--compensate/--no-compensate",
        help="Level the fill's colours with what is around it.",
        show_default="compensate",
    ),
]
Paste = Annotated[
    bool,
    flag(
        "--paste/--no-paste",
        help="Blend the fill into the photo, or show the network's whole squares.",
        show_default=True,
    ),
]
Context = Annotated[
    float | None,
    option(
        "--context",
        metavar="N",
        **limits("context"),
        help="How much the network sees, in extents of the part.",
        show_default="2",
    ),
]
MaxCrop = Annotated[
    int | None, option("--max-crop", metavar="N", **limits("max_crop"), help="Largest window, in pixels.")
]
WholeImage = Annotated[bool, flag("--whole-image", help="One window for everything.")]
Reference = Annotated[
    bool,
    flag("--reference", help="Exactly what the official pipeline does: square photos, the model's size out."),
]

option, flag = panel("Files")

Output = Annotated[
    Path | None, option("--output", "-o", metavar="FILE", help="Where to write; beside the photo by default.")
]
Overwrite = Annotated[bool, flag("--overwrite", help="Replace an output that exists.")]
SaveMask = Annotated[Path | None, option("--save-mask", metavar="FILE", help="Also write what was really filled.")]
Quality = Annotated[
    int | None,
    option(
        "--quality",
        metavar="N",
        min=1,
        max=100,
        help="Of JPEG, WebP, AVIF, HEIC, JPEG XL.",
        show_default="the photo's own",
    ),
]
FromMetadata = Annotated[
    Path | None,
    option(
        "--from-metadata",
        metavar="FILE",
        help="Repeat the run that made this file: its model and settings, unless given here.",
    ),
]
MaxPixels = Annotated[
    int | None,
    option(
        "--max-pixels",
        metavar="N",
        min=1,
        help="Most pixels of a photo to read or to extend to.",
        show_default="half of the memory, at 24 bytes each",
    ),
]
KeepTime = Annotated[bool, flag("--keep-time", help="Give the output the photo's modification time.")]
NoMetadata = Annotated[bool, flag("--no-metadata", help="Do not record model and settings in the file.")]

option, flag = panel("Speed")

Preset = Annotated[
    PresetName | None,
    option(
        "--preset",
        help="fast: half the steps with dpm++, low resolutions every second step; standard: the model's own settings; "
        "best: dpm++ with as many steps. All the same for a model of a step or a few, such as nano.",
        show_default="standard",
    ),
]
Solver = Annotated[
    SolverName | None,
    option(
        "--solver",
        help="Faster, not exact: dpm++ needs half the steps, so give --steps 10 with it.",
        show_default="ddim",
    ),
]
GuidanceUntil = Annotated[
    float | None,
    option(
        "--guidance-until",
        metavar="S",
        **limits("guidance_until"),
        help="Faster, not exact: guide only this share of the steps, say 0.6.",
    ),
]
ReuseFeatures = Annotated[
    int | None,
    option(
        "--reuse-features",
        metavar="N",
        **limits("reuse_features"),
        help="Faster, not exact: compute the network's lower resolutions only every N-th step, say 2.",
    ),
]
MemoryLimit = Annotated[
    str | None,
    option("--memory-limit", metavar="SIZE", help="What the network may take, such as 8GB.", show_default="60 %"),
]
Dtype = Annotated[
    DtypeName | None,
    option(
        "--dtype",
        metavar="TYPE",
        help="What the U-Net computes in: float32, float16 or bfloat16.",
        show_default="float16 on a GPU, float32 on a CPU",
    ),
]
Device = Annotated[
    DeviceName | None,
    option("--device", help="Where MLX computes.", show_default="the GPU where MLX has one"),
]

option, flag = panel("Folders")

Recursive = Annotated[bool, flag("--recursive", help="Also the folders inside.")]
Force = Annotated[bool, flag("--force", help="Also photos that an earlier run has done.")]
DryRun = Annotated[bool, flag("--dry-run", help="Only list photos, masks and time.")]
Quiet = Annotated[bool, flag("--quiet", "-q", help="Say only errors.")]
AsJson = Annotated[bool, flag("--json", help="Say events as JSON lines.")]

option, flag = panel(INFORMATION)

Verbose = Annotated[bool, flag("--verbose", "-v", help="Windows, seam, time and memory.")]
Version = Annotated[bool, flag("--version", callback=show_version, is_eager=True, help="Show versions and exit.")]
