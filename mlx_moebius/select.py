"""The command line that makes masks by pointing: `mlx-moebius select PHOTO --box 100,50,200,300`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import typer
from PIL import Image

from mlx_moebius.cli.command import Program
from mlx_moebius.cli.values import UsageError
from mlx_moebius.console import warn
from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import permissions, printable, replacing
from mlx_moebius.options import common
from mlx_moebius.options import select as options
from mlx_moebius.photos.marks import png_options
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.selection.request import parse
from mlx_moebius.selection.request import select as selected

program = Program("mlx-moebius select", options.ABOUT, options.EXAMPLES)
app = program.app

PLACE = re.compile(r"-?[\d.]+,-?[\d.]+")
OF_PLACES = ("--lasso", "--line", "--wire")
"""Options that take several places, each a word."""


@program.command(options.MOST_USED)
def select(
    photo: options.Photo,
    box: options.Boxes = None,
    lasso: options.Lassos = None,
    line: options.Lines = None,
    wire: options.Wires = None,
    neighbours: options.Neighbours = False,
    output: options.Output = None,
    overwrite: common.Overwrite = False,
    version: common.Version = False,
) -> None:
    """Select in a photo, and write a mask."""
    drawn = {"box": box, "lasso": lasso, "line": line, "wires" if neighbours else "wire": wire}
    wanted = [parse(f"{kind}:{text}") for kind, texts in drawn.items() for text in texts or ()]
    if not wanted:
        raise UsageError("what should be selected? Give --box, --lasso, --line or --wire (--help tells more)")
    if neighbours and not wire:
        raise UsageError("--neighbours means those of a wire: give --wire with it")
    target = output or photo.with_name(f"{photo.stem}_mask.png")
    if target.suffix.lower() != ".png":
        raise MoebiusError(f"{target} is written as PNG, so its name must end in .png")
    if target.exists():
        if photo.exists() and target.samefile(photo):
            raise MoebiusError(f"{target} is the photo itself: give another name")
        if not overwrite:
            raise MoebiusError(f"{target} exists: give another name, or --overwrite")
    picture = read_photo(photo)
    for note in picture.notes:
        warn(note)
    mask = selected(picture, wanted)
    with replacing(target, overwrite=overwrite, mode=permissions([photo])) as file:
        Image.fromarray(mask.astype(np.uint8) * 255).save(file, "PNG", **png_options())
    typer.echo(printable(str(target)))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line. Places that follow `--wire`, `--lasso` or `--line` are one value."""
    program.main(joined(sys.argv[1:] if arguments is None else arguments))


def joined(words: Sequence[str]) -> list[str]:
    """The words of a command line, with places in a row as one word: --wire 1,2 30,4 becomes --wire "1,2 30,4"."""
    result: list[str] = []
    for word in words:
        if len(result) > 1 and result[-2] in OF_PLACES and PLACE.fullmatch(word):
            result[-1] += f" {word}"
        else:
            result.append(word)
    return result


if __name__ == "__main__":
    main()
