"""What every command does alike: its help, how it refuses, where it takes code from, how it ends early."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlx_moebius.__main__ import COMMANDS, main
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.training.step import Recipe

INNER = [f"models {name}" for name in ("list", "download", "path", "remove", "verify")]


def run(capsys: pytest.CaptureFixture[str], command: str) -> tuple[int, str, str]:
    """Exit status, and what is written to standard output and error, of `mlx-moebius COMMAND`."""
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command))
    return int(ended.value.code or 0), *capsys.readouterr()


def python(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        *((f"{command} --unknown", "there is no option --unknown") for command in [*COMMANDS, "models list"]),
        ("photo.png --maks mask.png", "there is no option --maks: did you mean --mask or --paste?"),
        ("--model nano", "missing argument 'PHOTO'"),
        ("photo.png --mask", "option '--mask' requires an argument"),
        ("photo.png --steps many", "--steps must be a whole number from 1 to 1000, not 'many'"),
        ("photo.png --steps 2.5", "--steps must be a whole number from 1 to 1000, not '2.5'"),
        ("photo.png --strength 3", "--strength must be a number from 0 to 1, not 3.0"),
        ("photo.png --strength nan", "--strength must be a number from 0 to 1, not nan"),
        ("photo.png --seeds 1", "--seeds must be a whole number from 2 to 64, not 1"),
        ("photo.png --solver euler", "--solver must be ddim or dpm++, not 'euler'"),
        ("photo.png --dilate some", "--dilate must be a whole number from 0 to 1000000 or auto, not 'some'"),
        ("photo.png --gravity up", "--gravity must be center or left or right or top or bottom, not 'up'"),
        ("photo.png --memory-limit lots", '--memory-limit: "lots" is not a size such as 8GB or 900MB'),
        ("photo.png --output ''", "--output is empty: give the name of a file or folder"),
        ("train photos -o out --optimizer sgd", "--optimizer must be adamw or muon, not 'sgd'"),
        ("train photos -o out --batch-norm off", "--batch-norm must be frozen or live, not 'off'"),
        ("train photos -o out --timesteps some", "--timesteps must be all or sampled, not 'some'"),
        ("train photos -o out --dtype float16", "--dtype must be float32 or bfloat16, not 'float16'"),
        ("train photos -o out --minutes 0", "--minutes must be a number from 0.01 to"),
        ("train photos -o out --memory-limit lots", '--memory-limit: "lots" is not a size such as 8GB or 900MB'),
        ("convert a b --quantize 3", "--quantize must be 8 or 4, not '3'"),
        ("convert a b --q-mode int4", "--q-mode must be affine or mxfp8 or mxfp4 or nvfp4, not 'int4'"),
        ("convert a b --sampling steps=3", "--sampling: unknown sampling default 'steps'; known: num_steps, "),
        ("convert a b --sampling compensate=maybe", "--sampling: compensate must be true or false, not 'maybe'"),
        ("ui --port many", "--port must be a whole number from 0 to 65535, not 'many'"),
        ("benchmark --local-impl fast", "--local-impl must be windows or bands or dense or conv, not 'fast'"),
        ("models lost", "no such command 'lost'"),
        ("completion tcsh", "completion wants one word: bash, zsh, fish"),
        *(
            (f"{command} --dtype float8", "--dtype must be float32 or float16 or bfloat16, not 'float8'")
            for command in ("photo.png", "convert a b", "benchmark")
        ),
        ("train photos -o out --dtype float8", "--dtype must be float32 or bfloat16, not 'float8'"),
    ],
)
def test_a_wrong_command_line_is_one_line_of_one_form(
    capsys: pytest.CaptureFixture[str], command: str, sentence: str
) -> None:
    status, out, error = run(capsys, command)
    assert (status, out) == (2, "")
    [line] = error.splitlines()
    assert line.startswith("error: ")
    assert sentence in line


@pytest.mark.parametrize("command", [*COMMANDS, *INNER])
def test_help_fits_the_reader(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    status, text, error = run(capsys, f"{command} --help")
    assert (status, error) == (0, "")
    assert run(capsys, f"{command} -h") == (0, text, "")
    assert max(map(len, text.splitlines())) <= 80
    name = "mlx-moebius" if command == "generate" else f"mlx-moebius {command}"
    assert text.startswith(f"Usage: {name}")
    assert "python -m" not in text
    examples = re.findall(r"^  (mlx-moebius .+)$", text.split("Examples:\n")[1].split("\n\n")[0], re.M)
    assert examples
    for word in " ".join(examples).split():
        assert not word.startswith("-") or re.search(rf"^  (-\w, )?{word}\b|^  {word},", text, re.M), word


@pytest.mark.parametrize("command", ["generate", "train", "convert", "benchmark"])
def test_help_begins_with_the_options_used_most(capsys: pytest.CaptureFixture[str], command: str) -> None:
    _, text, _ = run(capsys, f"{command} --help")
    first, more = text.split("\nUsed most:\n")[1].split("\n\nMore", 1)
    options = re.compile(r"^  (?:-\w, )?(--[a-z-]+)", re.M)
    assert len(options.findall(first)) == 6
    assert not set(options.findall(first)) & set(options.findall(more))


def test_help_shows_the_defaults_that_hold(capsys: pytest.CaptureFixture[str]) -> None:
    defaults = {"generate": (Settings(), ("strength", "noise_offset", "seed", "dilate", "context", "solver"))}
    defaults |= {"train": (Recipe(), ("grad_accumulation", "optimizer", "ema", "blend", "dtype"))}  # type: ignore[dict-item]
    for command, (record, names) in defaults.items():
        text = " ".join(run(capsys, f"{command} --help")[1].split())
        for name in names:
            value = getattr(record, name)
            shown = f"{value:g}" if isinstance(value, float) else value
            assert re.search(rf"--{name.replace('_', '-')} [^[]*\[default: {re.escape(str(shown))}\]", text), name


@pytest.mark.parametrize("command", ["", "train", "convert", "models", "models path"])
def test_a_command_alone_shows_its_help_where_it_needs_a_word(capsys: pytest.CaptureFixture[str], command: str) -> None:
    status, text, error = run(capsys, command)
    assert (status, error) == (2, "")
    assert f"{run(capsys, f'{command} --help')[1]}" == text


def test_the_one_command_names_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = run(capsys, "--help")
    for command in COMMANDS:
        assert command == "generate" or f"\n  mlx-moebius {command} " in text


def test_a_name_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, error = run(capsys, "'\x1b[2Jphoto\n.png' --mask mask.png")
    assert status == 1
    assert error.count("\n") == 1
    assert "\\x1b[2Jphoto\\n.png" in error


@pytest.mark.parametrize("module", ["mlx_moebius", "mlx_moebius.generate", "mlx_moebius.models"])
def test_code_beside_the_photos_is_not_run(tmp_path: Path, module: str) -> None:
    for name in ("typer", "numpy", "PIL", "mlx", "json"):
        (tmp_path / f"{name}.py").write_text("open('RAN', 'w'); raise SystemExit('ran')")
    done = python("-m", module, "--help", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: mlx-moebius")
    assert not (tmp_path / "RAN").exists()


def test_other_programs_keep_their_folder(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("WORD = 'found'")
    (tmp_path / "tool.py").write_text("import mlx_moebius, helper; print(helper.WORD)")
    assert python("-m", "tool", folder=tmp_path).stdout == "found\n"


def test_ctrl_c_while_python_imports_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT); signal.pause()")
    done = python("-m", "mlx_moebius.generate", "--help", folder=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == -signal.SIGINT
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["mlx-moebius", "tr"], {"train"}),
        (["mlx-moebius", ""], set(COMMANDS)),
        (["mlx-moebius", "--ma"], {"--mask", "--mask-from", "--max-crop", "--max-pixels"}),
        (["mlx-moebius", "photo.jpg", "--solver", "d"], {"ddim", "dpm++"}),
        (["mlx-moebius", "train", "--opt"], {"--optimizer"}),
        (["mlx-moebius", "train", "--optimizer", ""], {"adamw", "muon"}),
        (["mlx_moebius.train", "--dtype", ""], {"float32", "bfloat16"}),
        (["mlx-moebius", "models", "v"], {"verify"}),
        (["mlx_moebius.models", "v"], {"verify"}),
        (["mlx-moebius", "photo"], set()),  # then the shell offers files
    ],
)
def test_bash_completes(capsys: pytest.CaptureFixture[str], words: list[str], wanted: set[str]) -> None:
    status, script, _ = run(capsys, "completion bash")
    assert status == 0
    call = f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _mlx_moebius; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "--norc", "-c", f"{script}\n{call}"], capture_output=True, text=True, timeout=60)
    assert set(done.stdout.split()) == wanted, done.stderr


def test_fish_and_zsh_have_scripts_too(capsys: pytest.CaptureFixture[str]) -> None:
    fish, zsh = (run(capsys, f"completion {shell}")[1] for shell in ("fish", "zsh"))
    assert re.search(r"^complete -c mlx-moebius -n '__fish_seen_subcommand_from train' -l optimizer .*muon", fish, re.M)
    assert "bashcompinit" in zsh
    assert "_mlx_moebius()" in zsh
