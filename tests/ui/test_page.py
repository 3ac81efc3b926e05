"""One photo on the page: open, paint, run, compare, undo, choose, download."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from mlx_moebius.generate import main
from mlx_moebius.photos.formats import EXTENSIONS
from mlx_moebius.photos.masks import dilate
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.ui.server import Server
from tests.support.command import run
from tests.support.visitor import Held
from tests.ui.stage import PHOTO, STRANGER, Stage, pixel

MARKED = """async () => {
    await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
    const { width, height } = document.querySelector('#marks');
    const { data } = document.querySelector('#marks').getContext('2d').getImageData(0, 0, width, height);
    return data.filter((value, i) => i % 4 === 3 && value > 0).length;
}"""
DRAGGED = """(button) => {
    const data = new DataTransfer();
    button.dispatchEvent(new DragEvent('dragstart', { dataTransfer: data, bubbles: true }));
    window.dispatchEvent(new DragEvent('dragend'));
    return data.getData('DownloadURL');
}"""


def command_line(photo: Path, mask: Path | None, output: Path, *more: str) -> bytes:
    asked: list[str | Path] = ["-m", mask] if mask else []
    ended = run(main, photo, *asked, "-o", output, "--model", "nano", *more)
    assert ended.returncode == 0, ended.stderr
    return output.read_bytes()


def test_more_than_half_is_asked_first(stage: Stage) -> None:
    page = stage.page
    stage.open(PHOTO)
    page.keyboard.press("r")
    stage.stroke((5, 5), (379, 190))
    page.keyboard.press("Control+Enter")
    expect(page.locator("body")).to_contain_text(re.compile("of the photo would be filled .*: is that meant"))
    assert stage.versions() == ["Original"]
    assert stage.strokes() == 1
    page.get_by_role("button", name="Fill it anyway").click()
    stage.finish()
    assert stage.versions() == ["Original", "Removal 1"]


def test_every_extension_that_is_read_can_be_chosen(stage: Stage, tmp_path: Path) -> None:
    chosen = (stage.page.locator("#files").get_attribute("accept") or "").split(",")
    assert chosen == list(EXTENSIONS)
    photo = tmp_path / "photo.jfif"
    Image.open(PHOTO).convert("RGB").save(photo, "JPEG")
    stage.open(photo)


def test_the_fill_replaces_the_photo_in_place_and_undo_takes_it_back(stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    expect(page.locator("#run")).to_be_hidden()
    stage.open(PHOTO)
    expect(page.locator("#stage")).to_be_focused()
    expect(page.locator("#run")).to_be_disabled()
    for button in ("#cancel", "#before", "#compare", "#download", "#undo", "#redo", "#clear", "#another", "#four"):
        expect(page.locator(button)).to_be_disabled()
    page.keyboard.press("+")
    view = stage.view()
    stage.stroke(*STRANGER)
    wanted = stage.painted()
    expect(page.locator("#run")).to_have_text("Remove")
    stage.run()
    expect(page.locator("#run")).to_have_text("Download")
    assert stage.view() == view
    assert stage.versions() == ["Original", "Removal 1"]
    expect(page.locator("#stage")).to_be_focused()
    expect(page.locator("#live")).to_contain_text("Done")
    assert stage.strokes() == 0

    out = stage.downloaded("#download", tmp_path)
    assert out.name == "landscape_filled.png"
    before, after = (np.asarray(Image.open(path)).astype(int) for path in (PHOTO, out))
    changed = (before != after).any(-1)
    assert changed[wanted].mean() > 0.9
    assert not changed[~dilate(wanted, 25)].any()
    mask = tmp_path / "mask.png"
    Image.fromarray(np.where(wanted, 255, 0).astype(np.uint8)).save(mask)
    assert out.read_bytes() == command_line(PHOTO, mask, tmp_path / "cli.png")

    at = stage.on_screen((158, 225))[0]
    filled = pixel(page, at)
    page.keyboard.down("x")
    assert pixel(page, at) != filled
    page.keyboard.up("x")
    assert pixel(page, at) == filled
    page.click("#compare")  # starts fully on "after"
    expect(page.locator("#divider")).to_be_focused()
    assert pixel(page, at) == filled
    page.keyboard.press("End")
    assert pixel(page, at) != filled
    page.click("#compare")

    page.wait_for_function("async () => !(await import('/static/stage.js')).compare.outline")  # of the new fill
    marked = page.evaluate(MARKED)
    page.keyboard.down("o")
    assert page.evaluate(MARKED) > marked + 100
    page.keyboard.up("o")
    assert page.evaluate(MARKED) == marked
    dragged = page.locator("#versions button").last.evaluate(DRAGGED)
    _, name, url = dragged.split(":", 2)
    assert name == "landscape_filled.png"
    assert page.request.get(url).body() == out.read_bytes()

    page.keyboard.press("Control+z")
    expect(page.locator("[aria-current]")).to_have_text("Original")
    assert np.array_equal(stage.painted(), wanted)
    page.keyboard.press("Control+z")
    assert not stage.painted().any()
    page.keyboard.press("Control+y")
    assert np.array_equal(stage.painted(), wanted)
    page.keyboard.press("Control+Shift+z")
    expect(page.locator("[aria-current]")).to_have_text("Removal 1")
    assert stage.strokes() == 0
    page.locator("#versions button").first.click()
    expect(page.locator("[aria-current]")).to_have_text("Original")


@pytest.mark.slow
def test_painting_goes_on_while_it_runs_and_cancel_is_at_once(stage: Stage) -> None:
    page = stage.page
    stage.open(PHOTO)
    stage.set("steps", "200")
    page.click("#fold")
    expect(page.locator("#settings")).to_be_hidden()
    stage.stroke(*STRANGER)
    wanted = stage.painted()
    page.click("#run")
    expect(page.locator("#status")).to_contain_text(re.compile(r"Step \d+ of \d+"), timeout=60_000)
    expect(page.locator("#status")).to_contain_text("left")
    expect(page).to_have_title(re.compile(r"^\d+ %, \d+ (s|min) – landscape.png"))
    assert stage.strokes() == 0

    stage.stroke((40, 40), (80, 60))  # the next run queues, with a Cancel of its own
    later = stage.painted()
    page.keyboard.press("Control+Enter")
    row = page.locator("#versions .waiting")
    expect(row).to_contain_text("1 before it")
    row.get_by_role("button").click()
    expect(row).to_have_count(0)
    assert np.array_equal(stage.painted(), later)
    expect(page.locator("#status")).to_contain_text("Step")

    for _ in range(3):  # run directly after Cancel starts, again and again
        page.click("#cancel")
        expect(page.locator("#status")).to_contain_text("Cancelled")
        expect(page.locator("#cancel")).to_be_disabled()
        assert np.array_equal(stage.painted(), wanted | later)
        page.click("#run")
        expect(page.locator("#status")).to_contain_text(re.compile(r"Step \d+ of \d+"), timeout=60_000)
    page.keyboard.press("Escape")
    expect(page.locator("#status")).to_contain_text("Cancelled")
    assert stage.versions() == ["Original"]  # no half picture
    stage.set("steps", "")
    page.keyboard.press("Control+Enter")  # in a text field too
    stage.finish()
    assert stage.versions() == ["Original", "Removal 1"]


@pytest.mark.slow
def test_four_seeds_another_one_and_a_frame_that_is_extended(stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    stage.open(PHOTO)
    stage.stroke(*STRANGER)
    page.keyboard.press("f")
    crops = page.locator("#crops button")
    expect(crops).to_have_count(4, timeout=60_000)
    expect(crops.first).to_be_focused()
    page.keyboard.press("3")
    expect(page.locator("#choice")).to_be_hidden()
    versions = page.locator("#versions button")
    expect(versions).to_have_text(["Original", "Removal 1", "Removal 2", "Removal 3", "Removal 4"])  # none is lost
    expect(versions.nth(3)).to_have_attribute("aria-current", "true")
    page.click("#another")
    expect(versions).to_have_count(6, timeout=60_000)
    expect(versions.nth(5)).to_have_attribute("title", re.compile("Seed 4"))  # none of the four again
    assert stage.ask("photo.versions.at(-1).made_from === photo.versions[0].id")

    photo = np.asarray(Image.open(stage.downloaded("#download", tmp_path)))
    stage.set("extend", "left")
    page.click("#run")
    expect(page.locator("#error")).to_contain_text('"left" is not like')
    expect(page.locator("#error")).not_to_contain_text("--")
    stage.set("extend", "10%")  # means all sides
    page.click("#run")
    expect(page.locator("#name")).to_contain_text("460 × 308", timeout=60_000)
    expect(page.locator("#error")).to_be_hidden()
    expect(page.locator("#setting-extend")).to_have_value("")
    wider = np.asarray(Image.open(stage.downloaded("#download", tmp_path / "wider")))
    assert np.array_equal(wider[26:-26, 38:-38], photo)


@pytest.mark.slow
def test_masks_and_errors(stage: Stage, tmp_path: Path) -> None:
    """A turned JPEG keeps what it carries; what cannot be done is one sentence under Run."""
    page = stage.page
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "On the beach"
    photo, mask, text = tmp_path / "beach.jpg", tmp_path / "thin.png", tmp_path / "text.png"
    Image.open(PHOTO).convert("RGB").resize((1500, 1000)).save(photo, exif=exif, quality=90)
    upright = np.zeros((1500, 1000), np.uint8)
    upright[701:760, 301:303] = 255  # thinner than a pixel of the screen
    Image.fromarray(upright).save(mask)
    text.write_text("not a picture")
    page.set_input_files("#files", text)
    error = page.locator("#error")
    expect(error).to_contain_text("text.png")
    expect(error).not_to_contain_text(str(tmp_path))
    stage.open(photo)
    expect(error).to_be_hidden()
    page.set_input_files("#mask-file", text)
    expect(error).to_contain_text("text.png")
    page.set_input_files("#mask-file", mask)
    expect(page.locator("#run")).to_be_enabled()
    assert np.array_equal(stage.mask(tmp_path / "saved"), upright > 0)
    stage.run()
    out = stage.downloaded("#download", tmp_path / "out")
    assert out.read_bytes() == command_line(photo, mask, tmp_path / "cli.jpg")
    assert b"On the beach" in read_photo(out).metadata.exif
    page.keyboard.press("Control+z")
    assert np.array_equal(stage.mask(tmp_path / "back"), upright > 0)
    page.click("#clear")
    expect(page.locator("#run")).to_be_disabled()

    stage.page.click("[data-tool=rect]")
    stage.stroke((5, 5), (995, 1400))
    page.click("#run")
    expect(error).to_contain_text("%")
    assert stage.strokes() == 3
    error.get_by_role("button", name="Fill it anyway").click()
    expect(page.locator("#cancel")).to_be_enabled()
    page.click("#cancel")
    expect(page.locator("#status")).to_contain_text("Cancelled")


def test_escape_closes_what_is_open_and_ends_only_the_run_of_the_photo_shown(
    server: Server, stage: Stage, tmp_path: Path
) -> None:
    page = stage.page
    other = tmp_path / "other.png"
    Image.open(PHOTO).crop((0, 0, 200, 150)).save(other)
    stage.open(PHOTO)
    with Held(server):
        stage.stroke(*STRANGER)
        page.keyboard.press("Control+Enter")
        expect(page.locator("#status")).to_contain_text("Waiting")
        page.keyboard.press("s")
        expect(page.locator("#settings")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#settings")).to_be_hidden()
        expect(page.locator("#status")).to_contain_text("Waiting")
        stage.open(other)
        page.keyboard.press("Escape")
        assert stage.ask("state.photos[0].runs.size") == 1
        expect(page.locator("#status")).to_contain_text("landscape.png: Waiting")
        page.keyboard.press("PageUp")
        expect(page.locator("#name")).to_contain_text("landscape.png")
        page.keyboard.press("Escape")
        expect(page.locator("#status")).to_contain_text("Cancelled")
        assert stage.painted().any()
