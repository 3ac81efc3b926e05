"""Many photos on the page: a strip with states, one key for queueing and going on, filters, the same mask again."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.ui.stage import PHOTO, Stage


def crops(folder: Path, count: int) -> list[Path]:
    """Small photos of one size, all different."""
    photo = Image.open(PHOTO).convert("RGB")
    paths = [folder / f"{number}.png" for number in range(1, count + 1)]
    for number, path in enumerate(paths):
        photo.crop((number * 20, 60, number * 20 + 180, 240)).save(path)
    return paths


UNSAVED = """async () => {
    const { emit, state } = await import('/static/state.js');
    for (const photo of state.photos) for (const version of photo.versions) version.saved = false;
    emit('photos');
}"""


@pytest.mark.slow
def test_a_photo_costs_its_strokes_and_one_key(stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    photos = crops(tmp_path, 4)
    text = tmp_path / "notes.txt"
    text.write_text("no photo")
    page.set_input_files("#files", [*photos, text])
    items = page.locator("#photos .photo")
    expect(items).to_have_count(4)
    expect(page.locator("#error")).to_contain_text("notes.txt")
    expect(page.locator("#run")).to_have_text("Queue and next")
    expect(items.first).to_have_attribute("aria-label", "1.png, to do")
    expect(items.locator(".name")).to_have_text([path.name for path in photos])
    expect(items.locator(".name").first).to_be_visible()

    stage.sharp()
    stage.stroke((60, 60), (90, 90))
    first = stage.painted()
    expect(items.first).to_have_attribute("aria-label", "1.png, painted")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#name")).to_contain_text("2.png")
    expect(page.locator("#error")).to_be_hidden()
    expect(page.locator("#run")).to_be_disabled()
    page.keyboard.press("m")  # the same mask as the last one
    assert np.array_equal(stage.painted(), first)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#name")).to_contain_text("3.png")
    stage.stroke((20, 20), (60, 20))
    page.keyboard.press("PageDown")
    expect(page.locator("#name")).to_contain_text("4.png")
    page.keyboard.press("n")
    expect(items.nth(3)).to_have_attribute("aria-label", "4.png, skipped")
    expect(page.locator("#name")).to_contain_text("3.png")  # whose strokes were kept
    assert stage.strokes() == 1
    for item, name in ((items.nth(0), "1.png, done"), (items.nth(1), "2.png, done")):
        expect(item).to_have_attribute("aria-label", name, timeout=60_000)

    page.select_option("#filter", "done")
    expect(items).to_have_count(3)  # and the one that is shown
    page.keyboard.press("PageUp")
    expect(page.locator("#name")).to_contain_text("2.png")
    expect(page.locator("#versions [aria-current]", has_text="Removal 1")).to_be_visible()
    page.select_option("#filter", "")
    page.evaluate("window.showDirectoryPicker = () => navigator.storage.getDirectory()")  # the dialogue, no more
    page.evaluate("""async () => {
        const folder = await navigator.storage.getDirectory();
        await folder.getFileHandle('1_filled.png', { create: true });
    }""")
    page.click("#save-folder")
    expect(page.locator("#save-folder")).to_be_disabled()
    names = """async () => {
        const found = [];
        for await (const [name, file] of (await navigator.storage.getDirectory()).entries())
            found.push(`${name}: ${(await file.getFile()).size > 0}`);
        return found.sort();
    }"""
    assert page.evaluate(names) == ["1_filled (2).png: true", "1_filled.png: false", "2_filled.png: true"]
    page.evaluate(UNSAVED)
    with page.expect_download() as download:
        page.click("#download-all")
    assert download.value.suggested_filename == "photos.zip"
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.namelist() == ["1_filled.png", "2_filled.png"]
        assert archive.testzip() is None
    expect(page.locator("#download-all")).to_be_disabled()
    page.keyboard.press("Control+z")
    expect(page.locator("#versions [aria-current]")).to_have_text("Original")
    assert np.array_equal(stage.painted(), first)

    page.reload()
    page.locator("body[data-ready]").wait_for()
    expect(items).to_have_count(4)
    expect(page.locator("#name")).to_contain_text("2.png")
    assert [item.get_attribute("aria-label") for item in items.all()] == [
        "1.png, done",
        "2.png, painted",
        "3.png, painted",
        "4.png, skipped",
    ]
