"""Opening: what is dropped is understood (a folder, a mask), and what takes time says so at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from mlx_moebius.ui import launch
from mlx_moebius.ui.pictures import on_reader
from tests.ui.conftest import watched
from tests.ui.stage import Stage
from tests.ui.test_page_series import crops


def drop(page: Page, *paths: Path) -> None:
    """Drop files or folders on the page, as a file manager does."""
    speaker = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        speaker.send("Input.dispatchDragEvent", {"type": kind, "x": 400, "y": 300, "data": data})


@contextmanager
def nothing_read() -> Iterator[None]:
    """Within this block no photo can be decoded: the thread that does so is busy."""
    over = threading.Event()
    with ThreadPoolExecutor() as threads:
        threads.submit(on_reader, over.wait)
        try:
            yield
        finally:
            over.set()


def mask_of(photo: Path) -> Path:
    size = Image.open(photo).size
    mask = np.zeros(size[::-1], np.uint8)
    mask[20:40, 30:60] = 255
    path = photo.with_name(f"{photo.stem}_Mask.png")
    Image.fromarray(mask).save(path)
    return path


def test_a_dropped_folder_is_a_series_and_its_masks_are_offered(stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    folder = tmp_path / "wedding"
    (folder / "more").mkdir(parents=True)
    photos = crops(folder, 3)
    mask_of(photos[1])
    crops(folder / "more", 1)
    (folder / "notes.txt").write_text("not a photo")
    drop(page, folder)
    items = page.locator("#photos .photo")
    expect(items).to_have_count(3)
    notice = page.locator("#notice")
    expect(notice).to_contain_text("2_Mask.png is a mask of 2.png")
    expect(page.locator("#run")).to_have_text("Queue and next")
    notice.get_by_role("button", name="Use it").click()
    expect(items.nth(1)).to_have_attribute("aria-label", "2.png, painted")
    expect(items.nth(0)).to_have_attribute("aria-label", "1.png, to do")
    expect(page.locator("#error")).to_be_hidden()

    drop(page, mask_of(photos[0]))  # after its photo
    notice.get_by_role("button", name="Use it").click()
    expect(items.nth(0)).to_have_attribute("aria-label", "1.png, painted")
    expect(items).to_have_count(3)
    items.nth(0).click()
    assert stage.mask(tmp_path / "saved").sum() == 20 * 30


def test_opening_says_what_it_does_and_counts(stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    held: list[Route] = []
    page.route("**/api/pairs", lambda route: held.append(route))  # the server is slow from its first answer on
    page.set_input_files("#files", crops(tmp_path, 3))
    expect(page.locator("#opening")).to_contain_text("Opening 1 of 3: 1.png")
    with nothing_read():
        held[0].continue_()
        page.unroute("**/api/pairs")
        expect(page.locator("#opening")).to_contain_text("Opening 1 of 3: 1.png")
    expect(page.locator("#photos .photo")).to_have_count(3)
    expect(page.locator("#opening")).to_be_hidden()
    with nothing_read():
        page.set_input_files("#files", crops(tmp_path, 1))
        expect(page.locator("#opening")).to_contain_text("Opening 1.png, 1 s")
    expect(page.locator("#opening")).to_be_hidden()
    expect(page.locator("#name")).to_contain_text("1.png")


@pytest.mark.slow
def test_masks_beside_the_photos_of_a_folder_are_offered(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "wedding"
    folder.mkdir()
    photos = crops(folder, 3)
    mask_of(photos[0])
    mask_of(photos[2])
    with launch("nano", folder=folder, output=tmp_path / "out") as server:
        page = browser.new_page()
        with nothing_read():
            page.goto(server.url)
            expect(page.locator("#opening")).to_contain_text("Opening wedding")
        expect(page.locator("#opening")).to_be_hidden()
        page.close()
        for page in watched(browser, server.url, viewport={"width": 1280, "height": 860}):
            items = page.locator("#photos .photo")
            expect(items).to_have_count(3)
            expect(page.locator("#notice")).to_contain_text("2 photos have masks beside them")
            page.locator("#notice").get_by_role("button", name="Use them").click()
            for item, name in zip(items.all(), ["1.png, painted", "2.png, to do", "3.png, painted"], strict=True):
                expect(item).to_have_attribute("aria-label", name)
            expect(page.locator("#run")).to_be_enabled()
