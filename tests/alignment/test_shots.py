"""What a hole hides is taken from other shots, from the command line and from Python, and nothing else changes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import mlx_moebius
from mlx_moebius import generate
from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.masks import dilate
from mlx_moebius.photos.photo import read_provenance
from tests.support.command import Ended, run
from tests.support.series import HEIGHT, WIDTH, Series, make_series, scene


def fill(series: Series, *words: str | Path, out: str = "out.png") -> Path:
    ended = filled(series, *words, out=out)
    assert ended.returncode == 0, ended.stderr
    return series.photo.with_name(out)


def filled(series: Series, *words: str | Path, out: str = "out.png") -> Ended:
    output = series.photo.with_name(out)
    return run(
        generate.main, series.photo, "--mask", series.mask, "--model", "nano", *words, "-o", output, "--overwrite"
    )


def pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


def froms(series: Series) -> list[str | Path]:
    return [word for other in series.others for word in ("--from", other)]


def test_two_shots_give_the_truth_and_the_rest_stays(tmp_path: Path) -> None:
    series = make_series(tmp_path)
    ended = filled(series, *froms(series), "-v")
    assert ended.returncode == 0, ended.stderr
    assert "of the hole taken, error" in ended.stdout
    out = tmp_path / "out.png"
    assert series.psnr(out) > 36
    before, after = pixels(series.photo), pixels(out)
    mask = np.asarray(Image.open(series.mask)) > 0
    far = dilate(mask, 41)
    assert (before[~far] == after[~far]).all()
    record = read_provenance(out)
    assert record is not None
    assert [shot["file"] for shot in record["shots"]] == ["1.png", "2.png"]
    assert sum(shot["share"] for shot in record["shots"]) > 0.98
    assert all(len(shot["sha256"]) == 64 and shot["error"] < 6 for shot in record["shots"])


@pytest.mark.slow
def test_one_shot_gives_what_it_shows_and_the_network_the_rest(tmp_path: Path) -> None:
    series = make_series(tmp_path)
    with_it = fill(series, "--from", series.others[0], out="with.png")
    without = fill(series, out="without.png")
    share = read_provenance(with_it)["shots"][0]["share"]  # type: ignore[index]
    assert 0.2 < share < 0.95
    assert series.psnr(with_it) > series.psnr(without) + 1


def test_a_tripods_pixels_are_taken_over_as_they_are(tmp_path: Path) -> None:
    series = make_series(tmp_path, offsets=((140, 0),), tripod=True, gain=1.0, noise=0.0)
    out = fill(series, *froms(series))
    assert (pixels(out)[series.hole] == pixels(series.others[0])[series.hole]).all()
    assert read_provenance(out)["shots"][0]["resampled"] is False  # type: ignore[index]


@pytest.mark.slow
def test_wrong_photos_change_nothing_but_a_line(tmp_path: Path) -> None:
    series = make_series(tmp_path)
    flat = np.full((HEIGHT, WIDTH, 3), 240, np.uint8)
    flat[40:60, 30:400] = flat[100:300, 50:200] = 30
    wrong = {
        "elsewhere": Image.fromarray(scene(seed=99).astype(np.uint8)),
        "turned": Image.open(series.others[0]).rotate(180),
        "screenshot": Image.fromarray(flat),
    }
    words: list[str | Path] = []
    for name, image in wrong.items():
        image.save(tmp_path / f"{name}.png")
        words += ["--from", tmp_path / f"{name}.png"]
    ended = filled(series, *words, out="with.png")
    assert ended.returncode == 0
    for name in wrong:
        assert ended.stderr.count(f"{name}.png: nothing taken, it ") == 1
    assert (pixels(tmp_path / "with.png") == pixels(fill(series, out="without.png"))).all()


@pytest.mark.slow
def test_a_run_is_repeated_from_the_same_files(tmp_path: Path) -> None:
    series = make_series(tmp_path)
    first = fill(series, *froms(series))
    again = fill(series, "--from-metadata", first, out="again.png")
    assert first.read_bytes() == again.read_bytes()
    Image.fromarray(scene().astype(np.uint8)).save(series.others[1])
    ended = filled(series, "--from-metadata", first, out="third.png")
    assert ended.returncode != 0
    assert "another 2.png" in ended.stderr
    series.others[1].unlink()
    ended = filled(series, "--from-metadata", first, out="third.png")
    assert ended.returncode != 0
    assert "was filled from 2.png, which is not beside" in ended.stderr
    assert not (tmp_path / "third.png").exists()


def test_without_a_mask_other_shots_are_refused(tmp_path: Path) -> None:
    series = make_series(tmp_path, masks=False)
    series.mask.unlink()
    words = (series.photo, "--extend", "left=16", "--model", "nano", *froms(series), "-o", tmp_path / "out.png")
    ended = run(generate.main, *words)
    assert ended.returncode != 0
    assert "--from shows what a mask hides" in ended.stderr
    with pytest.raises(MoebiusError, match="other shots show what a mask hides"):
        mlx_moebius.fill(
            series.photo, output=tmp_path / "out.png", model="nano", others=series.others, extend=(16, 0, 0, 0)
        )
    assert not (tmp_path / "out.png").exists()


@pytest.mark.slow
def test_a_recorded_shot_may_lie_elsewhere_but_with_its_mask(tmp_path: Path) -> None:
    series = make_series(tmp_path)
    first = fill(series, *froms(series))
    aside = tmp_path / "aside"
    aside.mkdir()
    for name in ("2.png", "2_mask.png"):
        (tmp_path / name).rename(aside / name)
    again = fill(series, "--from-metadata", first, "--from", aside / "2.png", out="again.png")
    assert first.read_bytes() == again.read_bytes()
    (aside / "2_mask.png").unlink()
    ended = filled(series, "--from-metadata", first, "--from", aside / "2.png", out="third.png")
    assert ended.returncode != 0
    assert "with a mask of it" in ended.stderr


@pytest.mark.slow
def test_python_takes_other_shots_too(tmp_path: Path) -> None:
    series = make_series(tmp_path)
    out = mlx_moebius.fill(series.photo, series.mask, tmp_path / "py.png", model="nano", others=series.others)
    assert series.psnr(out) > 36


def test_without_opencv_a_line_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series = make_series(tmp_path)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MoebiusError, match="pip install opencv-python-headless"):
        mlx_moebius.fill(series.photo, series.mask, tmp_path / "py.png", model="nano", others=series.others)
    assert mlx_moebius.fill(series.photo, series.mask, tmp_path / "py.png", model="nano", detail=False).exists()
