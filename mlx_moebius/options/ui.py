"""The options of `mlx-moebius ui`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from mlx_moebius.cli.values import argument, flag, option
from mlx_moebius.options import common
from mlx_moebius.schema import Bounds

ABOUT = "A page in the browser for removing things from photos; nothing leaves this computer."
EXAMPLES = ("mlx-moebius ui", "mlx-moebius ui wedding/ -o finished/", "mlx-moebius ui --edit photo.tif")
MOST_USED = ()

Paths = Annotated[
    list[Path] | None,
    argument("FOLDER", help="A folder of photos, to be filled one after the other; with --edit, photos."),
]
Edit = Annotated[
    bool, flag("--edit", help="Open these photos one by one, and write each back in place when it is done.")
]
Output = Annotated[
    Path | None, common.output(metavar="FOLDER", help="Where the results of a folder go.", shown="FOLDER_filled")
]
Model = Annotated[
    str | None, common.model(help="What the page starts with.", shown="places2 if it is there, otherwise nano")
]
Port = Annotated[
    int | None,
    option(
        "--port",
        metavar="N",
        kind=Annotated[int, Bounds(0, 65535)],
        help="0: any that is free, as with --edit.",
        shown="7860",
    ),
]
Browser = Annotated[bool, flag("--browser/--no-browser", help="Open the page, or only print its address.")]
Host = Annotated[
    str,
    option("--host", metavar="NAME", help="Serve on this interface of the computer; others need the printed address."),
]
AllowHost = Annotated[
    list[str] | None,
    option("--allow-host", metavar="NAME", help="Another name that this computer is called by. May be repeated."),
]
