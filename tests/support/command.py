"""The commands of the package, run in this process: starting Python would cost more than most of them do."""

from __future__ import annotations

import io
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


def run(main: Callable[[list[str]], object], *words: str | Path, cwd: Path | None = None) -> Ended:
    """Call a command's entry point with the words after its name."""
    written = io.BytesIO(), io.BytesIO()
    streams = [io.TextIOWrapper(each, "utf-8", "surrogateescape", write_through=True) for each in written]
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        if cwd is not None:
            patch.chdir(cwd)
        try:
            main([str(word) for word in words])
        except SystemExit as ended:
            code = ended.code or 0
    shown = [each.getvalue().decode(errors="surrogateescape") for each in written]
    assert isinstance(code, int), code
    return Ended(code, *shown)
