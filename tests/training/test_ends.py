"""However a run ends, what was learnt is saved; nobody else writes into its folder; its files are checked."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

from mlx_moebius.convert.folder import file_record, verify
from mlx_moebius.files import locked
from mlx_moebius.models.cache import BUNDLED
from mlx_moebius.startup import interruptible
from mlx_moebius.training.checkpoint import SETTINGS_NAME, STATE_NAME
from mlx_moebius.training.log import LOG_NAME, SHEET_NAME
from mlx_moebius.training.validation import EvalResult, compared
from tests.support.studio import paint_photos
from tests.support.tiny import tiny
from tests.training.test_train import SIZES, arguments, lines, train

VARIANCE = "rest.conv_in.bn1.running_var"
NO_LINES = b'5\n[1]\n{"loss": 1}\n{"step": 2, "loss": "low"}\n{"step": 1, "bands": [1]}\n\xff\xfe\n{"step": 2, "lo'
SPARSE = ("--val-every", "1000", "--save-every", "1000")


@pytest.fixture
def studio(tmp_path: Path) -> Path:
    paint_photos(tmp_path / "photos", 6)
    (tmp_path / "small.json").write_text(json.dumps(SIZES))
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A studio with a run of two steps, "done"."""
    folder = tmp_path_factory.mktemp("studio")
    paint_photos(folder / "photos", 6)
    (folder / "small.json").write_text(json.dumps(SIZES))
    assert train(*arguments(folder, "done", 2, *SPARSE)) == 0
    return folder


