"""The page starts and takes files whatever a proxy says and whatever spelling an extension has."""

from __future__ import annotations

import os
import subprocess
import sys

from mlx_moebius.photos.formats import EXTENSIONS
from mlx_moebius.ui.layout import PHOTOS

PROGRAM = """
import urllib.request
from mlx_moebius.ui import launch
with launch("nano", "127.0.0.1", 0, False) as server:
    print(urllib.request.urlopen(server.url).status)
"""


def test_loopback_never_goes_through_a_proxy() -> None:
    closed = "http://127.0.0.1:9"  # nothing listens there
    variables = {"http_proxy": closed, "HTTP_PROXY": closed, "https_proxy": closed, "NO_PROXY": "intranet"}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **variables}, capture_output=True, text=True, timeout=120
    )
    assert (run.returncode, run.stdout) == (0, "200\n"), run.stderr


def test_the_page_takes_what_the_command_line_takes() -> None:
    assert set(PHOTOS) == set(EXTENSIONS)
    assert {".jfif", ".jpe", ".hif"} <= set(PHOTOS)
