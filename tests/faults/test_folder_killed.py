"""A folder run killed at every single write of it, and the run after that."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from mlx_moebius.errors import MoebiusError
from mlx_moebius.folder import ledger, review
from mlx_moebius.folder.batch import Job
from mlx_moebius.folder.run import fill_folder, find_pairs
from mlx_moebius.inpainting.pipeline import MoebiusPipeline
from tests.faults.injectors import KilledError, killed_at
from tests.support.pictures import picture
from tests.support.tiny import tiny

BOX = "8,8,12,10"
NAMES = ("a.png", "b.jpg", "inside/c.webp")
Run = Callable[[Path], int]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "inside").mkdir()
    for seed, name in enumerate(NAMES):
        picture("RGB", 40, 36, seed).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def run(photos: Path) -> Run:
    """The folder's run in this process, with one network for all runs."""
    pipeline = MoebiusPipeline.from_pretrained(tiny())
    settings = pipeline.settings(num_steps=1, guidance_scale=1.0, detail=False)

    def fill(out: Path) -> int:
        pairing = find_pairs(photos, [], [BOX], out, recursive=True, overwrite=False)
        return fill_folder(pipeline, Job(photos, out, settings, (BOX,)), pairing, False, "quiet")

    return fill


def pictures(out: Path) -> dict[str, bytes]:
    """All files of a run but ledger and page, which tell the time."""
    files = (path for path in out.rglob("*") if path.is_file() and path.name not in (ledger.NAME, review.NAME))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def assert_whole(out: Path, expected: Path) -> None:
    assert pictures(out) == pictures(expected)
    assert sorted(ledger.read(out)) == sorted(NAMES)
    assert len((out / ledger.NAME).read_bytes().splitlines()) == len(NAMES)


@pytest.fixture(scope="module")
def undisturbed(run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """What a run ends with, and how many writes it is."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    with killed_at(out) as watch:
        assert run(out) == 0
    assert set(pictures(out)) == set(NAMES)
    assert watch.count > 5 * len(NAMES)
    return out, watch.count


@pytest.mark.slow
def test_killed_at_any_write_a_rerun_ends_as_if_undisturbed(
    run: Run, undisturbed: tuple[Path, int], tmp_path: Path
) -> None:
    expected, writes = undisturbed
    for write in range(writes):
        out = tmp_path / f"out{write}"
        with killed_at(out, write), pytest.raises(KilledError):
            run(out)
        assert run(out) == 0, write
        assert_whole(out, expected)


def test_a_rerun_killed_at_any_write_loses_nothing_either(
    run: Run, undisturbed: tuple[Path, int], tmp_path: Path
) -> None:
    """Two ranks have done all; bringing their ledgers together is what is killed."""
    expected, _ = undisturbed
    lines = (expected / ledger.NAME).read_bytes().splitlines(keepends=True)
    write, ended = 0, False
    while not ended:
        out = Path(shutil.copytree(expected, tmp_path / f"out{write}"))
        (out / ledger.NAME).write_bytes(lines[0])
        (out / "moebius.rank1.jsonl").write_bytes(b"".join(lines[1:]))
        with killed_at(out, write) as watch, suppress(KilledError):
            assert run(out) == 0
        ended = watch.count <= write
        assert set(ledger.read(out)) == set(NAMES)
        assert run(out) == 0, write
        assert_whole(out, expected)
        write += 1
    assert write > 5


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_process_killed_in_the_second_photo(
    run: Run, photos: Path, undisturbed: tuple[Path, int], tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    asked = [str(photos), "-o", str(out), "--recursive", "--mask-from", BOX, "--model", tiny()]
    asked += ["--steps", "1", "--guidance", "1", "--no-detail", "--quiet"]
    for write in (8, 12):  # in the first photo's line, and in the second photo
        killed = [sys.executable, "-m", "tests.faults.killed", str(out), str(write), str(int(number)), *asked]
        # SIGKILL ends the process where it is; at the others it first removes what it has half-written.
        status = -number if number == signal.SIGKILL else 128 + number
        assert subprocess.run(killed, capture_output=True, timeout=120).returncode == status
    assert 0 < len(pictures(out)) < len(NAMES)
    assert run(out) == 0
    assert_whole(out, undisturbed[0])


def test_a_folder_claimed_by_another_rank_alone_is_ours(
    run: Run, undisturbed: tuple[Path, int], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with killed_at(out, 12), pytest.raises(KilledError):
        run(out)
    (out / ledger.NAME).rename(out / "moebius.rank1.jsonl")
    assert run(out) == 0
    assert_whole(out, undisturbed[0])


def test_a_picture_in_an_unclaimed_folder_is_the_users(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_bytes(b"the user's")
    with pytest.raises(MoebiusError, match="exists and is not an earlier run's"):
        run(out)
    assert pictures(out) == {"a.png": b"the user's"}
