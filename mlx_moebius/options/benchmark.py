"""The options of `mlx-moebius benchmark`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from mlx_moebius.cli.values import flag, option
from mlx_moebius.networks.kernels import CONVS
from mlx_moebius.networks.local_term import IMPLS
from mlx_moebius.options import common
from mlx_moebius.schema import Bounds

ABOUT = """
Measure speed and memory of this machine, with the released network's size and generated weights.

With --check: does this machine compute correctly? With --picture: how do fills look?
"""
EXAMPLES = (
    "mlx-moebius benchmark",
    "mlx-moebius benchmark --check",
    "mlx-moebius benchmark --model nano --json today.json --compare earlier.json",
)
MOST_USED = ("check", "model", "dtype", "steps", "json_path", "compare")

Count = Annotated[int, Bounds(1, 1000)]

Check = Annotated[bool, flag("--check", help="Check results instead of speed; exit code 1 if one is wrong.")]
Model = Annotated[str | None, common.model(help="A model by name or folder.", shown="released size, generated weights")]
Dtype = Annotated[common.DtypeName | None, common.compute_dtype()]
Steps = Annotated[int, option("--steps", metavar="N", kind=Count, help="Steps of the whole image.")]
Json = Annotated[Path | None, option("--json", metavar="FILE", kind=Path, help="Write the report here.")]
Compare = Annotated[
    Path | None, option("--compare", metavar="FILE", kind=Path, help="An earlier report to compare with.")
]
Full = Annotated[bool, flag("--full", help="The released size with generated weights, as by default.")]
Batch = Annotated[int, option("--batch", metavar="N", kind=Count, help="Images at a time.")]
Runs = Annotated[int, option("--runs", metavar="N", kind=Count, help="Whole images, after one that is not counted.")]
LocalImpl = Annotated[
    str | None, option("--local-impl", choices=tuple(IMPLS), help="Formulation of the local term: see local_term.py.")
]
ConvImpl = Annotated[
    str | None, option("--conv-impl", choices=tuple(CONVS), help="Form of the 3x3 convolutions: see kernels.py.")
]
Profile = Annotated[bool, flag("--profile", help="Rank the U-Net's blocks by time.")]
Throughput = Annotated[bool, flag("--throughput", help="Also time a guided step at batch 1, 2, 4 and 8.")]
Approximations = Annotated[
    bool, flag("--approximations", help="Also measure what the inexact options cost, on the bundled model.")
]
Picture = Annotated[
    Path | None,
    option(
        "--picture",
        metavar="FOLDER",
        kind=Path,
        help="How fills look instead of speed, on photographs whose truth is known.",
    ),
]
Keep = Annotated[
    Path | None,
    option("--keep", metavar="FOLDER", kind=Path, help="With --picture: write the filled photographs here."),
]
Select = Annotated[
    Path | None,
    option(
        "--select",
        metavar="FOLDER",
        kind=Path,
        help="How well things and wires are selected instead of speed, on photographs with masks and without.",
    ),
]
Shots = Annotated[
    Path | None,
    option(
        "--shots",
        metavar="FOLDER",
        kind=Path,
        help="How near fills from other shots come to the truth instead of speed, on series whose truth is known.",
    ),
]
