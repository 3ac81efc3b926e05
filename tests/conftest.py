"""Loaded before every test module, hence before any of them imports mlx.core."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("MLX_ENABLE_TF32", "0")  # parity in float32 wants all of its bits, also on an M5 or NVIDIA GPU
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes: threads of each would only wait for the others'
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import mlx_moebius  # (loads OpenBLAS)
from tests.support.browser import chromium

SCRIPT = "sh examples/system.sh tests"
MOST_WORKERS = 4  # each holds a network, some a browser too


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at what it was asked for
def pytest_cmdline_main(config: pytest.Config) -> None:
    """The whole suite runs on several cores, tests that are named in this process, where `-n` says nothing else."""
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if not is_worker and whole_suite(config) and getattr(config.option, "numprocesses", 0) is None:
        config.option.numprocesses = min(os.cpu_count() or 1, MOST_WORKERS)
        if config.option.dist == "no":  # not asked for
            # Each has one stretch of the tests, and takes half of another's rest when it is done: few modules are torn
            # apart, whose fixtures would be made twice, and all end together.
            config.option.dist = "worksteal"


@pytest.hookimpl(tryfirst=True)  # before other processes are started
def pytest_sessionstart(session: pytest.Session) -> None:
    """Say what this machine lacks before the first test; the whole suite does not even begin without it."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    lacking = list(missing())
    if reporter is None or not lacking:  # a worker has no terminal
        return
    if whole_suite(session.config):
        raise pytest.UsageError("; ".join(lacking))
    for line in lacking:
        reporter.write_line(f"warning: {line}")


def whole_suite(config: pytest.Config) -> bool:
    """Whether no test was named on the command line."""
    return config.args_source is config.ArgsSource.TESTPATHS


def missing() -> Iterator[str]:
    """What the tests need beside Python packages, and how to get it; a sentence each."""
    if mlx_moebius.runtime.BLAS.startswith("reference"):
        yield f"without OpenBLAS the tests take hours instead of minutes ({SCRIPT} installs it)"
    try:
        chromium()
    except FileNotFoundError as error:
        yield str(error)
