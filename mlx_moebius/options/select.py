"""The options of `mlx-moebius select`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from mlx_moebius.cli.values import argument, flag, option
from mlx_moebius.options import common
from mlx_moebius.schema import Bounds

ABOUT = """
Make a mask by pointing: the outline of a thing in a box, a wire from a click.

The mask is a file of the photo's size, white where to fill. PHOTO_mask.png beside the photo is what filling looks for.
"""
EXAMPLES = (
    "mlx-moebius select photo.jpg --box 100,50,200,300 -o mask.png",
    "mlx-moebius select photo.jpg --wire 20,310 1800,240",
    "mlx-moebius select wedding/ --dust -o masks/",
)
MOST_USED = ("photo", "box", "lasso", "wire", "dust", "output")

Photo = Annotated[Path, argument("PHOTO", help="A photo, or with --dust a folder of them.")]
Boxes = Annotated[
    list[str] | None,
    option("--box", metavar="X,Y,W,H", help="The object in a box, in pixels. May be repeated, as all of these."),
]
Lassos = Annotated[
    list[str] | None, option("--lasso", metavar="X,Y ...", help="The object inside of a line drawn round it.")
]
Lines = Annotated[
    list[str] | None, option("--line", metavar="X,Y ...", help="The object below a rough line drawn over it.")
]
Wires = Annotated[
    list[str] | None,
    option("--wire", metavar="X,Y [X,Y]", help="The wire at a place, or at two, to where it ends or leaves the photo."),
]
Neighbours = Annotated[bool, flag("--neighbours", help="With --wire: also its neighbours of the same direction.")]
Dust = Annotated[bool, flag("--dust", help="Dust of a scan; in a folder, dust of the camera's sensor.")]
Hairs = Annotated[bool, flag("--hairs", help="Hairs and scratches of a scan.")]
People = Annotated[bool, flag("--people", help="All people. On macOS 14 or later alone, as the next two.")]
Strangers = Annotated[bool, flag("--strangers", help="All people but the largest.")]
Subjects = Annotated[bool, flag("--subjects", help="What stands out of the background.")]
Shadow = Annotated[bool, flag("--shadow", help="Also the shadow of what is selected, as far as it looks like one.")]
Sensitivity = Annotated[
    float | None,
    option(
        "--sensitivity",
        metavar="S",
        kind=Annotated[float, Bounds(0, 1)],
        help="With --dust or --hairs in a photo: 0 takes the clearest spots alone, 1 faint ones, too.",
        shown="0.5",
    ),
]
Output = Annotated[
    Path | None,
    common.output(
        metavar="FILE",
        help="Where to write the mask, PNG; of a folder, a folder.",
        shown="PHOTO_mask.png, FOLDER_masks",
    ),
]
