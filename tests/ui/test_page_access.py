"""The page for everybody: axe-core finds nothing, in both colours and sizes; by keys alone; in other browsers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright, expect

from mlx_moebius.ui.server import Server
from tests.ui.conftest import watched
from tests.ui.stage import PHOTO, STRANGER, Stage

COLOURS: tuple[Any, ...] = ("light", "dark")
AXE = Axe().axe_script  # axe-core itself, a script


def blameless(page: Page) -> None:
    """Nothing moves, then axe-core looks. It is put in as an extension would: the page allows no foreign scripts."""
    page.evaluate(AXE)
    found = page.evaluate("async () => (await axe.run()).violations.map((each) => [each.id, each.nodes[0].html])")
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1280, 860), (390, 844)])
def test_axe_finds_nothing(server: Server, browser: Browser, width: int, height: int) -> None:
    for page in watched(browser, server.url, viewport={"width": width, "height": height}, reduced_motion="reduce"):
        stage = Stage(page)
        blameless(page)
        stage.open(PHOTO)
        stage.stroke(*STRANGER)
        page.keyboard.press("f")
        expect(page.locator("#crops button")).to_have_count(4, timeout=60_000)
        for scheme in COLOURS:
            page.emulate_media(color_scheme=scheme)
            blameless(page)
        page.keyboard.press("1")
        expect(page.locator("#download")).to_be_enabled()
        page.keyboard.press("Escape")
        page.keyboard.press("c")
        stage.set("extend", "nonsense")
        page.click("#run")
        expect(page.locator("#error")).to_be_visible()
        for scheme in COLOURS:
            page.emulate_media(color_scheme=scheme)
            blameless(page)
        page.click("#fold")
        page.click("#help")
        blameless(page)


def test_by_keys_alone(stage: Stage) -> None:
    page = stage.page
    stage.open(PHOTO)
    page.keyboard.press("Shift+Tab")  # away from the stage and back, by keys: its frame shows
    page.keyboard.press("Tab")
    expect(page.locator("#stage")).to_be_focused()
    expect(page.locator("#stage")).to_have_class("by-keyboard")
    for key in ("ArrowDown", "ArrowDown", "Shift+ArrowDown", "Shift+ArrowLeft", "Enter"):
        page.keyboard.press(key)
    page.keyboard.press("Control+Enter")
    stage.finish()
    expect(page.locator("#live")).to_contain_text("Done")
    with page.expect_download() as download:
        page.keyboard.press("Control+s")
    assert download.value.suggested_filename == "landscape_filled.png"
    page.keyboard.press("s")
    expect(page.locator("#settings input:enabled").first).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.locator("#setting-extend").focus()
    page.keyboard.type("be 1")  # letters in a text field are letters
    expect(page.locator("#setting-extend")).to_have_value("be 1")
    expect(page.locator("[data-tool=brush]")).to_have_attribute("aria-pressed", "true")


def firefoxes() -> list[str]:
    """Firefox, where it is installed for these tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        return ["firefox"] if Path(player.firefox.executable_path).exists() else []


@pytest.fixture(params=["chromium", *firefoxes()])
def any_page(request: pytest.FixtureRequest, server: Server, player: Playwright, browser: Browser) -> Iterator[Page]:
    other = browser if request.param == "chromium" else player.firefox.launch()
    yield from watched(other, server.url, viewport={"width": 1000, "height": 700})
    if other is not browser:
        other.close()


def test_opening_painting_and_running_in_every_browser(any_page: Page) -> None:
    stage = Stage(any_page)
    stage.open(PHOTO)
    stage.stroke(*STRANGER)
    assert stage.painted().any()
    stage.run()
    assert stage.versions() == ["Original", "Removal 1"]
