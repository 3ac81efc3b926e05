"""Closed to others: foreign names and pages, what is too large or broken, other models; nothing stays behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.ui import launch
from mlx_moebius.ui.secret import kept_token
from mlx_moebius.ui.server import Server, reached_as
from mlx_moebius.ui.sessions import GONE
from tests.support.visitor import Held, Visitor, brush
from tests.ui.stage import PHOTO


@pytest.fixture
def visitor(server: Server) -> Visitor:
    return Visitor(server)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "10.0.0.1", ""])
def test_only_its_own_names_are_served(visitor: Visitor, host: str) -> None:
    port = visitor.base_url.port
    for path in ("/", "/api/state", "/openapi.json"):
        assert visitor.get(path, headers={"host": host.format(port=port)}).status_code in (400, 421)
    assert visitor.get("/", headers={"host": f"localhost:{port}"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_pages_can_ask_for_nothing(visitor: Visitor, headers: dict[str, str]) -> None:
    photo = PHOTO.read_bytes()
    for method, path in (("POST", "/api/photos?name=a.png"), ("POST", "/fill"), ("GET", "/api/state")):
        answer = visitor.request(method, path, headers=headers, content=photo if method == "POST" else None)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


def test_what_changes_something_needs_the_pages_token(visitor: Visitor) -> None:
    photo = visitor.open(PHOTO)
    path = f"/api/photos/{photo['id']}/strokes"
    for token in ("", "guess"):
        headers = {"x-moebius-token": token, "authorization": f"Bearer {visitor.server.token}"}
        with httpx.Client(base_url=visitor.base_url, trust_env=False, headers=headers) as other:
            assert other.put(path, json={"done": [], "undone": []}).status_code in (401, 404)
            assert other.post("/api/photos?name=a.png", content=PHOTO.read_bytes()).status_code == 401
    stranger = Visitor(visitor.server)
    assert stranger.put(path, json={"done": [], "undone": []}).status_code == 404


def test_browsers_are_told_to_be_strict(visitor: Visitor) -> None:
    page = visitor.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in page.text
    assert " style=" not in page.text
    assert "onclick" not in page.text


def test_uploads_that_break_off_or_are_no_pictures_leave_nothing(visitor: Visitor, tmp_path: Path) -> None:
    folder = visitor.server.sessions.session(visitor.state["token"])
    assert folder is not None
    assert visitor.post("/api/photos?name=a.png", content=b"no picture").status_code == 400
    empty = visitor.post("/api/photos?name=a.png", content=b"")
    assert (empty.status_code, empty.json()["error"]) == (400, "a.png: the file is empty")
    cut = tmp_path / "cut.png"
    cut.write_bytes(PHOTO.read_bytes()[:20_000])
    assert visitor.post("/api/photos?name=cut.png", content=cut.read_bytes()).status_code == 400
    huge = {
        "content-length": str(10**12),
        "x-moebius-token": visitor.state["token"],
        "host": visitor.base_url.netloc.decode(),
    }
    with socket.create_connection(("127.0.0.1", visitor.base_url.port or 0), timeout=30) as raw:
        head = "".join(f"{name}: {value}\r\n" for name, value in huge.items())
        raw.sendall(f"POST /api/photos?name=a.png HTTP/1.1\r\n{head}\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 413")
    assert list(folder.folder.iterdir()) == []


@pytest.mark.slow
def test_a_bomb_is_refused_before_it_is_decoded(visitor: Visitor, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    Image.new("1", (30_000, 30_000)).save(bomb)
    answer = visitor.post("/api/photos?name=bomb.png", content=bomb.read_bytes())
    assert answer.status_code in (400, 413)
    assert len(answer.json()["error"]) < 200


@pytest.mark.slow
def test_runs_are_bounded_and_cancelled_at_once(visitor: Visitor) -> None:
    photo = visitor.open(PHOTO)
    visitor.paint(photo, brush((100, 100), (140, 120)))
    address = f"/api/photos/{photo['id']}/runs"
    for wrong in ({"steps": 10_000}, {"count": 99}, {"model": "../x"}, {"seed": -1}, {"strokes": "all"}):
        assert visitor.post(address, json=wrong).status_code == 400
    with Held(visitor.server):
        runs = [visitor.start(photo) for _ in range(24)]
        assert visitor.post(address, json={}).status_code == 429
        assert [run["before"] for run in runs[:3]] == [0, 1, 2]
        for run in runs[1:]:
            assert visitor.delete(f"/api/runs/{run['id']}").json()["state"] == "cancelled"
        again = visitor.start(photo)
        assert again["before"] == 1
    assert visitor.ended(again)["state"] == "done"
    assert len(visitor.photo(photo)["versions"]) == 3  # no half picture of those that were cancelled
    changed = (visitor.pixels(photo, visitor.photo(photo)["current"]) != np.asarray(Image.open(PHOTO))).any(-1)
    assert changed.any()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_others_need_the_printed_address(host: str, tmp_path: Path) -> None:
    """Other accounts of this computer, and other computers."""
    (tmp_path / "private").mkdir()
    Image.open(PHOTO).save(tmp_path / "private" / "secret.png")
    with (
        launch("nano", host=host, folder=tmp_path / "private") as server,
        httpx.Client(base_url=server.address, trust_env=False) as client,
    ):
        for path in ("/", "/?token=guess", "/api/state", "/api/series", "/api/events", "/openapi.json", "/v1/models"):
            assert client.get(path).status_code == 401, path
        for path in ("/fill", "/v1/images/edits", "/api/photos?name=a.png"):
            assert client.post(path, content=b"x").status_code == 401, path
        refusal = client.get("/", headers={"accept": "text/html"})
        assert refusal.status_code == 401
        assert "<p>Open the page by the whole address" in refusal.text
        assert client.get("/openapi.json", headers={"authorization": f"Bearer {server.token}"}).status_code == 200
        assert client.get(f"/?token={server.token}", headers={"host": "evil.example"}).status_code == 421
        assert client.get(server.url).status_code == 200
        assert client.get("/api/state").status_code == 200  # by the cookie


def test_an_opened_address_is_good_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line of a browser can be read by every account."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    with launch("nano", browser=True) as server:
        [address] = opened
        assert server.token not in address
        with httpx.Client(trust_env=False) as owner, httpx.Client(trust_env=False) as other:
            assert owner.get(address).status_code == 200
            assert owner.get(address).status_code == 200  # by the cookie
            assert other.get(address).status_code == 401


def test_the_token_is_kept_where_only_its_owner_can_read_it(tmp_path: Path) -> None:
    token = kept_token(tmp_path)
    file = tmp_path / "page-token"
    assert file.stat().st_mode & 0o777 == 0o600
    assert kept_token(tmp_path) == token
    file.chmod(0o644)  # somebody may have read it
    assert kept_token(tmp_path) != token
    token = file.read_text()
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text(token)
    assert kept_token(tmp_path) != token
    assert [path.name for path in tmp_path.glob(".*")] == []
    file.unlink()
    tmp_path.joinpath("page-token").mkdir()  # nothing can be kept
    assert kept_token(tmp_path)


def test_everywhere_is_by_every_address_and_the_printed_one_is_others_too() -> None:
    for host, targets in (("0.0.0.0", ["127.0.0.1"]), ("::", ["127.0.0.1", "[::1]"])):
        try:
            server = launch("nano", host=host)
        except MoebiusError:
            assert host == "::"  # a machine without IPv6
            continue
        with server:
            port = httpx.URL(server.url).port
            outside = httpx.URL(server.url).host
            assert outside == reached_as(socket.AF_INET6 if ":" in host else socket.AF_INET)
            assert httpx.get(server.url, trust_env=False).status_code == 200
            for target in targets:
                assert httpx.get(f"http://{target}:{port}/?token={server.token}", trust_env=False).status_code == 200


def test_hosts_that_are_not_there_and_ports_that_are_taken() -> None:
    page = [sys.executable, "-m", "mlx_moebius.ui", "--model", "nano", "--no-browser"]
    run = subprocess.run([*page, "--host", "no-such-host.invalid"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert "there is no host no-such-host.invalid" in run.stderr.splitlines()[-1]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(MoebiusError, match="is taken"):
            launch("nano", port=taken.getsockname()[1])


def test_the_other_loopback() -> None:
    try:
        with socket.socket(socket.AF_INET6) as there:
            there.bind(("::1", 0))
    except OSError:  # a machine without IPv6
        with pytest.raises(MoebiusError, match="::1"):
            launch("nano", host="::1")
        return
    with launch("nano", host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert httpx.get(server.url, trust_env=False).status_code == 200


def test_sessions_that_nobody_listens_to_are_forgotten_with_their_photos() -> None:
    with launch("nano") as server:
        gone, heard = Visitor(server), Visitor(server)
        photos = [gone.open(PHOTO), heard.open(PHOTO)]
        folder = server.sessions.session(gone.state["token"])
        assert folder is not None
        with heard.listening():
            server.sessions.clock = lambda: time.monotonic() + GONE + 1
            server.sessions.sweep()
            assert [gone.get(f"/api/photos/{photo['id']}").status_code for photo in photos] == [404, 200]
        assert not folder.folder.exists()


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mlx_moebius.ui", "--model", "nano", "--no-browser", "--port", "0"]
    environment = os.environ | {"TMPDIR": str(folder)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    timer = threading.Timer(60, process.kill)
    timer.start()
    assert process.stdout
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    timer.cancel()
    return process


@pytest.mark.slow
def test_its_folder_goes_with_it_however_it_ends(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process = start(tmp_path)
        assert len(list(tmp_path.glob("moebius-*"))) == 1
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert not list(tmp_path.glob("moebius-*"))
    killed = start(tmp_path)
    killed.kill()
    killed.communicate()
    assert len(list(tmp_path.glob("moebius-*"))) == 1
    process = start(tmp_path)
    assert len(list(tmp_path.glob("moebius-*"))) == 1  # its own: what was left is gone
    process.terminate()
    process.communicate(timeout=60)
    assert not list(tmp_path.glob("moebius-*"))
