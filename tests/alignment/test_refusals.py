"""Other shots are not believed blindly: what stands in them, moved or not, is not taken; what differs is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlx_moebius.alignment.shot import Shot, read_shot
from mlx_moebius.alignment.take import Taken, take_from
from mlx_moebius.photos.photo import photo_from_image, read_photo
from tests.support.series import Series, make_series, scene


def take(series: Series, *others: Shot) -> Taken:
    mask = np.asarray(Image.open(series.mask)) > 0
    return take_from(read_photo(series.photo), mask, others or [read_shot(path) for path in series.others])


def psnr(series: Series, taken: Taken) -> float:
    where = series.hole & taken.taken
    error = (taken.photo.rgb().astype(np.float32) - series.truth)[where]
    return float(10 * np.log10(255**2 / (error**2).mean()))


def test_what_has_moved_on_is_not_taken_though_no_mask_says_so(tmp_path: Path) -> None:
    series = make_series(tmp_path, offsets=((40, 6),), masks=False)
    taken = take(series)
    assert 0.2 < taken.uses[0].share < 0.7
    assert psnr(series, taken) > 34


def test_what_still_stands_there_is_not_taken_for_the_truth(tmp_path: Path) -> None:
    series = make_series(tmp_path, offsets=((0, 0),), masks=False, tripod=True)
    taken = take(series)
    assert not taken.taken.any()
    assert "shows the same there" in taken.uses[0].line()


@pytest.mark.slow
def test_exposures_two_stops_apart_are_matched(tmp_path: Path) -> None:
    series = make_series(tmp_path, gain=0.25, noise=0.7)
    taken = take(series)
    assert taken.taken[series.hole].mean() > 0.98
    assert psnr(series, taken) > 32


def test_a_blurred_shot_is_left_out(tmp_path: Path) -> None:
    series = make_series(tmp_path)
    shots = [read_shot(path) for path in series.others]
    small = [Image.fromarray(shot.photo.rgb()).resize((120, 90)).resize((480, 360)) for shot in shots]
    taken = take(series, *[Shot(photo_from_image(image), "soft.png") for image in small])
    assert not taken.taken.any()
    assert all(use.why for use in taken.uses)


def test_a_black_and_white_shot_gives_a_colour_photo_nothing(tmp_path: Path) -> None:
    series = make_series(tmp_path)
    grey = photo_from_image(Image.open(series.others[0]).convert("L"))
    taken = take(series, Shot(grey, "grey.png"))
    assert taken.uses[0].line() == "grey.png: nothing taken, it is black and white"


@pytest.mark.slow
def test_a_stack_outvotes_what_one_shot_shows(tmp_path: Path) -> None:
    series = make_series(tmp_path, offsets=((150, 0), (150, 5), (150, -5)), masks=False)
    image = np.asarray(Image.open(series.others[0])).copy()
    image[150:200, 205:250] = scene(seed=7)[150:200, 205:250]  # somebody else, all within the hole
    Image.fromarray(image).save(series.others[0])
    taken = take(series)
    assert psnr(series, taken) > 33
