"""The command line that makes masks by pointing: `mlx-moebius select PHOTO --box 100,50,200,300`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import typer
from PIL import Image

from mlx_moebius.cli.command import Program
from mlx_moebius.cli.values import UsageError
from mlx_moebius.console import warn
from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import printable
from mlx_moebius.options import common
from mlx_moebius.options import select as options
from mlx_moebius.photos.pairing import MASK_SUFFIX, pair
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.selection.request import parse
from mlx_moebius.selection.request import select as selected
from mlx_moebius.selection.sensor import FEWEST, resolved
from mlx_moebius.writing import write_png

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
    dust: options.Dust = False,
    hairs: options.Hairs = False,
    sensitivity: options.Sensitivity = None,
    people: options.People = False,
    strangers: options.Strangers = False,
    subjects: options.Subjects = False,
    shadow: options.Shadow = False,
    output: options.Output = None,
    overwrite: common.Overwrite = False,
    version: common.Version = False,
) -> None:
    """Select in a photo, or dust in a folder of them, and write masks."""
    drawn = {"box": box, "lasso": lasso, "line": line, "wires" if neighbours else "wire": wire}
    wanted = [parse(f"{kind}:{text}") for kind, texts in drawn.items() for text in texts or ()]
    if neighbours and not wire:
        raise UsageError("--neighbours means those of a wire: give --wire with it")
    if sensitivity is not None and (not (dust or hairs) or photo.is_dir()):
        raise UsageError("--sensitivity is for the dust of one photo: give --dust or --hairs with it")
    if photo.is_dir():
        if wanted or hairs or not dust:
            raise MoebiusError(f"{photo} is a folder: only --dust is for one")
        dust_of_folder(photo, output or default_masks(photo), overwrite)
        return
    specks = {"dust": dust, "hairs": hairs}
    wanted += [
        parse(kind if sensitivity is None else f"{kind}:{sensitivity}") for kind, asked in specks.items() if asked
    ]
    named = {"people": people, "strangers": strangers, "subjects": subjects}
    wanted += [parse(kind) for kind, asked in named.items() if asked]
    if not wanted:
        raise UsageError("what should be selected? Give --box, --lasso, --line, --wire or --dust (--help tells more)")
    wanted += [parse("shadow")] if shadow else []
    target = output or photo.with_name(f"{photo.stem}_mask.png")
    check_target(target, photo, overwrite)
    if output is not None and not target.parent.is_dir():
        raise MoebiusError(f"the folder {target.parent} does not exist")
    picture = read_photo(photo)
    for note in picture.notes:
        warn(note)
    mask = selected(picture, wanted)
    if not mask.any():
        raise MoebiusError(f"there is no {' or '.join(each.text for each in wanted)} in {photo}")
    write_png(Image.fromarray(mask.astype(np.uint8) * 255), target, photo, overwrite)
    typer.echo(printable(str(target)))


def dust_of_folder(folder: Path, output: Path, overwrite: bool) -> None:
    """Write masks of the dust that the photos of a folder share, one for each photo that has some."""
    photos = [folder / found.name for found in pair(folder, None, output, boxes=True).pairs if not found.problem]
    targets = {photo: output / f"{photo.name}{MASK_SUFFIX}.png" for photo in photos}
    for photo, target in targets.items():
        check_target(target, photo, overwrite)
    dust = resolved(["sensor"], photos)
    if not any(dust.values()):
        raise MoebiusError(
            f"the photos of {folder} share no dust: it is told from other spots by {FEWEST} photos or more of one "
            "camera, lens setting and size"
        )
    output.mkdir(parents=True, exist_ok=True)
    for photo, target in targets.items():
        try:
            picture = read_photo(photo)
        except MoebiusError as error:
            warn(f"no mask: {error}")
            continue
        if dust[photo]:
            mask = selected(picture, dust[photo])
            write_png(Image.fromarray(mask.astype(np.uint8) * 255), target, photo, overwrite)
            typer.echo(printable(str(target)))


def default_masks(folder: Path) -> Path:
    """Where masks of a folder go: `FOLDER_masks` beside it."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}_masks")


def check_target(target: Path, photo: Path, overwrite: bool) -> None:
    """Raise MoebiusError for a name that a mask cannot have, or may not replace."""
    if target.suffix.lower() != ".png":
        raise MoebiusError(f"{target} is written as PNG, so its name must end in .png")
    if target.exists():
        if photo.exists() and target.samefile(photo):
            raise MoebiusError(f"{target} is the photo itself: give another name")
        if not overwrite:
            raise MoebiusError(f"{target} exists: give another name, or --overwrite")


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
