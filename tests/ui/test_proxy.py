"""The page starts whatever a proxy says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import urllib.request
from mlx_moebius.ui import launch
with launch("nano", "127.0.0.1", 0, False) as server:
    print(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(server.url).status)
"""


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_loopback_does_not_need_a_proxy(kind: str) -> None:
    closed = f"{kind}://127.0.0.1:9"  # nothing listens there
    variables = dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), closed)
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **variables, "NO_PROXY": "intranet"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (run.returncode, run.stdout) == (0, "200\n"), run.stderr
