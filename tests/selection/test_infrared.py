"""The infrared picture of a scan is its mask for dust, hairs and scratches, and is kept in what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.__main__ import main
from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.compose import filled_infrared
from mlx_moebius.inpainting.reference import prepare_reference
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.photos import metadata
from mlx_moebius.photos.infrared import EXTRA_SAMPLES
from mlx_moebius.photos.photo import Photo, photo_from_image, read_photo
from mlx_moebius.photos.save import write_photo
from mlx_moebius.selection.request import select

from .scenes import meadow

SIZE = 200, 260


def scan() -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.bool_]]:
    """A meadow with dust and a hair, too faint in its texture to be found; its infrared light; where they lie."""
    rgb = meadow(*SIZE).astype(np.float64)
    dirt = np.zeros(SIZE, np.uint8)
    for x, y, radius in ((40, 50, 2), (150, 90, 4), (220, 160, 1)):
        cv2.circle(dirt, (x, y), radius, 255, -1)
    cv2.polylines(dirt, [np.array([(60, 150), (90, 130), (130, 150)], np.int32)], False, 255, 2)
    cover = dirt[..., None] / 255
    generator = np.random.default_rng(3)
    bright = np.linspace(0.72, 0.6, SIZE[1]) * (1 - 0.5 * cover[..., 0]) + generator.normal(0, 0.006, SIZE)
    return (rgb * (1 - 0.06 * cover)).astype(np.uint8), bright, dirt > 0


def written(path: Path, form: str) -> Path:
    """The scan as a TIFF file: an infrared channel (or page) of 8 or 16 bits."""
    rgb, bright, _ = scan()
    deep = form.startswith("16")
    most = 65535 if deep else 255
    colours: NDArray[Any] = rgb.astype(np.uint16) * 257 if deep else rgb
    infrared = np.rint(bright * most).astype(colours.dtype)
    options: dict[str, Any] = {"photometric": "rgb", "metadata": None, "planarconfig": "contig"}
    if form.endswith("page"):
        with tifffile.TiffWriter(path) as file:
            file.write(colours, **options)
            file.write(infrared, photometric="minisblack", metadata=None)
    else:
        tifffile.imwrite(path, np.dstack([colours, infrared]), extrasamples=["unspecified"], **options)
    if form.endswith("unsaid"):
        path.write_bytes(metadata.edit_fields(path.read_bytes(), {EXTRA_SAMPLES: None}))
    return path


@pytest.mark.parametrize("form", ["8 channel", "16 channel", "8 unsaid", "16 unsaid", "8 page", "16 page"])
def test_what_is_dark_in_infrared_is_selected_and_the_channel_is_kept(tmp_path: Path, form: str) -> None:
    path = written(tmp_path / "scan.tif", form)
    rgb, bright, dirt = scan()
    photo = read_photo(path)
    assert np.array_equal(photo.rgb(), rgb)
    assert len(photo.notes) == form.endswith("page")
    for kind in ("dust", "hairs"):
        mask = select(photo, [kind])
        assert mask[dirt].mean() > 0.98
        assert not (mask & ~(cv2.dilate(dirt.astype(np.uint8), np.ones((9, 9))) > 0)).any()

    assert write_photo(photo, tmp_path / "again.tif") == []
    with tifffile.TiffFile(tmp_path / "again.tif") as file:
        stored = file.asarray()
        assert [int(kind) for kind in file.pages[0].extrasamples] == [0]
    assert np.array_equal(stored[..., 3], np.rint(bright * np.iinfo(stored.dtype).max))
    assert np.array_equal(select(read_photo(tmp_path / "again.tif"), ["dust"]), select(photo, ["dust"]))
    notes = write_photo(photo, tmp_path / "again.png")
    assert [note.partition(": ")[2] for note in notes] == ["its infrared channel was left out; TIFF keeps it"]


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_grey_photo_may_have_an_infrared_page_and_keeps_it(tmp_path: Path, depth: type[np.unsignedinteger]) -> None:
    rgb, bright, dirt = scan()
    most = np.iinfo(depth).max
    grey = np.rint(rgb.mean(axis=-1) / 255 * most).astype(depth)
    infrared = np.rint(bright * most).astype(depth)
    with tifffile.TiffWriter(tmp_path / "grey.tif") as file:
        for page in (grey, infrared):
            file.write(page, photometric="minisblack", metadata=None)
    photo = read_photo(tmp_path / "grey.tif")
    assert np.array_equal(photo.pixels, grey)
    assert [note.partition(": ")[2] for note in photo.notes] == ["its infrared page is kept as a second page"]
    mask = select(photo, ["dust"])
    assert mask[dirt].mean() > 0.98
    assert write_photo(photo, tmp_path / "again.tif") == []
    again = read_photo(tmp_path / "again.tif")
    assert again.infrared is not None
    assert np.array_equal(again.infrared, infrared)
    assert np.array_equal(again.pixels, photo.pixels)


def test_the_official_pipeline_reduces_it_with_the_photo(tmp_path: Path) -> None:
    rgb, bright, dirt = scan()
    square = np.s_[:200, :200]
    photo = photo_from_image(Image.fromarray(np.ascontiguousarray(rgb[square])))
    photo = photo.with_infrared(np.rint(bright[square] * 255).astype(np.uint8))
    small = prepare_reference(photo, dirt[square], 128, Settings(reference=True)).photo
    assert (small.height, small.width) == (128, 128)
    mask = select(small, ["dust"])
    assert mask[cv2.resize(dirt[square].astype(np.uint8), (128, 128), interpolation=cv2.INTER_AREA) > 0].mean() > 0.9


def test_the_command_line_selects_by_it(tmp_path: Path) -> None:
    path = written(tmp_path / "scan.tif", "8 channel")
    with pytest.raises(SystemExit) as ended:
        main(["select", str(path), "--dust"])
    assert not ended.value.code
    assert (np.asarray(Image.open(tmp_path / "scan_mask.png")) > 0)[scan()[2]].mean() > 0.98


@pytest.mark.parametrize("turned", [6, 3])
def test_it_is_turned_with_the_photo(tmp_path: Path, turned: int) -> None:
    for form in ("8 channel", "16 page"):
        path = tmp_path / "scan.tif"
        rgb, bright, dirt = scan()
        deep = form.startswith("16")
        colours: NDArray[Any] = rgb.astype(np.uint16) * 257 if deep else rgb
        infrared = np.rint(bright * (65535 if deep else 255)).astype(colours.dtype)
        orientation = [(274, "H", 1, turned, True)]
        options: dict[str, Any] = {"photometric": "rgb", "metadata": None, "extratags": orientation}
        with tifffile.TiffWriter(path) as file:
            if deep:
                file.write(colours, **options)
                file.write(infrared, photometric="minisblack", metadata=None)
            else:
                file.write(np.dstack([colours, infrared]), extrasamples=["unspecified"], **options)
        upright = np.rot90(dirt, {6: -1, 3: 2}[turned])
        assert select(read_photo(path), ["dust"])[upright].mean() > 0.98


def test_opacity_selections_and_pages_of_a_document_are_no_infrared(tmp_path: Path) -> None:
    rgb, bright, _ = scan()
    values = np.rint(bright * 255).astype(np.uint8)
    options: dict[str, Any] = {"photometric": "rgb", "metadata": None, "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "opacity.tif", np.dstack([rgb, values]), extrasamples=["unassalpha"], **options)
    assert read_photo(tmp_path / "opacity.tif").mode == "RGBA"
    assert read_photo(tmp_path / "opacity.tif").infrared is None
    chosen = np.where(np.arange(SIZE[1]) < 90, 255, 0).astype(np.uint8) * np.ones((SIZE[0], 1), np.uint8)
    tifffile.imwrite(tmp_path / "saved.tif", np.dstack([rgb, chosen]), extrasamples=["unspecified"], **options)
    assert "a saved selection" in read_photo(tmp_path / "saved.tif").notes[0]
    text = np.full(SIZE, 235, np.uint8)
    for line in range(20, 190, 20):
        cv2.putText(text, "A letter, and what it says", (8, line), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30,), 1, cv2.LINE_AA)
    grain = np.random.default_rng(0).normal(0, 2, SIZE)
    page = (text + grain).clip(0, 255).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        file.write(rgb, **options)
        file.write(page, photometric="minisblack", metadata=None)
    with pytest.raises(MoebiusError, match="pages"):
        read_photo(tmp_path / "pages.tif")
    page[20:] = np.where(page[20:] < 200, 235, page[20:])  # a line of text alone
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        for _ in range(2):
            file.write(page, photometric="minisblack", metadata=None)
    with pytest.raises(MoebiusError, match="pages"):
        read_photo(tmp_path / "pages.tif")


def test_black_and_white_film_shows_the_photo_in_infrared_and_is_searched_by_eye(tmp_path: Path) -> None:
    rgb = meadow(*SIZE)
    photo = photo_from_image(Image.fromarray(rgb))
    silver = photo.with_infrared((rgb.mean(axis=-1) * 0.6 + 90).astype(np.uint8))
    assert np.array_equal(select(silver, ["dust"]), select(photo, ["dust"]))


def test_what_was_filled_is_dark_in_infrared_no_longer() -> None:
    rgb, bright, dirt = scan()
    photo: Photo = photo_from_image(Image.fromarray(rgb)).with_infrared(np.rint(bright * 255).astype(np.uint8))
    filled = filled_infrared(photo, cv2.dilate(dirt.astype(np.uint8), np.ones((5, 5))) > 0)
    assert filled is not None
    assert np.abs(filled[dirt] - np.rint(bright * 255)[~dirt].mean()).max() < 25
    assert np.array_equal(filled[:20], np.rint(bright * 255)[:20])
