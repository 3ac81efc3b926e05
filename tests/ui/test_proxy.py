"""The page starts whatever a proxy says."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import urllib.request
from mlx_moebius.ui import launch
with launch("nano", "127.0.0.1", 0, False) as server:
    print(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(server.url).status)
"""


def test_loopback_does_not_need_a_proxy() -> None:
    closed = "http://127.0.0.1:9"  # nothing listens there
    variables = dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), closed)
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **variables, "NO_PROXY": "intranet"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (run.returncode, run.stdout) == (0, "200\n"), run.stderr
