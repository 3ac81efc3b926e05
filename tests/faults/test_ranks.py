"""Two real processes on two addresses of this machine share a folder; one is killed, or their link is cut."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from mlx_moebius.folder import ledger
from tests.faults.injectors import Link
from tests.support.pictures import picture
from tests.support.tiny import tiny

NAMES = ("a.png", "b.png", "c.png", "d.png")
# macOS gives the loopback net one address only, unless it is told otherwise.
HOSTS = ("127.0.0.1", "127.0.0.2" if sys.platform == "linux" else "127.0.0.1")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(NAMES):
        picture("RGB", 40, 36, seed).save(folder / name)
    return folder


def addresses(count: int = len(HOSTS)) -> list[tuple[str, int]]:
    """Addresses where nobody listens, on each host in turn; no two are the same."""
    with ExitStack() as held:
        servers = [held.enter_context(socket.create_server((HOSTS[at % 2], 0))) for at in range(count)]
        return [server.getsockname() for server in servers]


def start(
    photos: Path,
    out: Path,
    rank: int,
    ring: list[tuple[str, int]],
    killed_at: int | None = None,
    patience: int = 4,
) -> subprocess.Popen[str]:
    """A rank as `mlx.launch` starts it; killed at its write of a number below `out`."""
    hosts = out.parent / f"hosts{rank}.json"
    hosts.write_text(json.dumps([[f"{host}:{port}"] for host, port in ring]))
    module = ["-m", "mlx_moebius.generate"]
    if killed_at is not None:
        module = ["-m", "tests.faults.killed", str(out), str(killed_at), str(int(signal.SIGKILL))]
    asked = [str(photos), "-o", str(out), "--mask-from", "8,8,12,10", "--model", tiny(), "--steps", "2", "--no-detail"]
    environment = os.environ | {
        "MLX_RANK": str(rank),
        "MLX_HOSTFILE": str(hosts),
        "MLX_MOEBIUS_PATIENCE": str(patience),
    }
    return subprocess.Popen(
        [sys.executable, *module, *asked], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def said(process: subprocess.Popen[str]) -> list[str]:
    """What our program said until its end; MLX's own lines left out."""
    lines = process.communicate(timeout=120)[1].splitlines()
    assert not any("Traceback" in line for line in lines), lines
    return [line for line in lines if "[ring]" not in line]


def assert_completed_by_a_rerun(photos: Path, out: Path) -> None:
    ring = addresses()
    ranks = [start(photos, out, rank, ring) for rank in (0, 1)]
    shown = [said(process) for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], shown
    assert "4 done" in shown[0][-1]
    assert sorted(path.name for path in out.glob("*.png")) == list(NAMES)
    assert sorted(ledger.read(out)) == list(NAMES)
    assert [path.name for path in out.glob("*.jsonl")] == [ledger.NAME]


def test_waiting_looks_past_a_ledger_that_is_removed_meanwhile(tmp_path: Path) -> None:
    ledger.claim(tmp_path)
    (tmp_path / "moebius.rank1.jsonl").symlink_to("merged")  # listed, and gone when it is looked at
    assert ledger.sizes(tmp_path) == {ledger.NAME: 0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "done"),
    [  # before they meet, in its first photo, in that one's line, in the second
        (0, 0),
        (1, 2),
        (5, 2),
        (8, 2),
    ],
)
def test_a_killed_rank_is_told_of_and_a_rerun_completes_it(photos: Path, tmp_path: Path, write: int, done: int) -> None:
    out = tmp_path / "out"
    ring = addresses()
    first, second = start(photos, out, 0, ring), start(photos, out, 1, ring, killed_at=write)
    last = said(first)[-1]
    second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (1, -signal.SIGKILL)
    assert f"another rank has ended or cannot be reached: rank 0 has done {done} of 2, rank 1 has done" in last
    assert "the same command goes on from here" in last
    assert_completed_by_a_rerun(photos, out)
    if not done:  # the rerun has filled all photos: two hosts share them
        assert [ledger.read(out)[name]["rank"] for name in NAMES] == [0, 1, 0, 1]


@pytest.mark.slow
def test_a_cut_link_does_not_hold_up_a_rank_for_ever(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    *ring, first, second = addresses(4)  # a link that led to itself would connect to itself without end
    with closing(Link(first, ring[0])) as one, closing(Link(second, ring[1])) as other:
        seen = ([ring[0], second], [first, ring[1]])
        ranks = [start(photos, out, rank, seen[rank], patience=1) for rank in (0, 1)]
        stderr = ranks[0].stderr
        assert stderr is not None
        assert stderr.readline() == "2 photos\n"  # they have met, and begin
        one.cut()
        other.cut()
        for process in ranks:
            assert "another rank has ended or cannot be reached" in said(process)[-1]
            assert process.returncode == 1
    assert_completed_by_a_rerun(photos, out)
