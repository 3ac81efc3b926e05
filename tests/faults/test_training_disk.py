"""A disk that is full while a network learns."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from mlx_moebius.convert.folder import verify
from mlx_moebius.training.checkpoint import STATE_NAME
from tests.faults.injectors import disk_of
from tests.support.studio import paint_photos
from tests.training.test_train import COMMAND, SIZES, arguments, lines, train


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, a run "begun" of two steps, and a run "whole" that went on to six of them undisturbed."""
    folder = tmp_path_factory.mktemp("studio")
    paint_photos(folder / "photos", 6)
    (folder / "small.json").write_text(json.dumps(SIZES))
    assert train(*arguments(folder, "begun", 2, "--save-every", "2")) == 0
    shutil.copytree(folder / "begun", folder / "whole")
    assert train(*arguments(folder, "whole", 6, "--save-every", "2", "--resume")) == 0
    return folder


def learn(studio: Path, out: str, steps: int, disk: int | None = None, *more: str) -> subprocess.CompletedProcess[str]:
    words = [*COMMAND, *arguments(studio, out, steps, "--save-every", "2", *more)]
    full = None if disk is None else disk_of(disk)
    return subprocess.run(words, capture_output=True, text=True, timeout=120, preexec_fn=full)


def check_refused(ended: subprocess.CompletedProcess[str]) -> None:
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    assert "File too large" in ended.stderr


def saved(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".jsonl"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "disk",
    [
        pytest.param(700, id="the log does not fit"),
        pytest.param(200_000, id="the state does not fit", marks=pytest.mark.slow),
    ],
)
def test_what_was_saved_remains_and_the_run_goes_on(studio: Path, tmp_path: Path, disk: int) -> None:
    full = tmp_path / "full"
    shutil.copytree(studio / "begun", full)
    check_refused(learn(studio, str(full), 6, disk, "--resume"))
    assert saved(full) == saved(studio / "begun")
    verify(full)
    assert learn(studio, str(full), 6, None, "--resume").returncode == 0
    for name in ("unet.safetensors", "config.json"):
        assert (full / name).read_bytes() == (studio / "whole" / name).read_bytes()
    assert [line["step"] for line in lines(full)] == [line["step"] for line in lines(studio / "whole")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "disk",
    [
        pytest.param(100, id="the settings do not fit", marks=pytest.mark.slow),
        pytest.param(5000, id="the VAE does not fit"),
    ],
)
def test_a_run_that_saved_nothing_can_begin_again(studio: Path, tmp_path: Path, disk: int) -> None:
    full = tmp_path / "full"
    check_refused(learn(studio, str(full), 2, disk))
    assert not (full / STATE_NAME).exists()
    assert not list(full.glob(".*"))
    assert learn(studio, str(full), 2).returncode == 0
    verify(full)
