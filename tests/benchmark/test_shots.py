"""`benchmark --shots`: figures of fills from other shots, on series whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlx_moebius.benchmark.__main__ import main
from tests.support.command import run
from tests.support.series import make_series


@pytest.mark.slow
def test_series_are_measured_against_their_truth(tmp_path: Path) -> None:
    series = make_series(tmp_path / "all" / "drawn", suffix=".jpg", quality=95)
    Image.fromarray(np.rint(series.truth).astype(np.uint8)).save(series.photo.with_name("truth.png"))
    ended = run(main, "--shots", tmp_path / "all", "--json", tmp_path / "report.json")
    assert ended.returncode == 0, ended.stderr
    figures = json.loads((tmp_path / "report.json").read_text())["shots"]["drawn"]
    assert figures["psnr"] > 34 > figures["without"]
    assert figures["covered"] > 0.98
    assert [shot["file"] for shot in figures["shots"]] == ["1.jpg", "2.jpg"]
    assert "drawn" in ended.stdout


def test_a_folder_without_series_is_refused(tmp_path: Path) -> None:
    ended = run(main, "--shots", tmp_path)
    assert ended.returncode != 0
    assert "holds no series" in ended.stderr
