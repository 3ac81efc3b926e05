"""The review: from fill to fill at the photo's own pixels, accepted or tried again."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.ui.stage import Stage
from tests.ui.test_page_series import crops


@pytest.mark.slow
def test_fills_are_looked_at_one_by_one(stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    page.set_input_files("#files", crops(tmp_path, 3))
    items = page.locator("#photos .photo")
    expect(items).to_have_count(3)
    stage.without_detail()
    for number in (1, 2):
        expect(page.locator("#name")).to_contain_text(f"{number}.png")
        stage.sharp()
        stage.stroke((60, 60), (90, 90))
        page.keyboard.press("Control+Enter")
    for item, name in ((items.nth(0), "1.png, done"), (items.nth(1), "2.png, done")):
        expect(item).to_have_attribute("aria-label", name, timeout=60_000)

    page.locator("#notice").get_by_role("button", name="Review them").click()
    expect(page.locator("#name")).to_contain_text("1.png")
    expect(page.locator("#zoom-value")).to_have_text("100 %")
    x, y = stage.on_screen((75, 75))[0]  # the middle of the fill
    middle = page.evaluate("async () => (await import('/static/stage.js')).view.middle")
    assert abs(x - middle[0]) < 3
    assert abs(y - middle[1]) < 3
    page.keyboard.press("Enter")
    expect(items.nth(0)).to_have_attribute("aria-label", "1.png, accepted")
    expect(page.locator("#name")).to_contain_text("2.png")
    page.keyboard.press("t")
    expect(page.locator("#review")).to_be_hidden()  # nothing else is left to look at
    expect(items.nth(1)).to_have_attribute("aria-label", "2.png, done", timeout=60_000)
    page.keyboard.press("v")
    expect(page.locator("#versions [aria-current]")).to_have_text("Removal 2")
    page.click("#review-accept")
    expect(items.nth(1)).to_have_attribute("aria-label", "2.png, accepted")
    expect(page.locator("#action")).to_be_visible()
    assert stage.strokes() == 0
