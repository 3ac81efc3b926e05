"""Nothing is lost: a reload, a server that goes and comes back, photos that come by dropping and pasting."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from mlx_moebius.ui import launch
from tests.ui.conftest import watched
from tests.ui.stage import MASK, PHOTO, STRANGER, Stage

DROP = """async ([kind, names, contents]) => {
    const data = new DataTransfer();
    for (const [i, content] of contents.entries()) {
        const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
        data.items.add(new File([bytes], names[i], { type: 'image/png' }));
    }
    const event = kind === 'paste' ? new ClipboardEvent('paste', { clipboardData: data, bubbles: true })
        : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
    document.querySelector('body').dispatchEvent(event);
}"""


@contextmanager
def serving(port: int, folder: Path) -> Iterator[str]:
    """The command, which is ended without warning; the address that it prints."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "mlx_moebius.ui", "--model", "nano", "--no-browser", "--port", str(port)]
    environment = os.environ | {"TMPDIR": str(folder)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    timer = threading.Timer(60, process.kill)
    timer.start()
    url = process.stdout.readline().strip()
    timer.cancel()
    try:
        yield url
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_a_reload_and_a_new_server_bring_back_everything(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    with serving(port, tmp_path / "one") as url:
        pages = watched(browser, url, viewport={"width": 1280, "height": 860})
        page = next(pages)
        stage = Stage(page)
        stage.open(PHOTO)
        stage.stroke(*STRANGER)
        stage.run()
        filled = stage.downloaded("#download", tmp_path / "before").read_bytes()
        page.set_input_files("#mask-file", MASK)
        expect(page.locator("#run")).to_be_enabled()
        stage.stroke((300, 40), (340, 60))
        mask = stage.mask(tmp_path / "mask")
        page.keyboard.press("Control+z")
        page.keyboard.press("+")
        view = stage.view()

        page.reload()
        page.locator("body[data-ready]").wait_for()
        stage.sharp()
        assert stage.versions() == ["Original", "Removal 1"]
        assert stage.strokes() == 1
        page.keyboard.press("Control+Shift+z")
        assert np.array_equal(stage.mask(tmp_path / "reloaded"), mask)
        assert stage.view()["scale"] == view["scale"]
        expect(page.locator("#gone")).to_be_hidden()

    expect(page.locator("#gone")).to_be_visible()  # without pressing anything
    stage.stroke((180, 100), (200, 100))
    page.click("#run")
    expect(page.locator("#error")).to_contain_text("The server does not answer")
    assert stage.strokes() == 3
    with serving(port, tmp_path / "two"):
        expect(page.locator("#gone")).to_be_hidden(timeout=30_000)  # ends by itself
        stage.sharp()
        assert stage.versions() == ["Original", "Removal 1"]
        assert stage.downloaded("#download", tmp_path / "after").read_bytes() == filled
        page.keyboard.press("Control+z")
        assert np.array_equal(stage.mask(tmp_path / "again"), mask)
        stage.run()
        assert len(stage.versions()) == 3
        for _ in range(3):
            page.click("#undo")
        expect(page.locator("[aria-current]")).to_have_text("Removal 1")
        page.click("#undo")
        expect(page.locator("[aria-current]")).to_have_text("Original")
        assert stage.painted().any()
    assert next(pages, None) is None


@pytest.mark.slow
def test_a_page_that_is_left_with_something_unsaved_asks(stage: Stage) -> None:
    page = stage.page
    asked: list[str] = []
    page.on("dialog", lambda dialog: asked.append(dialog.type))
    stage.open(PHOTO)
    page.reload()
    page.locator("body[data-ready]").wait_for()
    assert asked == []
    stage.stroke(*STRANGER)
    page.reload()
    page.locator("body[data-ready]").wait_for()
    assert asked == ["beforeunload"]
    assert stage.painted().any()
    wanted = stage.painted()
    page.click("#close")
    page.locator("#welcome").wait_for()
    expect(page.locator("#notice")).to_contain_text("landscape.png is closed.")
    page.locator("#notice").get_by_role("button", name="Undo").click()
    expect(page.locator("#name")).to_contain_text("landscape.png")
    expect(page.locator("#notice")).to_be_hidden()
    assert np.array_equal(stage.painted(), wanted)
    page.click("#close")  # what is closed does not come back after a reload
    page.locator("#welcome").wait_for()
    page.reload()
    page.locator("body[data-ready]").wait_for()
    expect(page.locator("#welcome")).to_be_visible()


def bring(page: Page, kind: str, *files: tuple[str, bytes]) -> None:
    """Drag, drop or paste files."""
    import base64

    contents = [base64.b64encode(content).decode() for _, content in files]
    page.evaluate(DROP, [kind, [name for name, _ in files], contents])


@pytest.mark.slow
def test_photos_come_by_dropping_and_pasting_and_another_keeps_the_first(stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    small = tmp_path / "small.png"
    Image.open(PHOTO).crop((0, 100, 200, 256)).save(small)
    bring(page, "dragenter", ("landscape.png", PHOTO.read_bytes()))
    expect(page.locator("#drop")).to_be_visible()
    bring(page, "drop", ("landscape.png", PHOTO.read_bytes()))
    expect(page.locator("#drop")).to_be_hidden()
    expect(page.locator("#name")).to_contain_text("landscape.png")
    stage.sharp()
    address = page.url
    stage.stroke(*STRANGER)
    stage.set("steps", "100")
    page.click("#fold")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#status")).to_contain_text(re.compile(r"Step \d+"))
    bring(page, "paste", ("small.png", small.read_bytes()))
    expect(page.locator("#name")).to_contain_text("small.png")
    expect(page.locator("#status")).to_contain_text(re.compile(r"landscape.png: Step \d+"))
    stage.stroke((100, 50), (120, 60))
    page.locator("#photos .photo").first.click()
    expect(page.locator("#name")).to_contain_text("landscape.png")
    expect(page.locator("#status")).to_contain_text(re.compile(r"^Step \d+"))
    page.click("#cancel")
    expect(page.locator("#status")).to_contain_text("Cancelled")
    page.keyboard.press("PageDown")
    expect(page.locator("#name")).to_contain_text("small.png")
    assert stage.painted().any()
    assert page.url == address


@pytest.mark.slow
def test_paint_on_a_folders_photo_outlives_its_tab_while_the_server_is_gone(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "wedding"
    folder.mkdir()
    Image.open(PHOTO).crop((0, 100, 200, 256)).save(folder / "1.png")
    port = free_port()
    context = browser.new_context(viewport={"width": 1000, "height": 700})
    with launch("nano", port=port, folder=folder, output=tmp_path / "out") as server:
        page = context.new_page()
        page.goto(server.url)
        page.locator("body[data-ready]").wait_for()
        Stage(page).sharp()
    expect(page.locator("#gone")).to_be_visible(timeout=30_000)
    Stage(page).stroke((20, 20), (60, 40))
    wanted = Stage(page).painted()
    expect(page.locator("#messages")).to_contain_text("kept")
    page.close()
    with launch("nano", port=port, folder=folder, output=tmp_path / "out") as server:
        page = context.new_page()
        page.goto(server.url)
        page.locator("body[data-ready]").wait_for()
        Stage(page).sharp()
        expect(page.locator("#photos .photo")).to_have_attribute("aria-label", "1.png, painted")
        assert np.array_equal(Stage(page).painted(), wanted)
    context.close()
