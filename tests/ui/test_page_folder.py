"""A folder on the page: one key a photo, and in the end what the command line would have written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from mlx_moebius.errors import MoebiusError
from mlx_moebius.ui import launch
from tests.support.visitor import Visitor
from tests.ui.conftest import watched
from tests.ui.stage import PHOTO, Stage
from tests.ui.test_page_series import crops


@pytest.mark.slow
def test_a_folder_is_filled_closed_and_gone_on_with(browser: Browser, tmp_path: Path) -> None:
    folder, out = tmp_path / "wedding", tmp_path / "finished"
    folder.mkdir()
    crops(folder, 4)
    with launch("nano", folder=folder, output=out) as server:
        for page in watched(browser, server.url, viewport={"width": 1280, "height": 860}):
            stage = Stage(page)
            items = page.locator("#photos .photo")
            expect(items).to_have_count(4)
            expect(page.locator("#name")).to_contain_text("1.png")
            stage.sharp()
            stage.stroke((60, 60), (90, 90))
            page.keyboard.press("Control+Enter")
            expect(page.locator("#name")).to_contain_text("2.png")
            page.keyboard.press("m")
            page.keyboard.press("Control+Enter")
            expect(page.locator("#name")).to_contain_text("3.png")
            stage.stroke((20, 20), (60, 20))
            page.keyboard.press("PageDown")
            expect(page.locator("#name")).to_contain_text("4.png")
            page.click("#skip")
            expect(items.nth(3)).to_have_attribute("aria-label", "4.png, skipped")
            for item, name in ((items.nth(0), "1.png, done"), (items.nth(1), "2.png, done")):
                expect(item).to_have_attribute("aria-label", name, timeout=60_000)
            items.first.click()
            page.keyboard.press("v")
            page.keyboard.press("Enter")
            expect(items.first).to_have_attribute("aria-label", "1.png, accepted")
    written = {path.name: path.read_bytes() for path in out.glob("*.png")}
    assert sorted(written) == ["1.png", "2.png"]
    assert "2 photos filled, 0 failed" in (out / "review.html").read_text()

    with launch("nano", folder=folder, output=out) as server:
        with pytest.raises(MoebiusError, match="another run is writing"):
            launch("nano", folder=folder, output=out)
        for page in watched(browser, server.url, viewport={"width": 1280, "height": 860}):
            stage, items = Stage(page), page.locator("#photos .photo")
            names = ["1.png, accepted", "2.png, done", "3.png, painted", "4.png, skipped"]
            for item, name in zip(items.all(), names, strict=True):
                expect(item).to_have_attribute("aria-label", name)
            expect(page.locator("#name")).to_contain_text("3.png")
            stage.sharp()
            assert stage.painted()[20, 30]
            page.keyboard.press("Control+Enter")
            expect(items.nth(2)).to_have_attribute("aria-label", "3.png, done", timeout=60_000)
            items.first.click()
            expect(page.locator("#name")).to_contain_text("1.png")
            expect(page.locator("#versions [aria-current]")).to_have_text("Removal 1")
            page.keyboard.press("Control+z")
            expect(page.locator("#versions [aria-current]")).to_have_text("Original")
            assert stage.painted()[75, 75]
            expect(items.first).to_have_attribute("aria-label", "1.png, painted")
            assert not (out / "1.png").exists()  # nothing is chosen
            page.keyboard.press("Control+y")
            expect(page.locator("#versions [aria-current]")).to_have_text("Removal 1")
            expect(items.first).to_have_attribute("aria-label", "1.png, accepted")
            assert (out / "1.png").read_bytes() == written["1.png"]

    # The command line repeats it from the masks: nothing is left to do there, and elsewhere it writes the same.
    command = [
        sys.executable,
        "-m",
        "mlx_moebius.generate",
        str(folder),
        "--mask",
        str(out / "masks"),
        "--model",
        "nano",
    ]
    again = subprocess.run(
        [*command, "-o", str(out), "--json"], check=True, capture_output=True, text=True, timeout=120
    )
    assert not [line for line in again.stdout.splitlines() if json.loads(line).get("error")]
    assert {path.name: path.read_bytes() for path in out.glob("[12].png")} == written
    subprocess.run([*command, "-o", str(tmp_path / "elsewhere")], check=True, timeout=120)
    for name in ("1.png", "2.png", "3.png"):
        one, other = (np.asarray(Image.open(where / name)) for where in (out, tmp_path / "elsewhere"))
        assert np.array_equal(one, other)


@pytest.mark.slow
def test_a_file_that_cannot_be_read_is_failed_and_passed_over(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "wedding"
    folder.mkdir()
    photos = crops(folder, 4)
    for cut in (photos[0], photos[2]):
        cut.write_bytes(cut.read_bytes()[:5000])
    with launch("nano", folder=folder, output=tmp_path / "finished") as server:
        for page in watched(browser, server.url, viewport={"width": 1280, "height": 860}):
            stage, items = Stage(page), page.locator("#photos .photo")
            expect(page.locator("#name")).to_contain_text("2.png")
            expect(items.nth(0)).to_have_attribute("aria-label", "1.png, failed")
            assert "1.png" in (items.nth(0).get_attribute("title") or "")
            stage.sharp()
            stage.stroke((60, 60), (90, 90))
            page.keyboard.press("Control+Enter")
            expect(page.locator("#name")).to_contain_text("4.png")
            expect(items.nth(2)).to_have_attribute("aria-label", "3.png, failed")
            page.keyboard.press("PageUp")
            expect(page.locator("#name")).to_contain_text("2.png")
            items.nth(2).click()
            expect(page.locator("#error")).to_contain_text("3.png")  # says why
            expect(page.locator("#name")).to_contain_text("2.png")
            page.keyboard.press("PageDown")
            expect(page.locator("#name")).to_contain_text("4.png")
            page.click("#skip")
            expect(items.nth(3)).to_have_attribute("aria-label", "4.png, skipped")
        states = [item["state"] for item in Visitor(server).get("/api/series").json()["items"]]
        assert [states[0], *states[2:]] == ["failed", "failed", "skipped"]


def test_what_cannot_be_is_said_before_the_page_opens(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, output, why in (
        (tmp_path / "empty", tmp_path / "out", "no photos in"),
        (PHOTO.parent, PHOTO.parent, "would be overwritten"),
    ):
        with pytest.raises(MoebiusError, match=why):
            launch("nano", folder=folder, output=output)
    command = [sys.executable, "-m", "mlx_moebius.ui", "--no-browser", "-o", str(tmp_path / "out")]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert process.returncode == 1
    assert "give the folder too" in process.stderr
