"""A small server on 127.0.0.1 with the hub's file endpoints, and its storage at another address, as the hub has it."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mlx_moebius.models import REVISIONS

CHECKOUT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 10_000
"""Files from this size on live in the storage, under their SHA-256; smaller ones in Git."""
CHUNK = 64 * 1024


@dataclass
class Fault:
    """What goes wrong with a file: the next `times` requests for its content (or its metadata) are answered badly."""

    kind: str  # break: the connection after `after` bytes; stall: silence there; trickle; status; wrong; short
    times: int = 1
    after: int = 0
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)


class FakeHub:
    """Repositories {name: {path: content}} at one commit, also called "main"; `faults` by path; `log` of requests."""

    def __init__(self, repositories: dict[str, dict[str, bytes]]) -> None:
        self.repositories = repositories
        self.faults: dict[str, Fault] = {}
        self.expired = ""  # a token that is refused
        self.log: list[tuple[str, str, dict[str, str]]] = []
        self.uploads: list[dict[str, Any]] = []
        self.objects: dict[str, bytes] = {}
        self.closing = threading.Event()
        self.servers = [_serve(self, handler) for handler in (_Hub, _Storage)]
        self.url, self.storage = (f"http://127.0.0.1:{server.server_address[1]}" for server in self.servers)

    def close(self) -> None:
        """Stop answering: from now on connections are refused."""
        self.closing.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def requests(self, method: str, part: str) -> list[dict[str, str]]:
        """The headers of each such request whose path holds `part`."""
        return [headers for each, path, headers in self.log if each == method and part in path]

    def fault(self, path: str, *kinds: str) -> Fault | None:
        """The fault that now hits a request for this path."""
        fault = self.faults.get(path)
        if fault is None or fault.kind not in kinds or fault.times < 1:
            return None
        fault.times -= 1
        return fault

    def environment(self, home: Path) -> dict[str, str]:
        """Environment variables of a process that uses this hub and an empty home."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))},
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home / "hf"),
            "MLX_MOEBIUS_HOME": str(home / "models"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "PYTHONPATH": str(CHECKOUT),
        }

    def run(self, home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """`python ARGUMENTS` with the real client, pointed at this hub."""
        return subprocess.run(
            [sys.executable, *arguments],
            env=self.environment(home) | variables,
            cwd=home,
            capture_output=True,
            text=True,
            timeout=120,
        )


def commit_of(repository: str) -> str:
    """The only commit of a repository here: for a released one, that which the project pins."""
    return REVISIONS.get(repository, COMMIT)


def git_blob(content: bytes) -> str:
    """Git's name for a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _serve(hub: FakeHub, handler: type[_Handler]) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), {"hub": hub}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def note(self) -> str:
        path = unquote(self.path.partition("?")[0])
        self.hub.log.append((self.command, path, {name.lower(): value for name, value in self.headers.items()}))
        return path

    def answer(self, status: int, content: bytes = b"", /, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": str(len(content))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def json(self, value: object) -> None:
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

    def refuses(self) -> bool:
        """Whether the request came with the token that has expired; it is answered then."""
        if self.headers.get("Authorization") != f"Bearer {self.hub.expired}":
            return False
        self.answer(401, X_Error_Message="Invalid credentials in Authorization header")
        return True

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def send_content(self, path: str, content: bytes, **headers: str) -> None:
        """A file or the range of it that was asked for, with the fault that is set for it."""
        fault = self.hub.fault(path, "break", "stall", "trickle", "wrong", "short")
        if fault and fault.kind == "wrong":
            content = bytes(len(content))
        if fault and fault.kind == "short":
            content = content[: fault.after]
        start, total = 0, len(content)
        if span := self.headers.get("Range"):
            start = int(span.removeprefix("bytes=").partition("-")[0])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            self.send_response(200)
        for name, value in ({"Content_Length": str(total - start)} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        for at in range(start, total, CHUNK):
            if fault and at >= fault.after:
                if fault.kind == "stall":
                    self.hub.closing.wait(60)
                if fault.kind in ("stall", "break"):
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if fault.kind == "trickle":
                    time.sleep(0.05)
            self.wfile.write(content[at : at + CHUNK])


class _Hub(_Handler):
    """The hub's own address."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.note()
        if self.refuses():
            return
        if path.startswith("/api/models/"):
            repository, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            self.repository(repository, revision or "main")
            return
        repository, _, rest = path.removeprefix("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        content = self.hub.repositories.get(repository, {}).get(name)
        if fault := self.hub.fault(name, "status"):
            self.answer(fault.status, **fault.headers)
        elif self.hub.fault(name, "silent"):
            self.hub.closing.wait(60)
        elif content is None or revision not in ("main", commit_of(repository)):
            self.answer(404, X_Error_Code="EntryNotFound")
        elif len(content) < LARGE:
            headers = {"ETag": f'"{git_blob(content)}"', "X_Repo_Commit": commit_of(repository)}
            if self.command == "HEAD":
                self.answer(200, **headers, Content_Length=str(len(content)))
            else:
                self.send_content(name, content, **headers)
        else:
            self.answer(
                302,
                Location=f"{self.hub.storage}/{repository}/{name}",
                X_Repo_Commit=commit_of(repository),
                X_Linked_Etag=f'"{hashlib.sha256(content).hexdigest()}"',
                X_Linked_Size=str(len(content)),
            )

    def repository(self, name: str, revision: str) -> None:
        """`/api/models/NAME/revision/REVISION`."""
        files = self.hub.repositories.get(name)
        if fault := self.hub.fault(name, "status"):
            self.answer(fault.status, **fault.headers)
        elif files is None:
            self.answer(401, X_Error_Code="RepoNotFound")
        elif revision not in ("main", commit_of(name)):
            self.answer(404, X_Error_Code="RevisionNotFound")
        else:
            siblings = [{"rfilename": file} for file in files]
            card = {"license": "apache-2.0"}
            self.json({"id": name, "sha": commit_of(name), "siblings": siblings, "cardData": card})

    def do_POST(self) -> None:
        path, body = self.note(), self.body()
        if self.refuses():
            return
        if fault := self.hub.fault(path, "status"):
            self.answer(fault.status, **fault.headers)
        elif path == "/api/repos/create":
            name = json.loads(body)
            full = "/".join(filter(None, (name.get("organization"), name["name"])))
            self.hub.repositories[full] = {}
            self.json({"url": f"{self.hub.url}/{full}", "id": full})
        elif path == "/api/validate-yaml":
            self.json({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = [(file["path"], "lfs" if file["size"] >= LARGE else "regular") for file in files]
            self.json({"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes]})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**each, "actions": {"upload": {"href": f"{self.hub.storage}/upload/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            self.json({"objects": objects, "transfer": "basic"})
        elif "/commit/" in path:
            self.hub.uploads = [json.loads(line) for line in body.splitlines()]
            name = path.removeprefix("/api/models/").partition("/commit/")[0]
            self.json({"commitUrl": f"{self.hub.url}/{name}/commit/{COMMIT}", "commitOid": COMMIT, "success": True})
        else:
            self.answer(404)


class _Storage(_Handler):
    """Where the hub redirects to for the content of large files."""

    def do_GET(self) -> None:
        organisation, name, path = self.note().removeprefix("/").split("/", 2)
        self.send_content(path, self.hub.repositories[f"{organisation}/{name}"][path])

    def do_PUT(self) -> None:
        oid = self.note().rpartition("/")[2]
        self.hub.objects[oid] = self.body()
        self.answer(200)
