"""Serves the page, by default to this computer only. Temporary files lie in a folder that is removed at the end."""

from __future__ import annotations

import errno
import logging
import secrets
import socket
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
import uvicorn
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.pictures import Picture as AnyPicture
from mlx_moebius.ui.app import build
from mlx_moebius.ui.connections import Connection, most_connections
from mlx_moebius.ui.editing import Editing
from mlx_moebius.ui.folder import TemporaryFolder
from mlx_moebius.ui.guard import EVERYWHERE, LOOPBACK, Door
from mlx_moebius.ui.handed import Handed
from mlx_moebius.ui.secret import kept_token
from mlx_moebius.ui.sessions import Sessions

SPARE = 16  # connections that are being closed for others
STOPPING = 20.0  # seconds that a step under way may take to end
SWEEP = 30.0  # seconds between looking for sessions that are gone


class Server:
    """A page that is being served, until `close`.

    `url` is `address` with the token: what to open in a browser. Programs send `token` as "Authorization: Bearer".
    """

    def __init__(
        self,
        model: str,
        host: str = "127.0.0.1",
        port: int = 0,
        allowed: Sequence[str] = (),
        frames: bool = False,
        folders: tuple[Path, Path] | None = None,
        edited: Sequence[Path] = (),
    ) -> None:
        self._handed: Handed | None = None
        self._socket = listen(host, port)
        port = self._socket.getsockname()[1]
        names = {*LOOPBACK, *(name.lower() for name in allowed)} | ({host.lower()} - {*EVERYWHERE})
        alone = host in LOOPBACK and not allowed and not frames  # a notebook keeps the address of its frame
        self.token = kept_token() if alone else secrets.token_urlsafe(16)
        self._door = Door(frozenset(names), port, self.token, frames, host in EVERYWHERE, host in LOOPBACK)
        self._folder = TemporaryFolder()
        try:
            self.sessions = Sessions(self._folder.path, model)
            answering = threading.Event()
            self.editing = Editing(self.sessions, edited) if edited else None
            application = build(self.sessions, self._door, answering.set, folders, self.editing)
        except BaseException:
            self._socket.close()
            self._folder.close()
            raise
        config = uvicorn.Config(
            application,
            http=Connection,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=most_connections() + SPARE,
            timeout_graceful_shutdown=2,
        )
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True, name="page")
        self._thread.start()
        answering.wait()
        self._ended = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, daemon=True, name="sweep")
        self._sweeper.start()
        self.address = address(reached_as(self._socket.family) if host in EVERYWHERE else host, port)
        self.url = f"{self.address}/?token={self.token}"
        self._local = address("127.0.0.1" if host == "0.0.0.0" else "::1" if host == "::" else host, port)

    def _sweep(self) -> None:
        while not self._ended.wait(SWEEP):
            self.sessions.sweep()

    def hand(self, picture: AnyPicture) -> None:
        """Open a picture on the page. Raises MoebiusError for what is none."""
        self._handed = Handed(self.sessions, picture)
        self.sessions.handed = self._handed.id

    @property
    def fill(self) -> Image.Image:
        """The picture that was handed over, as it is now. Raises MoebiusError when none was."""
        return self._of_picture().fill

    @property
    def mask(self) -> NDArray[np.bool_]:
        """What was filled in it, bool [H, W]; before the first fill, what is painted. Raises MoebiusError."""
        return self._of_picture().mask

    def _of_picture(self) -> Handed:
        if self._handed is None:
            raise MoebiusError("no picture was handed over: launch(picture)")
        return self._handed

    def show(self) -> None:
        """Open the page in the browser of this computer."""
        token = secrets.token_urlsafe(16)
        self._door.once.add(token)
        webbrowser.open(f"{self._local}/?token={token}")

    def close(self) -> bool:
        """Stop serving, and remove every file. False when a step of a fill still goes on, which cannot be stopped."""
        self._ended.set()
        self._sweeper.join()
        self.sessions.close()
        self._server.should_exit = True
        self._thread.join()
        at_rest = self.sessions.worker.rest(STOPPING)  # a process that ends while MLX computes is aborted
        self._socket.close()
        self._folder.close()
        return at_rest

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def address(host: str, port: int) -> str:
    """The URL of a page."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def reached_as(family: socket.AddressFamily) -> str:
    """The address at which others reach a page that listens everywhere; without a network, the loopback address."""
    targets = [(socket.AF_INET, "192.0.2.1", "127.0.0.1")]  # any address outside: nothing is sent there
    if family == socket.AF_INET6:
        targets.append((socket.AF_INET6, "2001:db8::1", "::1"))
    for kind, outside, _ in targets:
        with suppress(OSError), socket.socket(kind, socket.SOCK_DGRAM) as probe:
            probe.connect((outside, 9))
            return str(probe.getsockname()[0])
    return targets[-1][2]


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes any free port. Raises MoebiusError, with what to do, if it cannot listen."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise MoebiusError(f"there is no host {host}: give one of this computer's names or addresses") from None
    except OverflowError:
        raise MoebiusError(f"port {port} is not from 0 to 65535") from None
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and host == "::":  # everywhere: by IPv4 as well
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        reasons = {
            errno.EADDRINUSE: f"port {port} is taken: choose another port, or 0 for any that is free",
            errno.EADDRNOTAVAIL: f"{host} is not an address of this computer: give one that is",
            errno.EACCES: f"port {port} needs more rights: choose one above 1023",
        }
        number = getattr(error, "errno", None)
        raise MoebiusError(reasons.get(number or 0, f"{host}:{port} cannot be served: {error}")) from None
    return listener
