"""The queue: buttons stay where they are, states say what is, and what is compared is the photo as it was opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from mlx_moebius.photos.masks import dilate
from mlx_moebius.ui.server import Server
from tests.support.visitor import Held
from tests.ui.stage import PHOTO, Stage, pixel
from tests.ui.test_page_series import crops

WATCH = """() => {
    window.labels = new Set();
    const note = () => document.querySelectorAll('#photos .photo').forEach((item, index) =>
        window.labels.add(item.getAttribute('aria-label')));
    new MutationObserver(note).observe(document.querySelector('#photos'),
        { subtree: true, childList: true, attributes: true });
}"""


GROWN = """async () => {
    const { compare } = await import('/static/stage.js');
    const end = performance.now() + 20_000;
    while (!compare.grown && performance.now() < end) await new Promise(requestAnimationFrame);
    const { width, height } = compare.grown;
    const { data } = compare.grown.getContext('2d').getImageData(0, 0, width, height);
    return [...data].filter((value, i) => i % 4 === 3);
}"""


def small(folder: Path) -> Path:
    path = folder / "small.png"
    Image.open(PHOTO).convert("RGB").crop((100, 100, 196, 196)).save(path)
    return path


@pytest.mark.slow
def test_buttons_stay_where_they_are_while_the_queue_grows(server: Server, stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    photos = crops(tmp_path, 6)
    page.set_input_files("#files", photos)
    items = page.locator("#photos .photo")
    expect(items).to_have_count(6)
    run = page.locator("#run")
    with Held(server):
        places = []
        for number in range(1, 5):
            expect(page.locator("#name")).to_contain_text(f"{number}.png")
            stage.sharp()
            stage.stroke((60, 60), (90, 90))
            places.append((run.bounding_box(), page.locator("#photos").bounding_box()))
            run.click()
        expect(items.nth(3)).to_have_attribute("aria-label", "4.png, queued")
        places.append((run.bounding_box(), page.locator("#photos").bounding_box()))
        assert places == [places[0]] * 5
        page.get_by_role("button", name="Cancel 3.png").click()
        expect(items.nth(2)).to_have_attribute("aria-label", "3.png, painted")
        expect(items.nth(3)).to_have_attribute("aria-label", "4.png, queued")
        for number in (1, 2, 4):
            page.get_by_role("button", name=f"Cancel {number}.png").click()
        expect(page.locator("#cancel")).to_be_disabled()


@pytest.mark.slow
def test_states_do_not_flicker_and_errors_go_with_their_cause(stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    page.set_input_files("#files", crops(tmp_path, 2))
    items = page.locator("#photos .photo")
    expect(items).to_have_count(2)
    stage.without_detail()
    stage.sharp()
    stage.stroke((60, 60), (90, 90))
    page.evaluate(WATCH)
    page.keyboard.press("Control+Enter")
    expect(items.first).to_have_attribute("aria-label", "1.png, done", timeout=60_000)
    assert "1.png, to do" not in page.evaluate("[...window.labels]")
    expect(page.locator("#name")).to_contain_text("2.png")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#error")).to_contain_text("Paint over what should go")
    page.keyboard.press("PageUp")
    expect(page.locator("#name")).to_contain_text("1.png")
    expect(page.locator("#error")).to_be_hidden()
    page.keyboard.press("PageDown")
    expect(page.locator("#name")).to_contain_text("2.png")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#error")).to_be_visible()
    stage.sharp()
    stage.stroke((20, 20), (40, 20))
    expect(page.locator("#error")).to_be_hidden()


@pytest.mark.slow
def test_before_is_the_photo_as_it_was_opened(stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    stage.open(small(tmp_path))
    stage.without_detail()
    at = stage.on_screen((20, 20))[0]
    opened = pixel(page, at)
    stage.stroke((14, 20), (26, 20))
    stage.run()
    filled = pixel(page, at)
    assert filled != opened
    stage.stroke((70, 70), (80, 70))
    stage.run()
    assert stage.versions() == ["Original", "Removal 1", "Removal 2"]
    assert pixel(page, at) == filled
    page.keyboard.down("x")
    assert pixel(page, at) == opened
    page.keyboard.up("x")


@pytest.mark.slow
def test_the_frame_is_shown_before_it_is_extended_and_refused_before_the_page_moves_on(
    stage: Stage, tmp_path: Path
) -> None:
    page = stage.page
    page.set_input_files("#files", crops(tmp_path, 2))
    expect(page.locator("#photos .photo")).to_have_count(2)
    stage.sharp()
    page.keyboard.press("g")
    page.fill("#setting-extend", "16:9")
    expect(page.locator("#extend-size")).to_have_text("It becomes 320 × 180 pixels.")
    page.select_option("#setting-gravity", "left")
    assert page.evaluate("async () => (await import('/static/settings.js')).frame({ width: 180, height: 180 })") == {
        "left": 0,
        "top": 0,
        "right": 140,
        "bottom": 0,
    }
    page.fill("#setting-extend", "right=900")
    expect(page.locator("#extend-size")).to_contain_text("adds nothing")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#error")).to_contain_text('"right=900" adds nothing')
    expect(page.locator("#name")).to_contain_text("1.png")
    page.fill("#setting-extend", "")
    expect(page.locator("#extend-size")).to_be_hidden()
    expect(page.locator("#error")).to_be_hidden()


@pytest.mark.slow
def test_a_mask_goes_on_chosen_photos_and_is_moved_by_keys(server: Server, stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    page.set_input_files("#files", crops(tmp_path, 4))
    items = page.locator("#photos .photo")
    expect(items).to_have_count(4)
    stage.sharp()
    side = np.asarray(Image.open(tmp_path / "1.png")).shape
    Image.fromarray(np.uint8(255) * (np.indices(side[:2]).sum(axis=0) < 40)).save(tmp_path / "1_mask.png")
    page.set_input_files("#files", tmp_path / "1_mask.png")
    page.get_by_role("button", name="Use it").click()
    stage.stroke((60, 60), (90, 90))
    wanted = stage.painted()
    with Held(server):
        page.keyboard.press("Control+Enter")
        expect(page.locator("#name")).to_contain_text("2.png")
        items.nth(3).click(modifiers=["Shift"])  # 2 to 4
        items.nth(2).click(modifiers=["Control"])  # but 3
        page.click("#same-mask")
        for item, name in zip(items.all()[1:], ["2.png, painted", "3.png, to do", "4.png, painted"], strict=True):
            expect(item).to_have_attribute("aria-label", name)
        assert np.array_equal(stage.painted(), wanted)
        page.keyboard.press("Alt+Shift+ArrowRight")
        page.keyboard.press("Alt+ArrowUp")
        assert np.array_equal(stage.painted(), np.roll(wanted, (-1, 10), (0, 1)))
        page.get_by_role("button", name="Cancel 1.png").click()


@pytest.mark.slow
def test_an_example_is_there(stage: Stage) -> None:
    stage.page.get_by_role("button", name="Try it on an example").click()
    expect(stage.page.locator("#name")).to_contain_text("example.jpg")
    stage.sharp()


@pytest.mark.slow
def test_a_key_shows_how_far_the_mask_would_grow(stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    stage.open(small(tmp_path))
    stage.stroke((40, 40), (60, 50))
    page.keyboard.press("g")
    page.select_option("#setting-dilate", "15")
    page.keyboard.press("Escape")
    expect(page.locator("#stage")).to_be_focused()
    page.keyboard.down("h")
    shown = page.evaluate(GROWN)
    shown, mask = np.reshape(shown, (96, 96)), dilate(stage.painted(), 15)
    inner = mask & np.logical_and.reduce([np.roll(mask, by, axis) for by in (-1, 1) for axis in (0, 1)])
    assert (shown[inner] == 128).all()
    assert (shown[mask & ~inner] == 255).all()  # its outline
    rim = ~mask & dilate(mask, 5)
    assert ((shown[rim] > 0) & (shown[rim] < 127)).any()
    assert (shown[~dilate(mask, 21)] == 0).all()
    page.keyboard.up("h")
    assert page.evaluate("async () => (await import('/static/stage.js')).compare.grown") is None
