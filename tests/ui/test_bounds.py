"""Bounds of a page: files, memory, connections and requests at a time; and what is done is let go of."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from mlx_moebius.ui import connections, launch, sessions
from mlx_moebius.ui.server import Server
from tests.support.visitor import QUICK, Held, Visitor, parsed
from tests.ui.stage import MASK, PHOTO

SMALL = (48, 40)
HOLE = {"tool": "rect", "points": [[10, 10], [20, 20]]}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A small one, and `mask.png` beside it."""
    Image.open(PHOTO).convert("RGB").crop((0, 0, *SMALL)).save(tmp_path / "photo.png")
    mask = Image.new("L", SMALL)
    mask.paste(255, (10, 10, 20, 20))
    mask.save(tmp_path / "mask.png")
    return tmp_path / "photo.png"


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


@contextmanager
def few_files(more: int) -> Iterator[None]:
    """This process may have so many more open than it has now."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_hundred_photos_fit_into_few_files_and_leave_nothing(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened, filled, looked at; then closed."""
    monkeypatch.setattr(sessions, "OPEN_BYTES", 4 * 3 * SMALL[0] * SMALL[1])
    with launch("nano") as server:
        visitor = Visitor(server)
        session = server.sessions.session(visitor.state["token"])
        assert session is not None
        before = open_files()
        with few_files(60):
            photos = [visitor.open(photo) for _ in range(100)]
            runs = [visitor.run(one, strokes=[HOLE]) for one in photos[::20]]
            assert {run["state"] for run in runs} == {"done"}
            for one in photos:
                for version in {0, visitor.photo(one)["current"]}:
                    address = f"/api/photos/{one['id']}/versions/{version}/tiles/0/0/0"
                    assert visitor.get(address).status_code == 200
        assert 0 < sum(picture.open_bytes for picture in session.pictures.values()) <= sessions.OPEN_BYTES
        for one in photos:
            assert visitor.delete(f"/api/photos/{one['id']}").status_code == 204
        assert [visitor.get(f"/api/runs/{run['id']}").status_code for run in runs] == [404] * len(runs)
        assert open_files() <= before + 5
        assert not list(session.folder.iterdir())


@pytest.mark.slow
def test_memory_does_not_grow_with_the_photos_that_were_opened(tmp_path: Path) -> None:
    """A hundred of 6 MB each, of which some are looked at, then closed."""
    Image.open(PHOTO).convert("RGB").resize((1600, 1250)).save(tmp_path / "photo.png", compress_level=1)
    unit = 1024 if sys.platform == "linux" else 1
    with launch("nano") as server:
        visitor = Visitor(server)

        def look() -> None:
            one = visitor.open(tmp_path / "photo.png")
            assert visitor.get(f"/api/photos/{one['id']}/versions/0/tiles/1/0/0").status_code == 200
            assert visitor.delete(f"/api/photos/{one['id']}").status_code == 204

        for _ in range(4):
            look()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        for _ in range(96):
            look()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before < 60_000_000


def fill(server: Server, photo: Path, **fields: Any) -> httpx.Response:
    """What a program asks for."""
    files = {
        name: (path.name, path.read_bytes()) for name, path in (("photo", photo), ("mask", photo.with_name("mask.png")))
    }
    headers = {"authorization": f"Bearer {server.token}"}
    return httpx.post(
        f"{server.address}/fill",
        files=files,
        data={"detail": "false", **fields},
        headers=headers,
        timeout=60,
        trust_env=False,
    )


@pytest.mark.slow
def test_programs_leave_no_files_and_runs(photo: Path) -> None:
    with launch("nano") as server:
        assert fill(server, photo).status_code == 200
        with few_files(12):
            assert {fill(server, photo).status_code for _ in range(6)} == {200}
        for _ in range(1000):  # a session ends behind its answer
            if not server.sessions.sessions:
                break
            time.sleep(0.01)
        assert not server.sessions.sessions


def test_too_many_requests_are_told_so_and_close_nobodys_photos(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_GUESTS", 3)
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 1)
    with launch("nano") as server:
        visitor = Visitor(server)
        own = visitor.open(photo)
        counts: Counter[int] = Counter()
        threads = [threading.Thread(target=lambda: counts.update([fill(server, photo).status_code])) for _ in range(8)]
        with Held(server):
            for thread in threads:
                thread.start()
            while counts[429] < 5:  # the others wait for the worker
                threads[0].join(0.01)
        for thread in threads:
            thread.join()
        assert counts == {200: 3, 429: 5}
        assert visitor.get(f"/api/photos/{own['id']}").status_code == 200


def test_connections_that_ask_for_nothing_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST", 20)
    with launch("nano") as server, ExitStack() as opened:
        place = ("127.0.0.1", httpx.URL(server.address).port or 0)
        idle = [opened.enter_context(socket.create_connection(place, timeout=30)) for _ in range(40)]
        idle[-1].sendall(b"GET / HTTP/1.1\r\n")  # the rest never comes
        assert httpx.get(server.url, trust_env=False).status_code == 200
        assert idle[0].recv(1) == b""  # it was closed for another
    monkeypatch.setattr(connections, "PATIENCE", 0.1)
    with launch("nano") as server:
        place = ("127.0.0.1", httpx.URL(server.address).port or 0)
        with socket.create_connection(place, timeout=30) as alone:
            alone.sendall(b"GET / HTTP/1.1\r\n")
            assert alone.recv(1) == b""


