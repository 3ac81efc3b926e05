"""The lines of docs/macos.md that are pasted into other programs, run as those run them: photos as arguments."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

import mlx_moebius
from tests.folder.test_batch import draw, draw_mask
from tests.test_documentation import ROOT, blocks

EDIT, FILL = blocks(ROOT / "docs" / "macos.md", "zsh")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with the project's command where the page expects it, and a photo with a blank in its name."""
    program = tmp_path / "mlx-moebius" / ".venv" / "bin" / "mlx-moebius"
    program.parent.mkdir(parents=True)
    start = "import sys; from mlx_moebius.__main__ import main; sys.exit(main())"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{start}" "$@"\n')
    program.chmod(0o755)
    draw(tmp_path / "my photos" / "a b.jpg")
    draw_mask(tmp_path / "my photos" / "a b_mask.png")
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    """Little, as Automator gives it; no browser opens, and kernels that are compiled already are used."""
    project = str(Path(mlx_moebius.__file__).parents[1])
    found = {"HOME": str(home), "PATH": "/usr/bin:/bin", "BROWSER": "true", "PYTHONPATH": project, "LANG": "C.UTF-8"}
    return found | {"XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")}


@pytest.mark.slow
def test_photos_with_a_mask_are_filled(home: Path) -> None:
    photo = home / "my photos" / "a b.jpg"
    run = subprocess.run(["sh", "-c", FILL, "sh", str(photo)], env=environment(home), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert photo.with_name("a b_filled.jpg").is_file()


@pytest.mark.slow
def test_the_page_opens_with_the_photos(home: Path) -> None:
    photo = home / "my photos" / "a b.jpg"
    before = photo.read_bytes()
    with subprocess.Popen(
        ["sh", "-c", f"exec {EDIT}", "sh", str(photo)], env=environment(home), stdout=subprocess.PIPE, text=True
    ) as page:
        assert page.stdout is not None
        found = re.match(r"http\S+", page.stdout.readline())
        assert found is not None
        with urlopen(found.group()) as answer:
            assert answer.status == 200
        os.kill(page.pid, signal.SIGTERM)
        assert page.wait(60) == 1
    assert photo.read_bytes() == before
