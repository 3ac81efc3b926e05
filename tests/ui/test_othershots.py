"""Other shots on the page: what is offered, chosen, taken, told and remembered, on its own and in a folder."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from mlx_moebius.photos.photo import read_provenance
from mlx_moebius.ui import launch
from mlx_moebius.ui.server import Server
from tests.folder.test_neighbours import dated
from tests.support.series import AT, SIZE, make_series, scene
from tests.support.visitor import Visitor
from tests.ui.conftest import watched
from tests.ui.stage import Stage
from tests.ui.test_page_access import blameless
from tests.ui.test_page_return import free_port, serving

HOLE: dict[str, Any] = {
    "tool": "rect",
    "size": 1,
    "points": [[AT[0] - 4, AT[1] - 4], [AT[0] + SIZE + 4, AT[1] + SIZE + 4]],
}
TAKEN = re.compile(r"% from 1\.png, \d+.% from 2\.png")


def paint(stage: Stage) -> None:
    """Paint over the thing."""
    stage.sharp()
    stage.page.keyboard.press("r")
    (left, top), (right, bottom) = HOLE["points"]
    stage.stroke((left, top), (right, bottom))


@pytest.mark.slow
def test_shots_are_looked_at_chosen_and_taken_and_all_outlives_the_server(browser: Browser, tmp_path: Path) -> None:
    series, port = make_series(tmp_path / "shoot", masks=False), free_port()
    wrong = tmp_path / "9.png"
    Image.fromarray(scene(seed=99).astype(np.uint8)).save(wrong)
    with ExitStack() as stack:
        first_server = stack.enter_context(ExitStack())
        url = first_server.enter_context(serving(port, tmp_path / "a"))
        for page in watched(browser, url, viewport={"width": 1280, "height": 860}):
            stage = Stage(page)
            page.set_input_files("#files", [series.photo, series.others[0]])
            expect(page.locator("#photos .photo")).to_have_count(2)
            stage.without_detail()
            choose_and_remove(stage, series.others[1], wrong)
            stage.finish(TAKEN)
            expect(page.locator("#versions button").last).to_have_attribute("title", TAKEN)
            expect(page.locator("#shots-open")).to_have_attribute("aria-pressed", "false")
            page.keyboard.press("Control+z")
            expect(page.locator("#versions [aria-current]")).to_have_text("Original")
            expect(page.locator("#shots-open")).to_have_attribute("aria-pressed", "true")
            page.keyboard.press("Control+y")
            expect(page.locator("#versions [aria-current]")).to_have_text("Removal 1")

            first_server.close()
            expect(page.locator("#gone")).to_be_visible(timeout=20_000)
            page.route(re.compile("/api/photos/[^/]+$"), lambda route: route.abort(), times=1)  # gone once more
            stack.enter_context(serving(port, tmp_path / "b"))
            expect(page.locator("#gone")).to_be_hidden(timeout=60_000)
            expect(page.locator("#versions button").last).to_have_attribute("title", TAKEN)
            page.keyboard.press("t")
            expect(page.locator("#versions button").last).to_have_text("Removal 2", timeout=60_000)
            stage.finish(TAKEN)
            out = stage.downloaded("#download", tmp_path / "out")
            assert series.psnr(out) > 33
            record = read_provenance(out)
            assert record is not None
            assert [shot["file"] for shot in record["shots"]] == ["1.png", "2.png"]


def choose_and_remove(stage: Stage, dropped: Path, wrong: Path) -> None:
    """With keys: look at the shots, of which two came as files, choose two, and remove."""
    page = stage.page
    page.keyboard.press("u")
    expect(page.locator("#shots-text")).to_contain_text("Paint over what should go")
    page.set_input_files("#shot-files", [dropped, wrong])
    expect(page.locator("#shots-list .name")).to_have_text(["1.png", "2.png", "9.png"])
    expect(page.locator("#photos .photo")).to_have_count(2)  # those are no photos of the page
    paint(stage)
    first, second, third = page.locator("#shots-list button").all()
    expect(third).to_contain_text("Nothing: it shows another scene, or too little of this one", timeout=60_000)
    expect(third).to_be_disabled()
    for shot in (first, second):
        expect(shot).to_contain_text("Gives ")
        expect(shot).to_contain_text("levels")
    assert (first.locator("img").get_attribute("src") or "").startswith("data:image/webp;base64,")
    blameless(page)

    first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#shots-text")).to_contain_text("Together they give", timeout=60_000)
    expect(page.locator("#status")).to_have_text("From 1.png and 2.png")
    page.keyboard.press("Escape")
    expect(page.locator("#shots")).to_be_hidden()
    page.keyboard.press("Control+z")  # the choice of the second
    page.keyboard.press("Control+y")
    page.keyboard.press("Control+Enter")
    page.locator("#photos .photo").first.click()


@pytest.mark.slow
def test_a_folder_is_filled_from_its_photos_and_knows_it_after_a_restart(browser: Browser, tmp_path: Path) -> None:
    folder, out = tmp_path / "shoot", tmp_path / "finished"
    series = make_series(folder, masks=False)
    with launch("nano", folder=folder, output=out) as server:
        for page in watched(browser, server.url, viewport={"width": 1280, "height": 860}):
            stage = Stage(page)
            stage.without_detail()
            paint(stage)
            page.click("#shots-open")
            expect(page.locator("#shots-list button").last).to_contain_text("Gives ", timeout=60_000)
            page.click("#shots-all")
            page.keyboard.press("Control+Enter")
            expect(page.locator("#name")).to_contain_text("1.png")
            done = page.locator("#photos .photo").first
            expect(done).to_have_attribute("aria-label", "0.png, done", timeout=60_000)
    assert series.psnr(out / "0.png") > 33
    review = (out / "review.html").read_text()
    assert "1.png: " in review
    assert "of the hole taken, error" in review

    with launch("nano", folder=folder, output=out) as server:
        visitor = Visitor(server)
        [item] = [item for item in visitor.get("/api/series").json()["items"] if item["name"] == "0.png"]
        shown = visitor.photo(item)
        [made] = [version for version in shown["versions"] if version["id"] == shown["current"]]
        assert [shot["file"] for shot in made["taken"]] == ["1.png", "2.png"]
        assert [shot["file"] for shot in made["strokes"][-1]["shots"]] == ["1.png", "2.png"]
        again = {"seed": 7, "on": 0, "strokes": made["strokes"], "detail": False, "yes": True}
        run = visitor.post(f"/api/series/{item['id']}/queue", json=again)
        assert run.status_code == 202, run.text
        assert visitor.ended(run.json())["state"] == "done"
        assert len(visitor.photo(item)["versions"][-1]["taken"]) == 2
        (folder / "2.png").unlink()
        answer = visitor.post(f"/api/series/{item['id']}/queue", json=again)
        assert answer.status_code == 400
        assert "2.png cannot be read" in answer.json()["error"]


@pytest.mark.slow
def test_what_cannot_be_taken_from_is_said_in_a_line(server: Server, tmp_path: Path) -> None:
    series = make_series(tmp_path, masks=False)
    visitor = Visitor(server)
    photo = visitor.open(series.photo)
    address = f"/api/photos/{photo['id']}/others"
    answer = visitor.post(address, params={"name": "0.png"}, content=series.photo.read_bytes())
    assert (answer.status_code, "is the photo itself" in answer.json()["error"]) == (400, True)
    answer = visitor.post(address, params={"name": "a.png"}, content=b"no photo")
    assert answer.status_code == 400
    for sources, why in (
        ([{"file": "gone.png", "sha256": "0" * 64}], "gone.png is no longer open here"),
        ([{"file": "1.png"}] * 13, "at most 12"),
        ([{"file": 7}], "file must be text"),
    ):
        stroke = {"tool": "from", "size": 0, "points": [], "shots": sources}
        answer = visitor.post(f"/api/photos/{photo['id']}/runs", json={"model": "nano", "strokes": [HOLE, stroke]})
        assert answer.status_code == 400
        assert why in answer.json()["error"]
    one = visitor.post(address, params={"name": "1.png"}, content=series.others[0].read_bytes()).json()
    same = visitor.post(address, params={"name": "1.png"}, content=series.others[0].read_bytes()).json()
    assert one == same
    answer = visitor.post(f"{address}/look", json={"shots": [one["id"]]})
    assert (answer.status_code, answer.json()["error"]) == (400, "paint over what should go first")
    changed = {"tool": "from", "size": 0, "points": [], "shots": [{"file": "1.png", "sha256": "0" * 64}]}
    answer = visitor.post(f"/api/photos/{photo['id']}/runs", json={"model": "nano", "strokes": [HOLE, changed]})
    assert "1.png is another file than the one that was chosen" in answer.json()["error"]
    assert visitor.delete(f"/api/photos/{photo['id']}").status_code == 204
    assert visitor.get(f"/api/photos/{one['id']}").status_code == 404  # nothing stays of what is closed


@pytest.mark.slow
def test_what_is_painted_on_another_shot_is_not_taken(server: Server, tmp_path: Path) -> None:
    series = make_series(tmp_path, offsets=((150, 0),), masks=False)
    visitor = Visitor(server)
    photo, other = visitor.open(series.photo), visitor.open(series.others[0])
    visitor.paint(photo, HOLE)
    look = {"shots": [other["id"]]}
    address = f"/api/photos/{photo['id']}/others/look"
    before = visitor.post(address, json=look).json()["share"]
    visitor.paint(other, {"tool": "rect", "size": 1, "points": [[0, 0], [240, 360]]})
    after = visitor.post(address, json=look).json()["share"]
    assert before > 0.95
    assert after < 0.7


@pytest.mark.slow
def test_neighbours_are_those_in_time_or_else_those_in_the_strip(server: Server, tmp_path: Path) -> None:
    def offered(names: tuple[str, ...], times: tuple[str, ...] = ()) -> list[str]:
        visitor = Visitor(server)
        for name in names:
            Image.new("RGB", (60, 40), (len(name), 9, 9)).save(tmp_path / name)
        for name, time in zip(names, times, strict=False):
            dated(tmp_path / name, time)
        photos = [visitor.open(tmp_path / name) for name in names]
        return [shot["file"] for shot in visitor.get(f"/api/photos/{photos[0]['id']}/others").json()["shots"]]

    assert offered(("a.jpg", "bb.jpg", "ccc.jpg", "dddd.jpg"), ("15:00:00", "16:00:00", "15:02:00", "14:59:00")) == [
        "dddd.jpg",
        "ccc.jpg",
    ]
    assert offered(("a.png", "bb.png", "ccc.png", "dddd.png", "eeeee.png", "ffffff.png")) == [
        "bb.png",
        "ccc.png",
        "dddd.png",
        "eeeee.png",
    ]


def test_a_neighbour_that_is_given_as_a_file_too_is_offered_once(server: Server, tmp_path: Path) -> None:
    series = make_series(tmp_path, masks=False)
    visitor = Visitor(server)
    photo, _ = visitor.open(series.photo), visitor.open(series.others[0])
    address = f"/api/photos/{photo['id']}/others"
    given = visitor.post(address, params={"name": "again.png"}, content=series.others[0].read_bytes()).json()
    assert [shot["file"] for shot in visitor.get(address).json()["shots"]] == [given["file"]]