def test_a_cleaner_of_temporary_files_closes_photos_and_no_more(photo: Path) -> None:
    with launch("nano") as server:
        visitor = Visitor(server)
        opened = visitor.open(photo)
        shutil.rmtree(server.sessions.folder)
        for path in ("", "/versions/0/tiles/0/0/0", "/versions/0/file"):
            assert visitor.get(f"/api/photos/{opened['id']}{path}").status_code == 404  # the page brings it again
        again = visitor.open(photo)
        assert visitor.run(again, strokes=[HOLE])["state"] == "done"
        assert server.sessions.folder.stat().st_mode & 0o777 == 0o700
        assert Visitor(server).open(photo)
        folder = server.sessions.folder
    assert not folder.exists()


def test_a_temporary_folder_that_cannot_be_used_is_named(photo: Path) -> None:
    with launch("nano") as server:
        visitor = Visitor(server)
        folder = server.sessions.folder
        shutil.rmtree(folder)
        folder.write_bytes(b"a file in its place")
        answer = visitor.post("/api/photos?name=a.png", content=photo.read_bytes())
        assert answer.status_code == 507
        assert "temporary folder cannot be used" in answer.json()["error"].lower()
        folder.unlink()
        assert visitor.open(photo)


def test_too_many_pages_are_refused_and_those_left_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 2)
    with launch("nano") as server, httpx.Client(base_url=server.address, trust_env=False) as client:
        in_use = [server.sessions.new_session() for _ in range(2)]
        for session in in_use:
            session.held = True
        answer = client.get(server.url)
        assert answer.status_code == 503
        assert "pages are open, which is the limit" in answer.json()["error"]
        in_use[0].held = False
        assert client.get(server.url).status_code == 200


@pytest.mark.slow
def test_ending_the_page_while_it_fills_is_no_crash(photo: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mlx_moebius.ui", "--model", "nano", "--no-browser", "--port", "0"]
    process = subprocess.Popen(
        command, env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    address, _, token = process.stdout.readline().strip().partition("/?token=")
    files = {"photo": (PHOTO.name, PHOTO.read_bytes()), "mask": (MASK.name, MASK.read_bytes())}
    headers = {"authorization": f"Bearer {token}", "accept": "text/event-stream"}
    with (
        httpx.Client(base_url=address, headers=headers, timeout=60, trust_env=False) as client,
        client.stream("POST", "/fill", files=files, data={"num_steps": "200"}) as answer,
    ):
        events = parsed(answer.iter_lines())
        next(values for kind, values in events if kind == "run" and values["done"] > 1)
        process.send_signal(signal.SIGINT)
        for _ in events:
            pass
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert not list(tmp_path.glob("moebius-*"))


def test_names_are_long_and_stranger_than_text(photo: Path) -> None:
    with launch("nano") as server:
        visitor = Visitor(server)
        for name in ("写" * 82 + ".png", "a" * 300 + ".png", "é" * 130 + ".png", "two\nlines.png"):
            opened = visitor.open(photo, name)
            done = visitor.run(opened, strokes=[HOLE])
            assert (done["state"], done["error"]) == ("done", None)
            file = visitor.get(f"/api/photos/{opened['id']}/versions/{done['versions'][0]}/file")
            assert file.status_code == 200
            answer = visitor.post(f"/api/photos/{opened['id']}/versions?seed=1", content=photo.read_bytes())
            assert answer.status_code == 201


@pytest.mark.slow
def test_a_folder_holds_names_of_every_kind(photo: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "wedding", tmp_path / "finished"
    folder.mkdir()
    names = [b"plain.png", b"two\nlines.png", b"a" * 251 + b".png", "\u2028.png".encode(), b'"quoted".png']
    if sys.platform == "linux":
        names.append(b"no text \xff.png")
    for name in names:
        shutil.copy(os.fsencode(photo), os.path.join(os.fsencode(folder), name))
    with launch("nano", folder=folder, output=out) as server:
        visitor = Visitor(server)
        items = visitor.get("/api/series").json()["items"]
        assert len({item["name"] for item in items}) == len(names)
        for item in items:
            assert visitor.get(f"/api/series/{item['id']}/thumbnail").status_code == 200
            assert visitor.get(f"/api/photos/{item['id']}").status_code == 200
            visitor.paint(item, HOLE)
            assert visitor.get(f"/api/photos/{item['id']}/mask").status_code == 200
            queued = visitor.post(f"/api/series/{item['id']}/queue", json=QUICK)
            assert queued.status_code == 202, queued.text
            done = visitor.ended(queued.json())
            assert (done["state"], done["error"]) == ("done", None)
            assert visitor.post(f"/api/series/{item['id']}/skip").status_code == 200
    with launch("nano", folder=folder, output=out) as server:
        items = Visitor(server).get("/api/series").json()["items"]
        assert {item["state"] for item in items} == {"skipped"}


@pytest.mark.slow
def test_many_thumbnails_at_once_take_the_memory_of_one_photo(tmp_path: Path) -> None:
    """In a process of its own, whose peak is measured."""
    (tmp_path / "wedding").mkdir()
    Image.effect_noise((4000, 3000), 40).convert("RGB").save(tmp_path / "wedding" / "0.jpg")
    for number in range(1, 8):
        shutil.copy(tmp_path / "wedding" / "0.jpg", tmp_path / "wedding" / f"{number}.jpg")
    program = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from mlx_moebius.ui import launch
from tests.support.visitor import Visitor
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
with launch("nano", folder=sys.argv[1], output=sys.argv[2]) as server, ThreadPoolExecutor(8) as threads:
    visitor = Visitor(server)
    items, before = visitor.get("/api/series").json()["items"], peak()
    answers = list(threads.map(lambda item: Visitor(server).get(item["thumbnail"]), items))
    assert [answer.status_code for answer in answers] == [200] * 8
    print(peak() - before)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "wedding"), str(tmp_path / "out")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert run.returncode == 0, run.stderr
    assert int(run.stdout.split()[-1]) < 8 * 4000 * 3000 * 3 / 2
