"""The tool "Select": what is pointed at is proposed, dashed, and part of the mask only once it is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect

from mlx_moebius.photos.geometry import Mask
from mlx_moebius.ui import selecting
from mlx_moebius.ui.server import Server
from tests.selection.scenes import overlap, sky, with_ball
from tests.ui.conftest import watched
from tests.ui.stage import PHOTO, Stage
from tests.ui.test_page_access import blameless
from tests.ui.test_page_small import in_reach

DASHED = """async () => {
    await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
    const { canvas } = document.querySelector('#paint').getContext('2d');
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let white = 0;
    for (let i = 0; i < pixels.length; i += 4) white += pixels[i + 1] > 240 && pixels[i + 3] > 240;
    return white;
}"""
BOX = ((120, 36), (230, 150), (336, 240))  # round the ball


def ball_with_shadow(folder: Path) -> tuple[Path, Mask, Mask]:
    """A photo, and the masks of what it shows."""
    rgb, ball = with_ball(300, 420)
    y, x = np.mgrid[:300, :420]
    shadow = (((x - 282) / 78) ** 2 + ((y - 219) / 24) ** 2 < 1) & ~ball
    rgb[shadow] = (rgb[shadow] * 0.5).astype(np.uint8)
    path = folder / "ball.png"
    Image.fromarray(rgb).save(path)
    return path, ball, shadow


def answered(page: Page, hint: str) -> None:
    """What was looked for is there."""
    expect(page.locator("#select-hint")).to_contain_text(hint)
    expect(page.locator("#selecting")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#select-take")).to_be_enabled()


@pytest.mark.slow
def test_an_object_is_proposed_corrected_taken_undone_and_outlives_a_reload(stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    path, ball, shadow = ball_with_shadow(tmp_path)
    stage.open(path)
    expect(page.locator("#selecting")).to_be_hidden()
    page.keyboard.press("w")
    stage.stroke(*BOX)
    answered(page, "Draw over what is missing")
    assert page.evaluate(DASHED) > 100
    assert stage.strokes() == 0
    expect(page.locator("#save-mask")).to_be_disabled()

    stage.stroke((180, 120), (250, 170), button="right")  # takes away, and undo brings it back
    answered(page, "Draw over what is missing")
    smaller = stage.ask("JSON.stringify(photo.proposal.things[0].parts[0].loops)")
    page.keyboard.press("Control+z")
    assert stage.ask("JSON.stringify(photo.proposal.things[0].parts[0].loops)") != smaller
    stage.stroke((330, 20), (400, 30), (370, 60), steps=2)  # another thing: nothing of the ball
    page.keyboard.press("Escape")
    expect(page.locator("#select-take")).to_be_disabled()
    assert stage.strokes() == 0
    assert page.evaluate(DASHED) == 0

    stage.stroke(*BOX)
    answered(page, "Draw over what is missing")
    expect(page.locator("#select-shadow")).to_be_visible()
    page.keyboard.press("d")
    expect(page.locator("#select-shadow")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Enter")
    expect(page.locator("#clear")).to_be_enabled()
    assert stage.strokes() == 1
    assert page.evaluate(DASHED) == 0
    taken = stage.painted()
    assert overlap(taken & ball, ball) > 0.95
    assert overlap(taken & ~ball, shadow) > 0.6
    assert np.array_equal(stage.mask(tmp_path / "taken"), taken)

    page.keyboard.press("Control+z")
    assert not stage.painted().any()
    page.keyboard.press("Control+Shift+z")
    page.keyboard.press("e")
    stage.stroke((200, 120), (240, 120))
    corrected = stage.painted()
    assert not corrected[120, 220]
    page.reload()
    page.locator("body[data-ready]").wait_for()
    stage.sharp()
    assert np.array_equal(stage.painted(), corrected)
    assert np.array_equal(stage.mask(tmp_path / "reloaded"), corrected)

    stage.without_detail()
    page.click("#clear")
    page.keyboard.press("w")
    stage.stroke(*BOX)
    answered(page, "Draw over what is missing")
    stage.run()  # takes what is proposed
    assert stage.versions() == ["Original", "Removal 1"]
    left, top, right, bottom = stage.ask("photo.versions[1].box")
    assert left < 150
    assert right > 290
    assert bottom - top > 150


@pytest.mark.slow
def test_wires_dust_and_people_by_clicks_and_keys(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = stage.page
    rgb = sky(260, 400)
    for y in (60, 90):
        rgb[y : y + 3, 30:370] = 30
    Image.fromarray(rgb).save(tmp_path / "wires.png")
    stage.open(tmp_path / "wires.png")
    for _ in range(2):
        page.keyboard.press("w")
    expect(page.locator("[data-kind=wire]")).to_have_attribute("aria-pressed", "true")
    stage.stroke((200, 62))
    answered(page, "Click on more wires")
    page.keyboard.press("y")  # those beside it, too
    expect(page.locator("#select-beside")).to_have_attribute("aria-pressed", "true")
    answered(page, "Click on more wires")
    page.keyboard.press("Enter")
    expect(page.locator("#clear")).to_be_enabled()
    mask = stage.painted()
    assert mask[61, 60:340].all()
    assert mask[91, 60:340].all()
    assert mask.sum() < 6000

    rgb = sky(260, 400)
    places = ((60, 180), (200, 200), (320, 160))
    for x, y in places:
        rgb[y : y + 4, x : x + 4] = 20
    Image.fromarray(rgb).save(tmp_path / "specks.png")
    stage.open(tmp_path / "specks.png")
    page.keyboard.press("w")
    page.click("[data-kind=dust]")
    answered(page, "Click on a spot")
    stage.stroke((202, 202))
    page.keyboard.press("Enter")
    expect(page.locator("#clear")).to_be_enabled()
    mask = stage.painted()
    assert [bool(mask[y + 1, x + 1]) for x, y in places] == [True, False, True]
    page.keyboard.press("Control+z")

    people = page.locator("[data-kind=people]")
    if people.get_attribute("aria-disabled"):  # but on a Mac
        people.click(force=True)
        expect(page.locator("#error")).to_contain_text("macOS")
    found = [np.zeros((260, 400), bool) for _ in range(3)]
    for mask, left in zip(found, (20, 150, 250), strict=True):
        mask[100:200, left : left + 60] = True
    monkeypatch.setattr(selecting, "find_instances", lambda rgb, what: found)
    stage.ask("state.server.select.people = ''")
    people.click(force=True)
    answered(page, "Click on a dot")
    stage.stroke((180, 150))  # all but the largest are proposed; one less
    page.keyboard.press("Enter")
    expect(page.locator("#clear")).to_be_enabled()
    assert np.array_equal(stage.painted(), found[2])
    page.keyboard.press("Control+z")

    stage.open(ball_with_shadow(tmp_path)[0])
    page.keyboard.press("b")
    page.click("[data-tool=select]")
    page.click("[data-kind=object]")
    page.evaluate("async () => { (await import('/static/tools.js')).tools.place = [110, 30]; }")
    page.keyboard.press("Enter")  # a box by keys: from here
    for key in ["ArrowDown"] * 45 + ["ArrowRight"] * 48:
        page.keyboard.press(key)
    page.keyboard.press("Enter")  # to there
    answered(page, "Draw over what is missing")
    assert stage.ask("photo.proposal.things[0].text").startswith("box:110,30,")

    page.keyboard.press("PageUp")  # it stays with its photo, and is neither lost nor another's
    expect(page.locator("#name")).to_contain_text("specks.png")
    expect(page.locator("#select-take")).to_be_disabled()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert stage.strokes() == 0
    page.keyboard.press("PageDown")
    answered(page, "Draw over what is missing")
    page.keyboard.press("Escape")
    expect(page.locator("#select-take")).to_be_disabled()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(844, 390), (390, 844)])
def test_fingers_select_in_small_windows_and_axe_finds_nothing(
    server: Server, browser: Browser, tmp_path: Path, width: int, height: int
) -> None:
    size = {"width": width, "height": height}
    for page in watched(browser, server.url, viewport=size, has_touch=True, reduced_motion="reduce"):
        stage = Stage(page)
        stage.open(ball_with_shadow(tmp_path)[0])
        page.locator("[data-tool=select]").tap()
        stage.stroke(*BOX)
        answered(page, "Draw over what is missing")
        expect(page.locator("#select-shadow")).to_be_visible()
        parts = ["[data-tool=brush]", "#extras-open", "#undo", "#run", "#select-take", "#select-drop"]
        parts += ["#select-less", "#select-shadow", "[data-kind=object]", "[data-kind=people]"]
        assert [part for part in parts if not in_reach(page.locator(part))] == []
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            blameless(page)
        page.locator("#select-less").tap()
        before = stage.ask("JSON.stringify(photo.proposal.things[0].parts[0].loops)")
        stage.stroke((180, 120), (250, 170))
        answered(page, "Draw over what is missing")
        assert stage.ask("JSON.stringify(photo.proposal.things[0].parts[0].loops)") != before
        page.locator("#select-take").tap()
        expect(page.locator("#clear")).to_be_enabled()
        assert stage.strokes() == 1
        stage.stroke(*BOX)  # the next one adds again
        answered(page, "Draw over what is missing")


@pytest.mark.slow
def test_what_is_proposed_is_dropped_with_a_sentence_when_its_photo_changes(stage: Stage) -> None:
    page = stage.page
    stage.open(PHOTO)
    stage.without_detail()
    stage.stroke((150, 190), (160, 230))
    stage.run()
    page.keyboard.press("w")
    stage.stroke((130, 160), (160, 220), (185, 250))
    answered(page, "Draw over")
    page.locator("#versions button", has_text="Original").click()
    expect(page.locator("#error")).to_contain_text("has changed since")
    expect(page.locator("#select-take")).to_be_disabled()
    assert stage.strokes() == 0


@pytest.mark.slow
def test_beside_other_shots_a_selection_stays_in_reach_and_says_what_comes_first(stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    path, *_ = ball_with_shadow(tmp_path)
    (tmp_path / "text.jpg").write_text("no photo")
    page.set_input_files("#files", [path, PHOTO])
    expect(page.locator("#photos .photo")).to_have_count(2)
    stage.sharp()
    page.keyboard.press("w")
    stage.stroke((-40, 100), (-30, 150), (-20, 200))
    expect(page.locator("#error")).to_contain_text("outside the photo")
    stage.stroke(*BOX)
    answered(page, "Draw over what is missing")
    expect(page.locator("#select-shadow")).to_be_visible()
    page.keyboard.press("u")
    expect(page.locator("#shots-text")).to_contain_text("Take what is proposed")
    page.set_input_files("#shot-files", [tmp_path / "text.jpg", PHOTO.parent / "fish.jpg"])
    expect(page.locator("#shots-list .name")).to_have_text([PHOTO.name, "fish.jpg"])
    parts = ["#select-take", "#select-drop", "#select-less", "#select-shadow", "#carry", "#run", "#error"]
    for width, height in ((1024, 768), (1280, 860), (844, 390), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        assert width == 390 or in_reach(page.locator("[data-tool=brush]"))
        assert [part for part in parts if not in_reach(page.locator(part))] == []
    expect(page.locator("#error")).to_contain_text("text.jpg is not a JPEG")
    page.click("#select-take")
    expect(page.locator("#shots-text")).to_contain_text("None of them gives anything", timeout=60_000)


@pytest.mark.slow
def test_a_selection_goes_along_a_series_and_a_mask_is_copied_and_pasted(stage: Stage, tmp_path: Path) -> None:
    page = stage.page
    scene = Image.open(PHOTO).convert("RGB").resize((768, 512), Image.Resampling.BICUBIC)
    ImageDraw.Draw(scene).ellipse((300, 160, 350, 210), (200, 40, 40))
    offsets = {"1.png": (0, 0), "2.png": (40, 22), "3.png": (64, 0)}
    for name, (x, y) in offsets.items():
        scene.crop((x, y, x + 700, y + 480)).save(tmp_path / name)
    Image.open(PHOTO.parent / "fish.jpg").resize((700, 480)).save(tmp_path / "4.png")
    page.set_input_files("#files", [tmp_path / f"{number}.png" for number in range(1, 5)])
    items = page.locator("#photos .photo")
    expect(items).to_have_count(4)
    stage.sharp()
    page.keyboard.press("w")
    stage.stroke((280, 140), (310, 190), (370, 230))
    answered(page, "Draw over what is missing")
    page.keyboard.press("p")
    expect(page.locator("#error")).to_contain_text("Proposed in 2 of the next 3 photos. 4.png does not show the same")
    states = ["painted", "proposed", "proposed", "to do"]
    for number, state in enumerate(states):
        expect(items.nth(number)).to_have_attribute("aria-label", f"{number + 1}.png, {state}")
    taken = stage.painted()
    assert taken[185, 325]

    page.keyboard.press("PageDown")
    expect(page.locator("#name")).to_contain_text("2.png")
    assert stage.strokes() == 0
    page.keyboard.press("Enter")
    expect(page.locator("#clear")).to_be_enabled()
    assert overlap(stage.painted()[:450, :650], taken[22:472, 40:690]) > 0.95
    page.keyboard.press("Control+z")

    items.nth(0).click()
    expect(page.locator("#name")).to_contain_text("1.png")
    page.keyboard.press("b")
    stage.stroke((500, 300), (540, 300))
    wanted = stage.painted()
    page.keyboard.press("Control+c")
    expect(page.locator("#live")).to_contain_text("is copied")
    items.nth(3).click()
    expect(page.locator("#name")).to_contain_text("4.png")
    page.keyboard.press("Control+v")
    expect(page.locator("#clear")).to_be_enabled()
    assert np.array_equal(stage.painted(), wanted)
    page.keyboard.press("Control+z")  # one step
    expect(page.locator("#clear")).to_be_disabled()
    stage.open(PHOTO.parent / "snake.jpg")
    page.click("#extras-open")
    page.click("#paste-mask")
    expect(page.locator("#error")).to_contain_text("does not fit snake.jpg")
