"""Painting on the page: what is painted is what is filled, with every tool, at every zoom, by mouse, keys and touch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from mlx_moebius.ui.strokes import rasterise, read_strokes
from tests.ui.stage import PHOTO, Stage

SAME = """async ([strokes, left, top, width, height]) => {
    const { Raster } = await import('/static/raster.js');
    const raster = new Raster(left, top, width, height);
    for (const stroke of strokes) raster.draw(stroke);
    return [...raster.bits];
}"""
SHOWN = """async () => {
    const { view } = await import('/static/stage.js');
    await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
    const [x, y] = view.origin;
    const { width, height } = view.photo;
    const pixels = document.querySelector('#paint').getContext('2d').getImageData(x, y, width, height).data;
    return Array.from({ length: width * height }, (_, i) => pixels[4 * i + 3] > 0);
}"""


COALESCED = """([x, y, across, down]) => {
    const at = (share) => ({ clientX: x + across * share, clientY: y + down * (share * 2 - 1) ** 2, pointerId: 1 });
    const coalescedEvents = Array.from({ length: 20 }, (_, i) => new PointerEvent('pointermove', at((i + 1) / 20)));
    document.querySelector('#stage').dispatchEvent(new PointerEvent('pointermove', { ...at(1), coalescedEvents }));
}"""


def some_strokes(rng: np.random.Generator, count: int) -> list[dict[str, Any]]:
    """Of every kind and size, partly outside of 300 x 200 pixels."""
    strokes: list[dict[str, Any]] = []
    for _ in range(count):
        tool = str(rng.choice(["brush", "brush", "brush", "erase", "rect", "erase_rect"]))
        size = float(rng.choice([1, 2, 3, 4.5, 17, 60]))
        points = rng.uniform(-40, 340, (2 if "rect" in tool else int(rng.integers(1, 6)), 2))
        if rng.random() < 0.3:
            points = np.floor(points) + 0.5
        strokes.append({"tool": tool, "size": size, "points": points.round(3).tolist()})
    return strokes


@pytest.mark.slow
def test_the_page_and_the_server_draw_the_same_pixels(stage: Stage) -> None:
    rng = np.random.default_rng(0)
    for _ in range(8):
        strokes = some_strokes(rng, 12)
        ours = np.reshape(stage.page.evaluate(SAME, [strokes, 0, 0, 300, 200]), (200, 300)) > 0
        assert np.array_equal(ours, rasterise(read_strokes(strokes), 300, 200))
        part = np.reshape(stage.page.evaluate(SAME, [strokes, 31, 47, 90, 70]), (70, 90)) > 0
        assert np.array_equal(part, ours[47:117, 31:121])


@pytest.mark.slow
def test_at_100_per_cent_every_pixel_is_painted_shown_and_filled_alike(stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    stage.open(PHOTO)
    page.keyboard.press("1")
    expect(page.locator("#zoom-value")).to_have_text("100 %")
    brush(page, 1)
    stage.stroke((100, 50), (120, 50))
    line = np.zeros((256, 384), bool)
    line[50, 100:121] = True
    assert np.array_equal(stage.painted(), line)
    brush(page, 9)
    stage.stroke((200, 100), (230, 140), (200, 180))
    stage.stroke((215, 130), button="right")  # the right button erases
    painted = stage.painted()
    assert painted[100, 200]
    assert not painted[130, 215]
    shown = np.reshape(page.evaluate(SHOWN), painted.shape)
    assert np.array_equal(shown, painted)
    assert np.array_equal(stage.mask(tmp_path), painted)
    stage.run()
    before = np.asarray(Image.open(PHOTO)).astype(int)
    after = np.asarray(Image.open(stage.downloaded("#download", tmp_path))).astype(int)
    assert (before != after).any(-1)[painted].mean() > 0.8


@pytest.mark.slow
def test_tools_and_keys(stage: Stage) -> None:
    page = stage.page
    stage.open(PHOTO)
    brush(page, 6)
    stage.stroke((50, 50))
    page.keyboard.down("Shift")  # a line from the last point, previewed first
    page.mouse.move(*stage.on_screen((90, 90))[0])
    assert len(set(marks(page))) > 1
    page.mouse.down()
    page.mouse.up()
    page.keyboard.up("Shift")
    assert stage.ask("photo.strokes.done.at(-1).points.length") == 2
    assert stage.painted()[70, 70]

    page.keyboard.press("r")
    stage.stroke((200, 50), (260, 90))
    assert stage.painted()[52:88, 202:258].all()
    page.keyboard.press("e")
    stage.stroke((210, 60), (250, 60))
    assert not stage.painted()[60, 230]
    page.keyboard.press("Control+z")
    assert stage.painted()[60, 230]

    page.keyboard.press("b")
    before = size(page)
    page.keyboard.press("]")
    assert size(page) > before
    page.keyboard.press("[")
    assert size(page) <= before
    [place] = stage.on_screen((150, 150))
    page.keyboard.down("Alt")
    page.mouse.move(*place)
    page.mouse.down()
    page.mouse.move(place[0] + 60, place[1])
    page.mouse.up()
    dragged = size(page)
    assert dragged > before
    page.mouse.wheel(0, 100)
    expect(page.locator("#size-value")).not_to_have_text(str(dragged))
    page.keyboard.up("Alt")

    strokes, view = stage.strokes(), stage.view()
    page.mouse.wheel(0, -200)
    page.keyboard.press("-")
    page.keyboard.press("0")
    assert stage.view() == view
    page.keyboard.down("Space")  # pans, even where a button was clicked last
    page.mouse.down()
    page.mouse.move(place[0] + 40, place[1] + 30)
    page.mouse.up()
    page.keyboard.up("Space")
    moved = stage.view()
    assert (round(moved["x"] - view["x"]), round(moved["y"] - view["y"])) == (-20, 30)
    assert stage.strokes() == strokes

    page.mouse.move(5, 430)
    page.keyboard.press("Enter")
    for key in ("ArrowUp", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    assert stage.strokes() == strokes + 3
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Straight line")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert stage.strokes() == strokes + 3
    stage.stroke((-30, 100), (-20, 120))  # beside the photo
    assert stage.strokes() == strokes + 3
    page.click("#clear")
    assert not stage.painted().any()
    page.click("#undo")
    assert stage.painted().any()


@pytest.mark.slow
def test_a_telephone_paints_pinches_and_has_run_in_reach(telephone: Page) -> None:
    page, stage = telephone, Stage(telephone)
    stage.open(PHOTO)
    brush(page, 12)
    [place] = stage.on_screen((160, 200))
    page.touchscreen.tap(*place)
    assert stage.strokes() == 1
    assert stage.painted()[200, 160]
    page.tap("#run")
    stage.finish()
    for button in ("#run", "#cancel", "#progress"):
        box = page.locator(button).bounding_box()
        assert box
        assert box["y"] > 844 * 0.75
        assert box["y"] + box["height"] <= 844
    page.tap("#fold")
    expect(page.locator("#run")).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.tap("#fold")
    [place] = stage.on_screen((160, 200))
    view = stage.view()
    touch = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 20), ("touchMove", 40), ("touchMove", 60), ("touchEnd", 0)):
        fingers = [{"x": place[0] + side * apart, "y": place[1], "id": side} for side in (-1, 1)] if apart else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    assert stage.view()["scale"] > 2 * view["scale"]
    assert stage.strokes() == 0  # two fingers do not paint
    page.set_viewport_size({"width": 844, "height": 390})  # held sideways: the stage first
    page.keyboard.press("0")
    left, top, right, bottom = page.evaluate("""async () => {
        await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
        const { view } = await import('/static/stage.js');
        return [...view.toStage([0, 0]), ...view.toStage([view.photo.width, view.photo.height])];
    }""")
    assert (right - left) * (bottom - top) > 0.3 * 844 * 390
    expect(page.locator("#run")).to_be_in_viewport(ratio=1)


def brush(page: Page, pixels: int) -> None:
    """Choose the brush's size."""
    page.evaluate("async (pixels) => (await import('/static/tools.js')).resize(pixels)", pixels)


def size(page: Page) -> int:
    return int(page.locator("#size-value").inner_text().removesuffix(" px"))


def marks(page: Page) -> list[int]:
    """Pixels of the ring and previews, after the next frame."""
    return list(
        page.evaluate("""async () => {
        await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
        const canvas = document.querySelector('#marks');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return [...data].filter((_, i) => i % 401 === 3);
    }""")
    )


@pytest.mark.slow
def test_a_fast_curve_is_a_curve(stage: Stage) -> None:
    stage.open(PHOTO)
    brush(stage.page, 3)
    (left, low), (right, high) = stage.on_screen((60, 120), (160, 40))
    stage.page.mouse.move(left, low)
    stage.page.mouse.down()
    stage.page.evaluate(COALESCED, [left, high, right - left, low - high])  # one event for a whole parabola
    stage.page.mouse.up()
    painted = stage.painted()
    assert painted[40, 110]  # its vertex, far from the line between its ends
    assert not painted[120, 110]
