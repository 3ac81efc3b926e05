"""Who may ask what: every request passes here before anything is done for it.

A page of somebody else's must get nothing, whatever it makes this computer's browsers send: Host, Origin and
Sec-Fetch-Site are checked, what changes something needs a token that only the page itself has, and no answer allows
other pages to read it. With an address that others reach, a token from the printed address is needed as well.
"""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlx_moebius.ui.refusals import Refused

LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::")
OPEN_FROM_ANYWHERE = ("/", "/docs")  # pages that a link may lead to
NOTEBOOKS = "http://localhost:* http://127.0.0.1:* https://localhost:* vscode-webview:"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
)


@dataclass(frozen=True, slots=True)
class Door:
    """What is let in: names that the server is called by, the token where one is needed, and whether frames may be.

    `port` makes cookies of several servers on this computer differ.
    """

    names: frozenset[str]
    port: int
    token: str | None = None
    frames: bool = False
    everywhere: bool = False

    @property
    def cookie(self) -> str:
        """The name of the cookie that holds a browser's session."""
        return f"moebius-{self.port}"

    @property
    def token_cookie(self) -> str:
        """The name of the cookie that holds the token."""
        return f"moebius-door-{self.port}"


class Guard:
    """Middleware: refuses what the door does not let in, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app = app
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, and send its answer with the headers that browsers heed."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._set_headers(MutableHeaders(scope=message), scope["path"])
            await send(message)

        try:
            self.check(Request(scope))
        except Refused as error:
            await JSONResponse({"error": str(error)}, error.status)(scope, receive, guarded)
            return
        await self.app(scope, receive, guarded)

    def check(self, request: Request) -> None:
        """Raise Refused for what is not let in. The page's own token is checked where its session is looked up."""
        host = host_name(request.headers.get("host", ""))
        if host not in self.door.names and not (self.door.everywhere and self._own_address(host, request)):
            raise Refused(421, "this address is not one of the page's own: start it with --allow-host to add one")
        site = request.headers.get("sec-fetch-site")
        origin = request.headers.get("origin")
        own = origin is None or urlsplit(origin).netloc == request.headers.get("host")
        navigation = request.method in ("GET", "HEAD") and request.url.path in OPEN_FROM_ANYWHERE
        if not navigation and (not own or site not in (None, "none", "same-origin")):
            raise Refused(403, "only the page itself may ask for this, not another one")
        if self.door.token is not None and not any(
            secrets.compare_digest(given.encode(), self.door.token.encode()) for given in self._tokens(request)
        ):
            raise Refused(401, "open the page by the whole address that was printed when it was started")

    def _own_address(self, host: str, request: Request) -> bool:
        """Whether a host is the very address that the connection came in by; names can be made to mean anything."""
        server: Any = request.scope.get("server") or ("", 0)
        try:
            return ipaddress.ip_address(host) == ipaddress.ip_address(server[0])
        except ValueError:
            return False

    def _tokens(self, request: Request) -> list[str]:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = [request.query_params.get("token"), request.cookies.get(self.door.token_cookie)]
        return [each for each in (*given, bearer if scheme.lower() == "bearer" else None) if each]

    def _set_headers(self, headers: MutableHeaders, path: str) -> None:
        headers["content-security-policy"] = POLICY.format(ancestors=NOTEBOOKS if self.door.frames else "'none'")
        headers["x-content-type-options"] = "nosniff"
        headers["referrer-policy"] = "same-origin"
        headers["cross-origin-resource-policy"] = "same-origin"
        if not self.door.frames:
            headers["x-frame-options"] = "DENY"
            headers["cross-origin-opener-policy"] = "same-origin"
        headers.setdefault("cache-control", "no-store")


def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets; empty for what is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""
