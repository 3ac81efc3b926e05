"""What a folder run says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlx_moebius.folder.report import Report


def test_an_error_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("lines", 2)
    failed: Any = SimpleNamespace(record={"input": "a.jpg", "error": "a.jpg: damaged"}, skipped=False, unmasked=False)
    report.ended_one(failed)
    report.end(done=0, without_mask=0, errors=["a.jpg: damaged", "b.jpg: damaged"])  # that one is of another rank
    said = capsys.readouterr().err
    assert said.count("a.jpg: damaged") == said.count("b.jpg: damaged") == 1
    assert "2 failed" in said
