"""Small windows, fingers and keys: nothing is out of reach; and hovering draws nothing but the ring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from mlx_moebius.ui.server import Server
from tests.ui.conftest import watched
from tests.ui.stage import PHOTO, Stage
from tests.ui.test_page_series import crops

TOUCHED = """element => {
    const { left, right, top, bottom } = element.getBoundingClientRect();
    const at = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return element.contains(at) && left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
}"""
COUNT = """() => {
    window.drawn = 0;
    const draw = CanvasRenderingContext2D.prototype.drawImage;
    CanvasRenderingContext2D.prototype.drawImage = function (...values) {
        window.drawn += 1;
        return draw.apply(this, values);
    };
}"""


SIZES = [(844, 390), *(pytest.param(*size, marks=pytest.mark.slow) for size in ((720, 450), (390, 844)))]


def in_reach(part: Locator) -> bool:
    """Whether a click in its middle meets it, and all of it is in the window."""
    return bool(part.evaluate(TOUCHED))


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_everything_is_in_reach(server: Server, browser: Browser, tmp_path: Path, width: int, height: int) -> None:
    for page in watched(browser, server.url, viewport={"width": width, "height": height}, has_touch=True):
        stage = Stage(page)
        page.set_input_files("#files", crops(tmp_path, 3))
        expect(page.locator("#photos .photo")).to_have_count(3)
        stage.sharp()
        parts = ["#open", "#close", "#fold", "#filter", "#same-mask", "#skip", "#run", "#size", "#undo", "#clear"]
        parts += ["#extras-open"]
        parts += [f"[data-tool={name}]" for name in ("brush", "eraser", "line", "rect")]
        assert [part for part in parts if not in_reach(page.locator(part))] == []
        page.click("#fold")
        middle = stage.on_screen((90, 90))[0]
        assert page.evaluate("([x, y]) => document.elementFromPoint(x, y).closest('#stage') !== null", list(middle))


@pytest.mark.slow
def test_the_bar_of_select_covers_no_version(server: Server, browser: Browser) -> None:
    for page in watched(browser, server.url, viewport={"width": 720, "height": 600}):
        stage = Stage(page)
        stage.open(PHOTO)
        page.keyboard.press("w")
        bar, versions = (page.locator(part).bounding_box() for part in ("#selecting", "#versions"))
        assert bar
        assert versions
        assert bar["x"] + bar["width"] <= versions["x"]


@pytest.mark.slow
def test_fingers_can_fit_and_size_and_draw_a_line(telephone: Page) -> None:
    page, stage = telephone, Stage(telephone)
    stage.open(PHOTO)
    size = page.locator("#size").bounding_box()
    assert size
    assert size["width"] > 200
    expect(page.locator("#zoom-fit")).to_be_hidden()
    page.keyboard.press("+")
    page.locator("#zoom-fit").tap()
    expect(page.locator("#zoom-fit")).to_be_hidden()
    page.locator("[data-tool=line]").tap()
    stage.stroke((40, 40), (100, 90), (200, 40), steps=2)
    assert stage.ask("photo.strokes.done[0].points.length") == 2
    assert not stage.painted()[90, 100]
    page.locator("#help").tap()
    expect(page.locator("#gestures")).to_contain_text("two fingers")


@pytest.mark.slow
def test_keys_keep_the_focus_follow_the_brush_and_move_the_photo(stage: Stage) -> None:
    page = stage.page
    stage.open(PHOTO)
    stage.without_detail()
    stage.stroke((150, 190), (160, 230))
    stage.run()
    for _ in range(2):
        page.keyboard.press("c")
    expect(page.locator("#stage")).to_be_focused()
    for _ in range(8):
        page.keyboard.press("+")
    before = stage.view()
    page.keyboard.press("Control+ArrowRight")
    assert stage.view()["x"] < before["x"]
    for _ in range(30):
        page.keyboard.press("ArrowDown")
    x, y = stage.on_screen(tuple(stage.page.evaluate("async () => (await import('/static/tools.js')).tools.place")))[0]
    assert 0 < x < 1280
    assert 0 < y < 860


def test_hovering_draws_the_ring_alone(stage: Stage) -> None:
    page = stage.page
    stage.open(PHOTO)
    page.evaluate(COUNT)
    page.mouse.move(400, 300)
    page.mouse.move(600, 400, steps=10)
    page.evaluate("() => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)))")
    assert page.evaluate("window.drawn") == 0
    page.keyboard.press("+")
    page.evaluate("() => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)))")
    assert page.evaluate("window.drawn") > 0


@pytest.mark.slow
def test_a_lasso_fills_itself_and_the_server_fills_the_same_pixels(stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    stage.open(PHOTO)
    page.keyboard.press("a")
    stage.stroke((140, 175), (180, 180), (175, 240), (150, 200), (135, 244), steps=3)
    wanted = stage.painted()
    assert wanted[190, 155]
    assert not wanted[238, 152]
    assert np.array_equal(stage.mask(tmp_path), wanted)
    page.keyboard.press("Control+z")
    assert not stage.painted().any()
