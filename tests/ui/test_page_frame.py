"""The page in a frame of another site's page, as a notebook shows it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from mlx_moebius.errors import MoebiusError
from mlx_moebius.ui import launch
from mlx_moebius.ui.server import Server
from tests.ui.conftest import watched
from tests.ui.stage import PHOTO, Stage


@pytest.fixture
def notebook() -> Iterator[ThreadingHTTPServer]:
    """A site that shows whatever page is asked for after `/?`, in a frame."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            url = self.path.partition("?")[2]
            self.wfile.write(f'<iframe src="{url}" width="1100" height="750"></iframe>'.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield site
        site.shutdown()


@pytest.mark.slow
def test_a_notebooks_frame_works_although_it_has_no_cookies(browser: Browser, notebook: ThreadingHTTPServer) -> None:
    with launch("nano", inline=True) as server:
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.goto(f"http://localhost:{notebook.server_port}/?{server.url}")  # another site than 127.0.0.1
        frame = page.frame_locator("iframe")
        frame.locator("body[data-ready]").wait_for()
        frame.locator("#files").set_input_files(PHOTO)
        stage = frame.locator("#stage")
        expect(stage).to_have_attribute("data-complete", "true")
        box = stage.bounding_box()
        assert box
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 40, y + 20, steps=4)
        page.mouse.up()
        frame.locator("#run").click()
        expect(frame.locator("#status")).to_contain_text("Done in", timeout=60_000)
        expect(frame.locator("#versions button")).to_have_text(["Original", "Removal 1"])
        page.close()


def test_other_pages_show_nothing_in_a_frame(server: Server, browser: Browser, notebook: ThreadingHTTPServer) -> None:
    page = browser.new_page()
    page.goto(f"http://localhost:{notebook.server_port}/?{server.url}")
    page.wait_for_function("() => document.querySelector('iframe').contentDocument === null")  # it has been refused
    expect(page.frame_locator("iframe").locator("#stage")).to_have_count(0)
    page.close()


@pytest.mark.slow
def test_a_program_shows_a_picture_and_gets_fill_and_mask(browser: Browser) -> None:
    pixels = np.asarray(Image.open(PHOTO).convert("RGB").crop((100, 100, 196, 196)))
    with launch(pixels) as server:
        assert np.array_equal(np.asarray(server.fill), pixels)
        assert not server.mask.any()
        for page in watched(browser, server.url, viewport={"width": 1000, "height": 700}):
            stage = Stage(page)
            stage.sharp()
            stage.without_detail()
            stage.stroke((30, 30), (50, 40))
            wanted = stage.painted()
            stage.run()
            assert np.array_equal(server.mask, wanted)
            changed = (np.asarray(server.fill) != pixels).any(-1)
            assert changed[wanted].mean() > 0.9
    with launch("nano") as server, pytest.raises(MoebiusError, match="no picture was handed over"):
        _ = server.fill
