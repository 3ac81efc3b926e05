"""What every command of the package does alike."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMANDS = ("benchmark", "convert", "generate", "models", "train", "ui")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *((f"{command} --unknown", "--unknown") for command in COMMANDS),
        ("generate --model nano", "IMAGE"),
        ("generate photo.png --steps many", "--steps"),
        ("generate photo.png --solver euler", "--solver"),
        ("generate photo.png --strength 3", "--strength"),
        ("generate photo.png --seeds 1", "--seeds"),
    ],
)
def test_a_wrong_option_is_one_plain_line_below_the_usage(command: str, name: str) -> None:
    program, *arguments = command.split()
    run = subprocess.run(
        [sys.executable, "-m", f"mlx_moebius.{program}", *arguments], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 2
    assert run.stdout == ""
    usage, _, _, error = run.stderr.splitlines()
    assert usage.startswith("Usage: ")
    assert error.startswith("Error: ")
    assert name in error
    assert "╭" not in run.stderr
