"""The page in a browser, with the network watched on both sides."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from mlx_moebius.ui import launch
from mlx_moebius.ui.server import Server
from tests.support.browser import chromium
from tests.ui.stage import Stage

LOCAL = ("127.0.0.1", "127.0.0.2", "::1", "localhost", "0.0.0.0")
FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--disable-gpu",
]

connections: list[str] = []  # that this process, which is the server, tries to make to other machines


def watch_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and arguments[0].type == socket.SOCK_DGRAM:
        return  # nothing is sent: it asks which of this computer's addresses would be used
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in LOCAL:
        connections.append(str(arguments[1]))
    if event == "socket.getaddrinfo" and arguments[0] not in (*LOCAL, None):
        connections.append(str(arguments[0]))


sys.addaudithook(watch_network)


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLX_MOEBIUS_HOME", str(tmp_path_factory.mktemp("no_models")))
        with launch("nano") as server:
            yield server


@pytest.fixture(scope="package")
def player() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def browser(player: Playwright) -> Iterator[Browser]:
    browser = player.chromium.launch(executable_path=chromium(), args=FLAGS)
    yield browser
    browser.close()


def watched(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A fresh tab; it fails when the page asks another machine for anything, or has an error that nobody expects."""
    context = browser.new_context(**options)
    context.set_default_timeout(30_000)
    connections.clear()  # other tests of this process have others to speak to
    outside: list[str] = []
    errors: list[str] = []

    own = (url.partition("/?")[0], "data:", "blob:")
    # Noted, not held up: a route would take every file of the page through this process.
    context.on("request", lambda asked: None if asked.url.startswith(own) else outside.append(asked.url))
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "went wrong" in message.text else None)
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(url)
    page.locator("body[data-ready]").wait_for()
    yield page
    context.close()
    assert outside == []
    assert errors == []
    assert connections == []


@pytest.fixture
def page(server: Server, browser: Browser) -> Iterator[Page]:
    yield from watched(browser, server.url, viewport={"width": 1280, "height": 860})


@pytest.fixture
def telephone(server: Server, browser: Browser) -> Iterator[Page]:
    options = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    yield from watched(browser, server.url, device_scale_factor=2, **options)


@pytest.fixture
def stage(page: Page) -> Stage:
    return Stage(page)
