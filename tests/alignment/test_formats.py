"""Other shots of other depths, modes and colour profiles than the photo's; near and far things that moved apart."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from mlx_moebius.alignment.shot import Shot, read_shot
from mlx_moebius.alignment.take import take_from
from mlx_moebius.photos import nclx
from mlx_moebius.photos.photo import Metadata, Photo, photo_from_image, read_photo
from tests.support.series import AT, SIZE, make_series

DEEP = "RGB;16"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["L", "I;16", "RGBA", "CMYK"])
def test_other_modes_are_filled_from_a_colour_shot(mode: str, tmp_path: Path) -> None:
    series = make_series(tmp_path)
    photo = read_photo(series.photo)
    if mode == "I;16":
        grey = np.asarray(Image.fromarray(photo.rgb()).convert("L")).astype(np.uint16) * 257
        photo = photo_from_image(Image.fromarray(grey))
    else:
        photo = photo_from_image(Image.fromarray(photo.rgb()).convert(mode))
    mask = np.asarray(Image.open(series.mask)) > 0
    taken = take_from(photo, mask, [read_shot(path) for path in series.others])
    truth = Image.fromarray(np.rint(series.truth).astype(np.uint8))
    wanted = np.asarray(truth.convert("L").convert("RGB") if mode in ("L", "I;16") else truth, np.float32)
    error = np.abs(taken.photo.rgb().astype(np.float32) - wanted)[series.hole & taken.taken]
    assert taken.taken[series.hole].mean() > 0.98
    assert np.median(error) < 4
    assert (taken.photo.pixels[~mask] == photo.pixels[~mask]).all()
    if mode == "I;16":
        assert len(np.unique(taken.photo.pixels[series.hole])) > 256  # all bits are used


@pytest.mark.slow
def test_deep_colours_are_taken_with_all_their_bits(tmp_path: Path) -> None:
    series = make_series(tmp_path)
    mask = np.asarray(Image.open(series.mask)) > 0
    photo, *shots = (
        replace(
            read, pixels=np.minimum(read.pixels.astype(np.uint16) * 257 + 100, 65535).astype(np.uint16), mode="RGB;16"
        )
        for read in map(read_photo, (series.photo, *series.others))
    )
    taken = take_from(photo, mask, [Shot(shot, "deep.tif") for shot in shots])
    assert taken.taken[series.hole].mean() > 0.98
    error = (taken.photo.pixels.astype(np.float32) - 100) / 257 - series.truth
    assert 10 * np.log10(255**2 / (error[series.hole] ** 2).mean()) > 36
    assert len(np.unique(taken.photo.pixels[series.hole] % 257)) > 200
    assert (taken.photo.pixels[~mask] == photo.pixels[~mask]).all()


@pytest.mark.slow
def test_colours_are_converted_between_profiles(tmp_path: Path) -> None:
    series = make_series(tmp_path)
    mask = np.asarray(Image.open(series.mask)) > 0
    profile = nclx.profile(12, 13)
    assert profile is not None
    shots = []
    for path in series.others:
        wide = ImageCms.profileToProfile(Image.open(path), ImageCms.createProfile("sRGB"), io.BytesIO(profile))
        assert wide is not None
        shots.append(
            Shot(
                Photo(np.asarray(wide), "RGB", metadata=Metadata(icc=profile)), path.name, None, read_shot(path).hidden
            )
        )
    taken = take_from(read_photo(series.photo), mask, shots)
    assert taken.taken[series.hole].mean() > 0.98
    error = taken.photo.rgb().astype(np.float32) - series.truth
    assert 10 * np.log10(255**2 / (error[series.hole] ** 2).mean()) > 36


@pytest.mark.slow
def test_near_and_far_things_that_moved_apart_are_taken_each_from_its_place(tmp_path: Path) -> None:
    """The lower part of the scene is near and moves 14 pixels more than the upper one; the hole shows both."""
    series = make_series(tmp_path, offsets=((-180, 0),), masks=False)
    mask = np.asarray(Image.open(series.mask)) > 0
    shot = read_photo(series.others[0])
    border = AT[1] + SIZE // 2
    pixels = shot.pixels.copy()
    pixels[border:] = np.roll(pixels[border:], 14, axis=1)
    taken = take_from(read_photo(series.photo), mask, [Shot(replace(shot, pixels=pixels), "apart.png")])
    assert taken.taken[series.hole].mean() > 0.6
    given = series.hole & taken.taken
    error = np.abs(taken.photo.rgb().astype(np.float32) - series.truth).max(axis=-1)
    assert (cv2.blur(error, (3, 3))[given] > 30).mean() < 0.05  # along the border
