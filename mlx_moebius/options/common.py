"""Options that several commands take, declared once."""

from __future__ import annotations

from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer

from mlx_moebius.cli.help import INFORMATION
from mlx_moebius.cli.values import flag, option
from mlx_moebius.memory import parse_size
from mlx_moebius.version import __version__

DtypeName = Literal["float32", "float16", "bfloat16"]

# Options with the same names and values in all commands; a command adds its help.
model = partial(option, "--model", metavar="NAME")
dtype = partial(option, "--dtype", kind=DtypeName)
compute_dtype = partial(dtype, help="What the U-Net computes in.", shown="float16 on a GPU, float32 on a CPU")
memory_limit = partial(option, "--memory-limit", metavar="SIZE", read=parse_size)
output = partial(option, "--output", "-o", kind=Path)

Overwrite = Annotated[bool, flag("--overwrite", help="Replace an output that exists.")]


def show_version(wanted: bool) -> None:
    """Print versions and stop."""
    if wanted:
        typer.echo(f"mlx-moebius {__version__} (mlx {metadata.version('mlx')})")
        raise typer.Exit


Version = Annotated[
    bool,
    flag("--version", panel=INFORMATION, callback=show_version, is_eager=True, help="Show versions and exit."),
]
