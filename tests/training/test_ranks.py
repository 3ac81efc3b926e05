"""Processes that learn together, started by `mlx.launch` on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest

from mlx_moebius.convert.folder import verify
from mlx_moebius.training.checkpoint import STATE_NAME
from mlx_moebius.training.ranks import MESSAGE, messages
from tests.support.studio import paint_photos
from tests.support.tiny import tiny
from tests.training.test_train import COMMAND, SIZES, lines, train

LAUNCH = [str(Path(sys.executable).with_name("mlx.launch")), "-n", "2", "--", *COMMAND]


@pytest.fixture
def studio(tmp_path: Path) -> Path:
    paint_photos(tmp_path / "photos", 8)
    (tmp_path / "small.json").write_text(json.dumps(SIZES))
    return tmp_path


def command(studio: Path, out: str, steps: int, batch: int, *more: str) -> list[str]:
    words = [str(studio / "photos"), "--config", str(studio / "small.json"), "--vae", tiny()]
    words += ["-o", str(studio / out), "--steps", str(steps), "--batch-size", str(batch), "--grad-accumulation", "1"]
    return [*words, "--batch-norm", "frozen", "--save-every", "3", *more]


def run(words: list[str]) -> str:
    ended = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def state(folder: Path) -> dict[str, mx.array]:
    arrays = mx.load(str(folder / STATE_NAME))
    assert isinstance(arrays, dict)
    return {name: array for name, array in arrays.items() if name != "plan"}


def difference(a: dict[str, mx.array], b: dict[str, mx.array]) -> float:
    """Between the moving averages of the gradients, over the norm of those of `b`."""
    names = [name for name in b if name.endswith(".m")]
    ratio = sum((a[n] - b[n]).square().sum() for n in names) / sum(b[n].square().sum() for n in names)
    return float(mx.sqrt(mx.array(ratio)))


def test_small_arrays_of_one_type_go_in_one_message() -> None:
    sizes = {"a": 3, "large": MESSAGE + 1, "b": 0, "half": 5, "c": MESSAGE - 3, "d": 3, "e": 1}
    arrays = {name: mx.zeros(size, mx.float16 if name == "half" else mx.float32) for name, size in sizes.items()}
    assert messages(arrays) == [["a"], ["large"], ["b", "c", "d"], ["half"], ["e"]]
    small = {str(n): mx.zeros((2, n)) for n in range(1, 300)}
    assert messages(small) == [list(small)]


@pytest.mark.slow
def test_two_ranks_equal_one_with_twice_the_batch_and_go_on(studio: Path) -> None:
    said = run([*LAUNCH, *command(studio, "two", 1, 2)])
    assert said.count("step 1 of 1: loss") == 1  # the first rank alone reports
    assert train(*command(studio, "one", 1, 4)) == 0
    assert train(*command(studio, "half", 1, 2)) == 0
    two, one, half = (state(studio / name) for name in ("two", "one", "half"))
    # AdamW makes whole steps of rounding, which depends on the shapes BLAS is given: 2e-4 with one thread.
    assert difference(two, one) < 1e-3
    assert difference(half, one) > 0.1
    judged = [lines(studio / name)[-1] for name in ("two", "one")]
    assert list(judged[0]["bands"].values()) == pytest.approx(list(judged[1]["bands"].values()), rel=1e-3)
    # They go on from the first one's state.
    run([*LAUNCH, *command(studio, "two", 2, 2, "--resume")])
    assert [line["step"] for line in lines(studio / "two") if "loss" in line] == [1, 2]
    verify(studio / "two")
