"""What one visitor of the page has: a photo in versions, a mask, fills to choose from. Knows nothing of Gradio."""

from __future__ import annotations

import base64
import binascii
import io
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.extend import Extension, parse_aspect, parse_sides
from mlx_moebius.photos.mask_files import check, load_mask, resized
from mlx_moebius.photos.masks import Mask
from mlx_moebius.photos.photo import Photo, read_photo
from mlx_moebius.photos.save import check_output, default_output, write_photo
from mlx_moebius.ui.jobs import Filled, reduced

OUTSIDE = (128, 128, 128)  # what the page shows where there was no photo before its frame was extended
KEPT = 12  # versions of a photo that one can go back to


@dataclass(frozen=True, slots=True)
class Fill:
    """A fill that was written to a file for download."""

    photo: Photo
    file: Path
    seed: int
    picture: Image.Image
    before: Image.Image


@dataclass(slots=True)
class Session:
    """`versions[current]` is the photo being painted on; version 0 came from the file."""

    folder: Path
    name: str = ""
    versions: list[Photo] = field(default_factory=list)
    pictures: list[Image.Image] = field(default_factory=list)
    current: int = 0
    loaded: Mask | None = None
    fills: list[Fill] = field(default_factory=list)
    chosen: int = 0
    stopped: threading.Event | None = None
    runs: int = 0

    @property
    def photo(self) -> Photo:
        """The version being painted on. Raises MoebiusError before there is one."""
        if not self.versions:
            raise MoebiusError("there is no photo yet: load one first")
        return self.versions[self.current]

    @property
    def picture(self) -> Image.Image:
        """The photo as the page shows it."""
        return self.pictures[self.current]

    def open(self, path: str | Path) -> tuple[str, ...]:
        """Start again with a file; returns notes, a line each. Raises MoebiusError when it cannot be filled."""
        path = Path(path)
        try:
            photo = read_photo(path)
            check_output(photo, path)
        except MoebiusError as error:
            raise without_folder(error, path) from None
        self.name = path.name
        self.versions, self.pictures, self.current = [photo], [reduced(photo)], 0
        self.loaded, self.fills = None, []
        return tuple(note.replace(f"{path.parent}/", "") for note in photo.notes)

    def open_mask(self, path: str | Path) -> tuple[Image.Image, list[str]]:
        """Read a mask file: as the page shows it, and warnings. Its full resolution stays in use where it is kept."""
        try:
            self.loaded, warnings = load_mask(self.photo, [Path(path)])
        except MoebiusError as error:
            raise without_folder(error, Path(path)) from None
        return Image.fromarray(self._shown(self.loaded).astype(np.uint8) * 255), warnings

    def _shown(self, mask: Mask) -> Mask:
        """A mask at the size of the page's picture; a pixel is set if it is set in the middle of it."""
        return resized(mask, self.picture.size)

    def mask(self, painted: str) -> Mask:
        """What is painted (a PNG as a data URL), bool [H, W] at the photo's size.

        Where it equals a mask that was loaded, that one's own pixels count, which may be finer than the page's.
        """
        drawing = read_data_url(painted)
        size = self.photo.width, self.photo.height
        if drawing.size != self.picture.size:
            raise MoebiusError("the painting belongs to another photo: load the photo again")
        pixels = np.asarray(drawing.convert("L")) >= 128
        mask = resized(pixels, size)
        if self.loaded is not None:
            same = resized(pixels == self._shown(self.loaded), size)
            mask = np.where(same, self.loaded, mask)
        check(mask, inverted=False, warnings=[])
        return mask

    def extension(self, text: str, gravity: str) -> Extension | None:
        """What "left=256,top=10%" or "16:9" adds to the photo; None when nothing is asked for.

        Raises MoebiusError for anything else, as the command line does.
        """
        text = text.strip()
        if not text:
            return None
        return parse_aspect(text, gravity, self.photo) if ":" in text else parse_sides(text, self.photo)

    def save_mask(self, painted: str) -> Path:
        """The mask as a PNG file of the photo's size."""
        file = self.folder / f"{Path(self.name).stem}_mask.png"
        Image.fromarray(self.mask(painted).astype(np.uint8) * 255).save(file)
        return file

    def finish(self, filled: list[Filled], extension: Extension | None) -> list[str]:
        """Write the fills of a run to files, in the source's format; returns warnings."""
        self.runs += 1
        shutil.rmtree(self.folder / str(self.runs - 1), ignore_errors=True)
        fills = []
        warnings: list[str] = []
        for each in filled:
            folder = self.folder / str(self.runs) / str(each.seed)
            folder.mkdir(parents=True)
            photo = each.result.photo
            file = default_output(folder / self.name)
            warnings += [*each.result.warnings, *write_photo(photo, file, provenance=each.provenance)]
            picture = reduced(photo)
            before = self._framed(picture, extension) if extension else self.picture
            fills.append(Fill(photo, file, each.seed, picture, before))
        self.fills, self.chosen = fills, 0
        return list(dict.fromkeys(warnings))

    def _framed(self, picture: Image.Image, extension: Extension) -> Image.Image:
        """The photo where it lies in the wider `picture`."""
        scale = picture.width / (self.photo.width + extension.left + extension.right)
        size = max(1, round(self.photo.width * scale)), max(1, round(self.photo.height * scale))
        frame = Image.new("RGB", picture.size, OUTSIDE)
        frame.paste(self.picture.resize(size), (round(extension.left * scale), round(extension.top * scale)))
        return frame

    def go_on(self) -> None:
        """Paint on the chosen fill; later versions than the one it was made of are dropped."""
        if not self.fills:
            raise MoebiusError("there is no result yet: paint something and run")
        fill = self.fills[self.chosen]
        self.versions = [*self.versions[: self.current + 1], fill.photo]
        self.pictures = [*self.pictures[: self.current + 1], fill.picture]
        if len(self.versions) > KEPT:
            del self.versions[1], self.pictures[1]
        self.go_to(len(self.versions) - 1)

    def go_to(self, version: int) -> None:
        """Paint on one of the versions."""
        self.current = version
        self.loaded, self.fills = None, []

    def stop(self) -> None:
        """End the job that is under way or waiting, if any."""
        if self.stopped is not None:
            self.stopped.set()

    def close(self) -> None:
        """End the job and remove the files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def without_folder(error: MoebiusError, path: Path) -> MoebiusError:
    """The same error with the file's plain name: the folder is one of the page's own."""
    return MoebiusError(str(error).replace(f"{path.parent}/", ""))


def data_url(picture: Image.Image, kind: str) -> str:
    """A picture for the browser; `kind` is "png" or "webp"."""
    file = io.BytesIO()
    picture.save(file, kind, quality=90)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def read_data_url(text: str) -> Image.Image:
    """The PNG in a data URL. Raises MoebiusError when there is none."""
    try:
        data = base64.b64decode(text.removeprefix("data:image/png;base64,"), validate=True)
        picture = Image.open(io.BytesIO(data), formats=["PNG"])
        picture.load()
    except (binascii.Error, OSError):
        raise MoebiusError("nothing is painted: paint over what should go") from None
    return picture
