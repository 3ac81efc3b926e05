"""Whole files or none: what others wrote meanwhile stays, parts are private and removed, niceties lose no result."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlx_moebius import files, memory
from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import lock, printable, remove_left_parts, replacing
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.photos.save import write_photo


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(path)
    return path


def write_new(path: Path, meanwhile: Callable[[], object]) -> None:
    with replacing(path, overwrite=False) as file:
        file.write(b"ours")
        meanwhile()


def parts(folder: Path) -> list[Path]:
    return list(folder.glob(".moebius-*.part"))


@pytest.mark.parametrize("links", [True, False])
def test_what_appeared_under_the_name_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:  # as on exFAT

        def refuse(source: object, target: object) -> None:
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "result.png"
    with pytest.raises(MoebiusError, match="meanwhile"):
        write_new(path, meanwhile=lambda: path.write_bytes(b"theirs"))
    assert path.read_bytes() == b"theirs"
    assert not parts(tmp_path)
    write_new(tmp_path / "new.png", meanwhile=lambda: None)
    assert (tmp_path / "new.png").read_bytes() == b"ours"
    assert not parts(tmp_path)


def test_a_part_is_no_more_readable_than_asked(tmp_path: Path) -> None:
    with replacing(tmp_path / "result", mode=0o600) as file:
        file.write(b"private")
        assert [stat.S_IMODE(part.stat().st_mode) for part in parts(tmp_path)] == [0o600]
    assert stat.S_IMODE((tmp_path / "result").stat().st_mode) == 0o600


def test_parts_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    dead = tmp_path / "inner" / ".moebius-0123456789ab.part"
    dead.parent.mkdir()
    dead.touch()
    with replacing(tmp_path / "result") as file:
        file.write(b"being written")
        remove_left_parts(tmp_path)
        assert len(parts(tmp_path)) == 1
    assert (tmp_path / "result").read_bytes() == b"being written"
    assert not dead.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_part_does_not_outlive_a_process_that_is_told_to_end(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path\n"
        f"signal.signal({number:d}, signal.SIG_DFL)\n"  # below `nohup`, SIGHUP would be ignored
        "from mlx_moebius import startup; from mlx_moebius.files import replacing\n"
        "startup.interruptible()\n"
        f"with replacing(Path('result')) as file: os.kill(os.getpid(), {number:d}); file.write(b'x')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 128 + number, run.stderr
    assert not run.stderr
    assert not list(tmp_path.iterdir())


def test_a_photo_is_written_where_permissions_cannot_be_set(
    photo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read = read_photo(photo)

    def refuse(path: object, mode: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    monkeypatch.setattr(Path, "chmod", refuse)
    notes = write_photo(read, tmp_path / "out.png", source=photo)
    assert any("permissions could not be kept" in note for note in notes)
    assert read_photo(tmp_path / "out.png").pixels.shape == read.pixels.shape


def test_a_photo_is_written_whose_source_is_gone(photo: Path, tmp_path: Path) -> None:
    read = read_photo(photo)
    photo.unlink()
    notes = write_photo(read, tmp_path / "out.png", source=photo, keep_time=True)
    assert any("could not be kept" in note for note in notes)
    assert (tmp_path / "out.png").exists()


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(MoebiusError, match="is a pipe"):
        read_photo(tmp_path / "pipe.jpg")
    with pytest.raises(MoebiusError, match="is a pipe"):
        files.sha256(tmp_path / "pipe.jpg")


def test_a_link_to_itself_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    with pytest.raises(MoebiusError, match="leads to itself"), replacing(tmp_path / "loop.jpg"):
        pass
    with pytest.raises(MoebiusError, match=r"loop\.jpg"):
        read_photo(tmp_path / "loop.jpg")


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EBADF])
def test_a_disk_without_locks_is_said_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    said: list[str] = []
    with files.locked(tmp_path, said.append):
        assert len(said) == 1
        assert "has no locks" in said[0]


def test_a_lock_that_another_holds_is_seen(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path, os.O_RDONLY) for _ in range(2))
    try:
        assert lock(first)
        with pytest.raises(BlockingIOError):
            lock(second)
    finally:
        os.close(first)
        os.close(second)


def test_a_mac_is_asked_to_empty_the_drives_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda handle, operation: asked.append(operation))
    with replacing(tmp_path / "result") as file:
        file.write(b"x")
    assert asked == [51, 51]  # the file and its folder


@pytest.mark.parametrize(
    ("membership", "file"),
    [
        ("0::/docker/abc\n", "docker/abc/memory.max"),
        ("0::/docker/abc\n", "docker/memory.max"),
        ("0::/docker/abc\n", "memory.max"),  # the container sees its group as the root
        ("4:memory:/docker/abc\n0::/\n", "memory/docker/abc/memory.limit_in_bytes"),
        ("4:memory:/docker/abc\n0::/\n", "memory/memory.limit_in_bytes"),
    ],
)
def test_the_limit_of_a_container_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, membership: str, file: str
) -> None:
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "MEMBERSHIP", tmp_path / "membership")
    (tmp_path / "membership").write_text(membership)
    unlimited = memory.available()
    path = tmp_path / "cgroup" / file
    path.parent.mkdir(parents=True)
    path.write_text("1258291200\n")
    assert unlimited > memory.available() == 1258291200
    path.write_text("max\n")
    assert memory.available() == unlimited


def test_escape_sequences_in_names_are_shown_not_obeyed() -> None:
    assert printable("a\x1b[2Jb\r\n.jpg") == r"a\x1b[2Jb\r\n.jpg"
    assert printable("Zoë 写真 \udcff.jpg") == "Zoë 写真 \udcff.jpg"
