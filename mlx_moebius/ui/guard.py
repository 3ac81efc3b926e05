"""Who may ask what: every request passes here before anything is done for it.

A page of somebody else's must get nothing, whatever it makes this computer's browsers send: Host, Origin and
Sec-Fetch-Site are checked, what changes something needs a token that only the page itself has, and no answer allows
other pages to read it. Other people, also other accounts of this computer, need the token of the printed address.
"""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlx_moebius.ui.answers import Json
from mlx_moebius.ui.refusals import Refused

LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::")
OPEN_FROM_ANYWHERE = ("/", "/docs")  # pages that a link may lead to
OWN_SECRETS = ("/static/", "/api/photos", "/api/runs/", "/api/series", "/api/events")
"""Addresses without the door's token: the program's own files, and what asks for a session's token or for the name of
a photo or run. These are secrets too, and only the addresses behind the door tell them. Pictures in a notebook's frame
come without cookies, so they could not bring the door's token.
"""
NOTEBOOKS = "http://localhost:* http://127.0.0.1:* https://localhost:* vscode-webview:"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
)


@dataclass(frozen=True, slots=True)
class Door:
    """What is let in: names that the server is called by, the token, and whether frames may be.

    `alone` says that only this computer can reach the page. `port` makes cookies of several servers on this computer
    differ. `once` holds tokens that are good for one request: the command line of a browser that is opened can be read
    by everybody on this computer.
    """

    names: frozenset[str]
    port: int
    token: str
    frames: bool = False
    everywhere: bool = False
    alone: bool = True
    once: set[str] = field(default_factory=set)

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
            await refusal(error, Request(scope))(scope, receive, guarded)
            return
        await self.app(scope, receive, guarded)

    def check(self, request: Request) -> None:
        """Raise Refused for what is not let in. The page's own token is checked where its session is looked up."""
        host = host_name(request.headers.get("host", ""))
        if host not in self.door.names and not (self.door.everywhere and self._own_address(host, request)):
            raise Refused(421, "this address is not one of the page's own: whoever starts it can add one")
        site = request.headers.get("sec-fetch-site")
        origin = request.headers.get("origin")
        same_origin = origin is None or urlsplit(origin).netloc == request.headers.get("host")
        navigation = request.method in ("GET", "HEAD") and request.url.path in OPEN_FROM_ANYWHERE
        if not navigation and (not same_origin or site not in (None, "none", "same-origin")):
            raise Refused(403, "only the page itself may ask for this, not another one")
        if not request.url.path.startswith(OWN_SECRETS) and not any(map(self._opens, self._tokens(request))):
            raise Refused(401, "open the page by the whole address that was printed when it was started")

    def _opens(self, token: str) -> bool:
        """Whether a token is the door's, or one that is good once."""
        if token in self.door.once:
            self.door.once.discard(token)
            return True
        return secrets.compare_digest(token.encode(), self.door.token.encode())

    def _own_address(self, host: str, request: Request) -> bool:
        """Whether a host is the very address that the connection came in by; names can be made to mean anything."""
        server: Any = request.scope.get("server") or ("", 0)
        try:
            interface = ipaddress.ip_address(server[0])
            # A socket for both versions of IP shows an IPv4 address as ::ffff:192.0.2.2.
            return ipaddress.ip_address(host) in (interface, getattr(interface, "ipv4_mapped", None))
        except ValueError:
            return False

    def _tokens(self, request: Request) -> list[str]:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = [request.query_params.get("token"), request.cookies.get(self.door.token_cookie)]
        return [token for token in (*given, bearer if scheme.lower() == "bearer" else None) if token]

    def _set_headers(self, headers: MutableHeaders, path: str) -> None:
        headers["content-security-policy"] = POLICY.format(ancestors=NOTEBOOKS if self.door.frames else "'none'")
        headers["x-content-type-options"] = "nosniff"
        headers["referrer-policy"] = "same-origin"
        headers["cross-origin-resource-policy"] = "same-origin"
        if not self.door.frames:
            headers["x-frame-options"] = "DENY"
            headers["cross-origin-opener-policy"] = "same-origin"
        headers.setdefault("cache-control", "no-store")


def refusal(error: Refused, request: Request) -> Response:
    """The answer to what is not let in: JSON, or a page where somebody has opened an address in a browser."""
    if request.url.path in OPEN_FROM_ANYWHERE and "text/html" in request.headers.get("accept", ""):
        sentence = escape(str(error))
        return HTMLResponse(
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Moebius</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<link rel="stylesheet" href="/static/docs.css"></head><body><main><h1>Moebius</h1><p>'
            f"{sentence[:1].upper()}{sentence[1:]}.</p></main></body></html>",
            error.status,
        )
    return Json({"error": str(error)}, error.status)


def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets; empty for what is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""
