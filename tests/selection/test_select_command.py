"""`mlx-moebius select` writes a mask that filling takes, or says in a line why not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mlx_moebius.__main__ import main
from mlx_moebius.benchmark.__main__ import main as benchmark
from mlx_moebius.benchmark.painted import paint_hairs
from mlx_moebius.benchmark.selecting import score_hairs
from mlx_moebius.photos.mask_files import load_mask
from mlx_moebius.photos.photo import read_photo

from .scenes import overlap, sky, with_ball


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "ball.jpg"
    Image.fromarray(with_ball()[0]).save(path, quality=95)
    return path


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["select", *map(str, words)])
    return int(ended.value.code or 0), *capsys.readouterr()


def test_a_box_becomes_a_mask_file_of_the_photos_size(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = photo.with_name("out.png")
    assert run(capsys, photo, "--box", "200,60,360,360", "-o", target) == (0, f"{target}\n", "")
    mask, warnings = load_mask(read_photo(photo), [target])
    assert overlap(mask, with_ball()[1]) > 0.98
    assert not warnings


def test_the_usual_name_is_the_one_that_filling_looks_for(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, photo, "--box", "200,60,360,360")[0] == 0
    assert photo.with_name("ball_mask.png").is_file()
    status, _, error = run(capsys, photo, "--box", "200,60,360,360")
    assert (status, "exists: give another name, or --overwrite" in error) == (1, True)


def test_places_follow_an_option_as_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rgb = np.full((200, 400, 3), 200, np.uint8)
    rgb[98:101] = 40
    path = tmp_path / "wire.png"
    Image.fromarray(rgb).save(path)
    assert run(capsys, "--wire", "20,99", "350,99", path)[0] == 0
    mask = np.asarray(Image.open(tmp_path / "wire_mask.png")) > 0
    assert mask[98:101].all()
    assert mask.mean() < 0.05


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ([], 2, "what should be selected? Give --box, --lasso, --line, --wire or --dust"),
        (["--box", "1,2,3"], 1, "'box:1,2,3' is not written as in box:100,50,200,300"),
        (["--wire", "20,nan"], 1, "is not written as in wire:10,20"),
        (["--box", "1,2,30,40", "--neighbours"], 2, "give --wire with it"),
        (["--box", "9000,0,30,40"], 1, "outside the photo (700 x 500 pixels)"),
        (["--box", "1,2,30,40", "-o", "mask.jpg"], 1, "its name must end in .png"),
        (["--box", "200,60,360,360", "-o", "nowhere/mask.png"], 1, "the folder nowhere does not exist"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    photo: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, sentence: str
) -> None:
    ended, output, error = run(capsys, photo, *words)
    assert (ended, output) == (status, "")
    assert sentence in error
    assert error.count("\n") == 1
    assert [file.name for file in photo.parent.iterdir()] == ["ball.jpg"]


def test_without_opencv_it_says_how_to_install_it(
    photo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    status, _, error = run(capsys, photo, "--box", "200,60,360,360")
    assert status == 1
    assert "pip install opencv-python-headless" in error


def test_the_benchmark_measures_selections(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(with_ball()[1].astype(np.uint8) * 255).save(photo.with_name("ball_mask.png"))
    with pytest.raises(SystemExit) as ended:
        benchmark(["--select", str(photo.parent), "--json", str(photo.with_name("report.json"))])
    assert not ended.value.code
    assert "ball" in capsys.readouterr().out
    report = json.loads(photo.with_name("report.json").read_text())["selections"]
    assert report["objects"]["ball"]["iou"] > 0.9
    assert report["carried"]["ball"]["iou"] > 0.9


def test_the_benchmark_paints_hairs_and_scores_what_is_found_of_them() -> None:
    painted = paint_hairs(sky(300, 400), 3, np.random.default_rng(1))
    assert (np.abs(painted.rgb.astype(int) - sky(300, 400)).max(axis=-1) > 5).any()
    assert painted.calm.all()
    nothing = np.zeros((300, 400), bool)
    assert score_hairs(painted, nothing) == {"recall": 0, "of_visible": 0, "false": 0}
    speck = nothing.copy()
    y, x = np.unravel_index(int(distance_from(painted.lines).argmax()), speck.shape)
    speck[y, x] = True
    assert score_hairs(painted, painted.lines[0] | speck) == {"recall": 0.3333, "of_visible": 0.3333, "false": 1}


def distance_from(lines: list[np.ndarray]) -> np.ndarray:
    return np.asarray(cv2.distanceTransform((~np.logical_or.reduce(lines)).astype(np.uint8), cv2.DIST_L2, 3))
