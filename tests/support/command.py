"""The commands of the package, run in this process: starting Python would cost more than most of them do."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended; named as in `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


def run(main: Callable[[], object], *words: str | Path, cwd: Path | None = None) -> Ended:
    """Call a command's entry point as its script does, with these words after its name."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape", write_through=True) for _ in range(2)]
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        patch.setattr(sys, "argv", ["mlx_moebius", *(os.fspath(word) for word in words)])
        if cwd is not None:
            patch.chdir(cwd)
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    shown = [stream.buffer.getvalue().decode(errors="surrogateescape") for stream in streams]
    assert isinstance(code, int), code
    return Ended(code, *shown)
