"""Where the command line writes a photo, and what it must not replace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import permissions, replacing
from mlx_moebius.photos.marks import png_options
from mlx_moebius.photos.pairing import folded
from mlx_moebius.photos.save import default_output


@dataclass(frozen=True, slots=True)
class Writing:
    """Where and how to write; `output` is None for the usual place."""

    output: Path | None
    overwrite: bool
    quality: int | None
    metadata: bool
    keep_time: bool
    as_patch: bool = False

    def target(self, photo: Path, save_mask: Path | None, sheet: bool, several: bool) -> Path:
        """The file to write for a photo, or for a sheet of fills. Raises MoebiusError if it must not be written.

        `output` is a folder if a folder of that name exists, if nothing exists and the name has no extension, or for
        `several` photos; the folder is made.
        """
        usual = photo.with_name(f"{photo.stem}_seeds.png") if sheet else default_output(photo)
        output = self.output or usual
        if self.output and (several or output.is_dir() or not (output.suffix or output.exists())):
            try:
                output.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise MoebiusError(f"{output} cannot be a folder: {error.strerror}") from None
            output = output / usual.name
        if save_mask is not None:
            if _same(output, save_mask):
                raise MoebiusError(f"{save_mask} would be both the photo and its mask: give two names")
            if not save_mask.parent.is_dir():
                raise MoebiusError(f"the folder {save_mask.parent} does not exist")
        for path in (output, save_mask):
            if path is not None and _same(path, photo):
                raise MoebiusError(f"{path} is the photo itself: give another name, it would be overwritten")
        for path in (output, save_mask):
            try:
                taken = path is not None and path.exists()
            except OSError as error:  # a name too long
                raise MoebiusError(f"{path}: {error.strerror}: give another name with -o") from None
            if taken and not self.overwrite:
                raise MoebiusError(f"{path} exists: give another name, or --overwrite")
        for path in (save_mask, output if sheet else None):
            if path is not None and path.suffix.lower() != ".png":
                raise MoebiusError(f"{path} is written as PNG, so its name must end in .png")
        return output


def write_png(image: Image.Image, path: Path, photo: Path, overwrite: bool) -> None:
    """Write a sheet or a mask, readable by no more people than the photo."""
    with replacing(path, overwrite=overwrite, mode=permissions([photo])) as file:
        image.save(file, "PNG", **png_options())


def _same(a: Path, b: Path) -> bool:
    """Whether two names belong to the same file, or would once it exists."""
    try:
        return a.samefile(b)
    except OSError:
        return folded(str(a.absolute())) == folded(str(b.absolute()))
