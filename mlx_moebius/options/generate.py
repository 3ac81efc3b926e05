"""The options of `mlx-moebius PHOTO`. The sections of this file are the headings below "More" in the help."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from mlx_moebius.cli.values import argument, flag, option
from mlx_moebius.inpainting.presets import Preset as PresetName
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.networks.scheduler import Solver as SolverName
from mlx_moebius.options import common
from mlx_moebius.schema import Bounds

ABOUT = """
Remove what a mask covers from a photo, at the photo's own resolution; the rest stays as it is.

The released weights (places2 and others) are downloaded at their first use; afterwards no network is touched. The
bundled model, nano, is a demonstration: it gives colours and coarse shapes, and what is sharp in its results is grown
from the photo itself. Real work wants the released weights.
"""
EXAMPLES = (
    "mlx-moebius photo.jpg --mask mask.png",
    "mlx-moebius photo.jpg --mask-from 100,50,200,300 --model nano -o filled.jpg",
    "mlx-moebius wedding/ --mask masks/ -o finished/",
)
OTHERS = (
    ("mlx-moebius ui", "the page in the browser"),
    ("mlx-moebius select", "masks by pointing: a thing, a wire"),
    ("mlx-moebius models", "models on this machine, and downloads"),
    ("mlx-moebius train", "fine-tune a model on your own photos"),
    ("mlx-moebius convert", "a PyTorch checkpoint to a model folder, and back"),
    ("mlx-moebius benchmark", "speed, memory and correctness of this machine"),
    ("mlx-moebius completion", "a script for bash, zsh or fish"),
)
MOST_USED = ("images", "mask", "mask_from", "output", "model", "seed", "overwrite")

DeviceName = Literal["cpu", "gpu"]
Side = Literal["center", "left", "right", "top", "bottom"]
Positive = Annotated[int, Bounds(1, 10**12)]

Photos = Annotated[
    list[Path],
    argument("PHOTO", help="Photos (JPEG, PNG, WebP, TIFF, AVIF, BMP, HEIC, JPEG XL), or a folder of them."),
]
Masks = Annotated[
    list[str] | None,
    option(
        "--mask",
        "-m",
        metavar="MASK",
        help="Mask file, white is filled; or alpha: fill what is transparent. For a folder, a folder of masks too.",
    ),
]
Boxes = Annotated[
    list[str] | None, option("--mask-from", metavar="X,Y,W,H", help="A box to fill, in pixels. May be repeated.")
]
Output = Annotated[
    Path | None, common.output(metavar="FILE", help="Where to write: a file, or a folder.", shown="beside the photo")
]
Model = Annotated[
    str | None,
    common.model(
        help="places2, pretrained, celebahq or ffhq (released weights), nano (bundled: a small demonstration), a "
        "converted folder, or a repository of the hub.",
        shown="places2",
    ),
]
Seed = Annotated[
    int | None, option("--seed", metavar="N", of=(Settings, "seed"), help="Another seed gives another fill.")
]

option, flag = partial(option, panel="what to fill"), partial(flag, panel="what to fill")

Select = Annotated[
    list[str] | None,
    option(
        "--select",
        metavar="WHAT",
        help="Select instead of painting, as `mlx-moebius select` does: box:X,Y,W,H, wire:X,Y, dust and others; in a "
        "folder also sensor, the dust that many photos of a camera share.",
    ),
]
Invert = Annotated[bool, flag("--invert", help="Fill what the masks leave out.")]
Yes = Annotated[bool, flag("--yes", help="Fill more than half of a photo without asking.")]
Dilate = Annotated[
    Any,
    option(
        "--dilate",
        metavar="auto|N",
        of=(Settings, "dilate"),
        help="Grow the mask: as fits its thickness, or by a square of N pixels (0: not at all).",
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
    Side | None, option("--gravity", kind=Side, help="Where the photo stays in the wider frame.", shown="center")
]

From = Annotated[
    list[Path] | None,
    option(
        "--from",
        metavar="FILE",
        kind=Path,
        help="Another shot of the same scene, or a folder of them: take from it what it shows of the hole. May be "
        "repeated. Needs the extra shots.",
    ),
]

option, flag = partial(option, panel="how to sample"), partial(flag, panel="how to sample")

Preset = Annotated[
    PresetName | None,
    option(
        "--preset",
        kind=PresetName,
        help="fast: half the steps with dpm++, low resolutions every second step; standard: the model's own settings; "
        "best: dpm++ with as many steps. All the same for a model of a step or a few, such as nano.",
        shown="standard",
    ),
]
Steps = Annotated[
    int | None,
    option("--steps", metavar="N", of=(Settings, "num_steps"), help="Sampling steps.", shown="the model's, mostly 20"),
]
Guidance = Annotated[
    float | None,
    option(
        "--guidance",
        metavar="SCALE",
        of=(Settings, "guidance_scale"),
        help="Guidance scale; 1 is twice as fast, and all that nano knows.",
        shown="the model's, mostly 2.5",
    ),
]
Strength = Annotated[
    float | None, option("--strength", metavar="S", of=(Settings, "strength"), help="1 starts from pure noise.")
]
NoiseOffset = Annotated[
    float | None,
    option(
        "--noise-offset", metavar="S", of=(Settings, "noise_offset"), help="Share of noise that is the same all over."
    ),
]
Seeds = Annotated[
    int | None,
    option(
        "--seeds",
        metavar="N",
        kind=Annotated[int, Bounds(2, 64)],
        help="Only write a numbered sheet of this many fills to choose from.",
    ),
]
Pick = Annotated[
    int | None, option("--pick", metavar="N", kind=Positive, help="Apply the fill of this number on the sheet.")
]

option, flag = partial(option, panel="how it looks"), partial(flag, panel="how it looks")

Detail = Annotated[
    bool | None,
    flag(
        "--detail/--no-detail",
        of=(Settings, "detail"),
        help="Grow texture and grain, which the network cannot give, from the photo round the hole.",
    ),
]
Compensate = Annotated[
    bool | None,
    flag(
        "--compensate/--no-compensate",
        of=(Settings, "compensate"),
        help="Match the fill's colours to what is around it.",
    ),
]
Paste = Annotated[
    bool | None,
    flag(
        "--paste/--no-paste",
        of=(Settings, "paste"),
        help="Blend the fill into the photo, or show the network's whole squares.",
    ),
]
Context = Annotated[
    float | None,
    option(
        "--context",
        metavar="N",
        of=(Settings, "context"),
        help="Side of the square that the network sees, relative to the part to fill.",
    ),
]
MaxCrop = Annotated[
    int | None, option("--max-crop", metavar="N", of=(Settings, "max_crop"), help="Largest window, in pixels.")
]
WholeImage = Annotated[bool, flag("--whole-image", help="One window for everything.")]
Reference = Annotated[
    bool, flag("--reference", help="Do exactly what the official pipeline does: square photos, results of its size.")
]

option, flag = partial(option, panel="files"), partial(flag, panel="files")

SaveMask = Annotated[
    Path | None, option("--save-mask", metavar="FILE", kind=Path, help="Also write what was really filled.")
]
Patch = Annotated[
    Path | None,
    option(
        "--patch",
        metavar="FILE",
        kind=Path,
        help="Write only what changed, PNG or TIFF, to lie over the photo as a layer.",
    ),
]
Quality = Annotated[
    int | None,
    option(
        "--quality",
        metavar="N",
        kind=Annotated[int, Bounds(1, 100)],
        help="Quality of JPEG, WebP, AVIF, HEIC and JPEG XL.",
        shown="the photo's own",
    ),
]
FromMetadata = Annotated[
    Path | None,
    option(
        "--from-metadata",
        metavar="FILE",
        kind=Path,
        help="Repeat the run that made this file: its model and settings, unless given here.",
    ),
]
MaxPixels = Annotated[
    int | None,
    option(
        "--max-pixels",
        metavar="N",
        kind=Positive,
        help="Most pixels of a photo to read or to extend to.",
        shown="half of the memory, at 24 bytes each",
    ),
]
KeepTime = Annotated[bool, flag("--keep-time", help="Give the output the photo's modification time.")]
NoMetadata = Annotated[bool, flag("--no-metadata", help="Do not record model and settings in the file.")]

option, flag = partial(option, panel="speed"), partial(flag, panel="speed")

Solver = Annotated[
    SolverName | None,
    option(
        "--solver",
        of=(Settings, "solver"),
        help="Faster, not exact: dpm++ needs half the steps, so give --steps 10 with it.",
    ),
]
GuidanceUntil = Annotated[
    float | None,
    option(
        "--guidance-until",
        metavar="S",
        of=(Settings, "guidance_until"),
        help="Faster, not exact: guide only this share of the steps, say 0.6.",
    ),
]
ReuseFeatures = Annotated[
    int | None,
    option(
        "--reuse-features",
        metavar="N",
        of=(Settings, "reuse_features"),
        help="Faster, not exact: compute the network's lower resolutions only every N-th step, say 2.",
    ),
]
MemoryLimit = Annotated[
    int | None, common.memory_limit(help="What the network may take, such as 8GB.", shown="60 %", panel="speed")
]
Dtype = Annotated[common.DtypeName | None, common.compute_dtype(panel="speed")]
Device = Annotated[
    DeviceName | None,
    option("--device", kind=DeviceName, help="Where MLX computes.", shown="the GPU where MLX has one"),
]

flag = partial(flag, panel="folders")

Recursive = Annotated[bool, flag("--recursive", help="Also fill photos in the folders inside.")]
FromNeighbours = Annotated[
    bool,
    flag("--from-neighbours", help="Take what shots of the folder from minutes before and after show of the hole."),
]
Force = Annotated[bool, flag("--force", help="Also fill photos that an earlier run has done.")]
Watch = Annotated[bool, flag("--watch", help="Fill photos as they arrive in the folder, until Ctrl-C.")]
DryRun = Annotated[bool, flag("--dry-run", help="Only list photos, masks and time.")]
Quiet = Annotated[bool, flag("--quiet", "-q", help="Show only errors.")]
AsJson = Annotated[bool, flag("--json", help="Print events as lines of JSON.")]

Verbose = Annotated[
    bool, flag("--verbose", "-v", panel=common.INFORMATION, help="Show windows, seam, time and memory.")
]
