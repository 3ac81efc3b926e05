"""What every command of the package does alike."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["benchmark", "convert", "generate", "models", "train", "ui"])
def test_a_wrong_option_is_one_plain_line_below_the_usage(command: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", f"mlx_moebius.{command}", "--unknown"], capture_output=True, text=True, encoding="utf-8"
    )
    assert run.returncode == 2
    assert run.stdout == ""
    usage, _, _, error = run.stderr.splitlines()
    assert usage.startswith("Usage: ")
    assert error.startswith("Error: ")
    assert "--unknown" in error
