"""A photo has the same mask whether it is filled or learnt from."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mlx_moebius.photos.pairing import pair
from mlx_moebius.training.photos import find_photos
from tests.support.pictures import picture

ACCENT = unicodedata.normalize("NFD", "café")
MASKS = {
    "IMG_1.JPG": "img_1_mask.png",  # capitals and small letters
    "café.jpg": f"{ACCENT}_Mask.PNG",  # a disk of a Mac takes accents apart
    "two.jpg": "two.jpg_mask.png",
    "two.png": "two.png_mask.png",
    "party_mask.jpg": None,  # a photo: there is no party.jpg
    "plain.jpg": None,
    "inside/IMG_1.jpg": "inside/IMG_1_mask.webp",
}


def draw_mask(path: Path) -> None:
    mask = Image.new("L", (80, 70))
    mask.paste(255, (20, 20, 50, 40))
    mask.save(path)


def album(folder: Path) -> Path:
    (folder / "inside").mkdir()
    for number, (name, mask) in enumerate(MASKS.items()):
        picture("RGB", 80, 70, number).save(folder / name, "PNG" if name.endswith("png") else "JPEG")
        if mask:
            draw_mask(folder / mask)
    return folder


def learnt(folder: Path) -> dict[str, str | None]:
    library = find_photos(folder, 64)
    assert library.skipped == []
    return {
        photo.path.relative_to(folder).as_posix(): photo.mask.relative_to(folder).as_posix() if photo.mask else None
        for photo in [*library.train, *library.held_out]
    }


def filled(folder: Path) -> dict[str, str | None]:
    found = pair(folder, None, folder / "out", recursive=True)
    pairs = {each.name.as_posix(): Path(str(each.mask)).relative_to(folder).as_posix() for each in found.pairs}
    return pairs | dict.fromkeys((name.as_posix() for name in found.without_mask), None)


@pytest.mark.parametrize("pairs", [learnt, filled])
def test_a_photo_has_its_mask(tmp_path: Path, pairs: Callable[[Path], dict[str, str | None]]) -> None:
    assert pairs(album(tmp_path)) == MASKS


def test_a_photo_with_two_masks_is_neither_filled_nor_learnt_from(tmp_path: Path) -> None:
    album(tmp_path)
    draw_mask(tmp_path / "plain_mask.png")
    draw_mask(tmp_path / "plain_mask.webp")
    [skipped] = find_photos(tmp_path, 64).skipped
    [problem] = [each.problem for each in pair(tmp_path, None, tmp_path / "out").pairs if each.problem]
    assert "has more than one mask: plain_mask.png and plain_mask.webp; keep one" in skipped
    assert skipped.endswith(problem)