def saved_step(folder: Path) -> int:
    state = mx.load(str(folder / STATE_NAME))
    assert isinstance(state, dict)
    return int(np.array(state["plan"])[0])


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[], object]) -> None:
    """Do something when the report of a step is printed."""

    def tell(message: str) -> None:
        if message.startswith(f"step {step} of"):
            action()

    monkeypatch.setattr("mlx_moebius.train._tell", tell)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_orderly_end_saves(studio: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    interruptible()  # as every command
    handler = signal.getsignal(number)
    at_step(monkeypatch, 3, lambda: signal.raise_signal(number))
    assert train(*arguments(studio, "ended", 1000, *SPARSE)) == 128 + number
    assert saved_step(studio / "ended") == 3
    verify(studio / "ended")
    assert signal.getsignal(number) == handler


@pytest.mark.slow
def test_a_run_that_is_to_outlive_its_terminal_does(studio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_step(monkeypatch, 3, lambda: signal.raise_signal(signal.SIGHUP))
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    try:
        assert train(*arguments(studio, "ended", 4, *SPARSE)) == 0
    finally:
        signal.signal(signal.SIGHUP, handler)


@pytest.mark.slow
def test_a_terminal_that_is_gone_does_not_end_a_run(studio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*words: Any, **more: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("mlx_moebius.train.describe", lambda *words: None)
    monkeypatch.setattr("typer.echo", gone)
    assert train(*arguments(studio, "alone", 2, *SPARSE)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("smaller", [False, True])
def test_photos_that_are_gone_cost_nothing_that_was_learnt(
    studio: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], smaller: bool
) -> None:
    def spoil() -> None:
        for path in (studio / "photos").iterdir():
            path.unlink()
            if smaller:
                Image.new("RGB", (12, 10)).save(path)

    monkeypatch.setattr("mlx_moebius.training.photos.CACHE_BYTES", 0)
    at_step(monkeypatch, 3, spoil)
    assert train(*arguments(studio, "ended", 1000, *SPARSE)) == 1
    error = capsys.readouterr().err
    assert "can be decoded any more" in error
    assert error.count("\n") == 1
    assert saved_step(studio / "ended") >= 3
    verify(studio / "ended")


@pytest.mark.slow
def test_a_log_that_cannot_be_written_costs_nothing_that_was_learnt(
    studio: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def block() -> None:
        (studio / "ended" / LOG_NAME).unlink()
        (studio / "ended" / LOG_NAME).mkdir()

    at_step(monkeypatch, 3, block)
    assert train(*arguments(studio, "ended", 1000, *SPARSE)) == 1
    assert "log.jsonl (Is a directory)" in capsys.readouterr().err
    assert saved_step(studio / "ended") == 4
    verify(studio / "ended")


@pytest.mark.slow
def test_two_runs_do_not_share_a_folder(studio: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (studio / "one").mkdir()
    with locked(studio / "one"):
        assert train(*arguments(studio, "one", 1)) == 1
    assert "another run is writing into" in capsys.readouterr().err
    assert not list((studio / "one").iterdir())
    assert train(*arguments(studio, "one", 1)) == 0
    state = (studio / "one" / STATE_NAME).read_bytes()
    with locked(studio / "one"):
        assert train(*arguments(studio, "one", 2, "--resume")) == 1
    assert (studio / "one" / STATE_NAME).read_bytes() == state


def damage_state(folder: Path, change: Callable[[dict[str, mx.array]], object]) -> None:
    state = mx.load(str(folder / STATE_NAME))
    assert isinstance(state, dict)
    mx.eval(state)
    change(state)
    mx.save_safetensors(str(folder / "new.safetensors"), state)
    (folder / "new.safetensors").replace(folder / STATE_NAME)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda out: (out / SETTINGS_NAME).write_text("[1]"), "train.json is damaged"),
        (lambda out: (out / SETTINGS_NAME).write_bytes(b"\xff"), "train.json is damaged"),
        (lambda out: (out / SETTINGS_NAME).write_text('{"plan": 3, "recipe": {}}'), "train.json is damaged"),
        (
            lambda out: damage_state(out, lambda state: state.update({VARIANCE: mx.zeros((3, 3))})),
            f"is damaged ({VARIANCE} is mlx.core.float32 [3, 3]",
        ),
        (lambda out: damage_state(out, lambda state: state.pop(VARIANCE)), "of another network"),
        (lambda out: damage_state(out, lambda state: state.update(plan=mx.zeros((2,)))), "is damaged"),
        (lambda out: damage_state(out, lambda state: state.update(plan=mx.array([np.nan] * 3))), "is damaged"),
        (
            lambda out: damage_state(out, lambda state: state.update({"before.scores": mx.zeros((3, 1))})),
            "is damaged",
        ),
    ],
)
def test_damaged_files_of_a_run_are_one_line(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], object], said: str
) -> None:
    out = tmp_path / "damaged"
    shutil.copytree(finished / "done", out)
    damage(out)
    assert train(*arguments(finished, str(out), 3, *SPARSE, "--resume")) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_what_is_no_line_of_a_log_is_left_out_and_another_vae_is_put_right(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "damaged"
    shutil.copytree(finished / "done", out)
    with (out / LOG_NAME).open("ab") as file:
        file.write(NO_LINES)
    (out / "vae.safetensors").write_bytes((out / "vae.safetensors").read_bytes()[:-9] + b"\0" * 9)
    assert train(*arguments(finished, str(out), 3, *SPARSE, "--resume")) == 0
    assert [line["step"] for line in lines(out)] == [0, 1, 2, 2, 3, 3]
    assert file_record(out / "vae.safetensors", "") == file_record(Path(tiny(), "vae.safetensors"), "")
    verify(out)


@pytest.mark.slow
def test_card_and_last_line_say_what_was_made_and_whether_it_helped(
    studio: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (studio / "photos").iterdir():
        Image.open(path).resize((256, 192)).save(path)
    words = [str(studio / "photos"), "--model", "nano", "-o", str(studio / "tuned"), "--batch-size", "2"]
    words += ["--grad-accumulation", "1", "--lr", "3e-4", "--ema", "0", *SPARSE]
    assert train(*words, "--steps", "4") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    before, after = (line for line in lines(studio / "tuned") if "bands" in line)
    assert f"loss {before['bands']['999']:.4f} before, {after['bands']['999']:.4f} now" in last
    assert f"{before['psnr']:.2f} dB before, {after['psnr']:.2f} dB now" in last
    card = (studio / "tuned" / "README.md").read_text()
    assert "Converted" not in card
    assert "in 4 steps on 5 photographs: a model, going on from" in card
    for name in ("unet.safetensors", "vae.safetensors"):
        begun = file_record(BUNDLED["nano"] / name, name)
        assert f"| nano/{name} | {begun.size} | `{begun.sha256}` |" in card
    with Image.open(studio / "tuned" / SHEET_NAME) as image:
        sheet = np.asarray(image)
    columns = sheet.shape[1] // 8  # hole, before, after and truth, twice
    before_fill, after_fill = sheet[40:, columns : 2 * columns - 8], sheet[40:, 2 * columns : 3 * columns - 8]
    assert (before_fill != after_fill).any()


@pytest.mark.parametrize(
    ("loss", "psnr", "verdict"),
    [
        (0.05, 21.0, "(50% lower); within holes 20.00 dB before, 21.00 dB now: it helped"),
        (0.0999, 20.01, "no difference worth the name"),
        (0.12, 19.0, "it did harm: keep the model that you had"),
        (0.05, 19.0, "better by one, worse by the other: look at the fills"),
    ],
)
def test_the_last_line_judges_by_both_measures(loss: float, psnr: float, verdict: str) -> None:
    fills = np.zeros((8, 4, 4, 3), np.uint8)
    line = compared(EvalResult({50: 0.15, 950: 0.05}, 20.0, fills), EvalResult({50: loss, 950: loss}, psnr, fills))
    assert line.startswith(f"on 8 crops held out: loss 0.1000 before, {loss:.4f} now")
    assert line.endswith(verdict)
