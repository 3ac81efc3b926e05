"""Photos that another program hands over: written back in place by Done, and never touched otherwise."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.photo import Photo, photo_from_image, read_photo
from mlx_moebius.photos.save import write_photo
from mlx_moebius.ui import launch
from mlx_moebius.ui.server import Server
from tests.support.pictures import picture
from tests.ui.conftest import watched
from tests.ui.stage import Stage

WRITTEN = "The photo is written."


def handed_over(path: Path, sixteen_bit: bool = False, seed: int = 0) -> Photo:
    """A photo as another program exports it."""
    photo = photo_from_image(picture("RGB", 200, 150, seed))
    if sixteen_bit:
        fine = np.random.default_rng(seed).integers(0, 256, photo.pixels.shape)
        photo = replace(photo, pixels=(photo.pixels.astype(np.uint16) * 256 + fine).astype(np.uint16), mode="RGB;16")
    write_photo(photo, path)
    path.chmod(0o640)
    return read_photo(path)


@contextmanager
def editing(browser: Browser, *files: Path) -> Iterator[tuple[Server, Page]]:
    with launch("nano", edited=files) as server:
        pages = watched(browser, server.url, viewport={"width": 1280, "height": 860})
        yield server, next(pages)
        for _ in pages:
            pass


def fill_a_spot(page: Page) -> None:
    stage = Stage(page)
    stage.sharp()
    stage.stroke((90, 70), (110, 70))
    stage.run()


@pytest.mark.parametrize(
    ("name", "sixteen_bit"),
    [
        ("a.tif", True),
        pytest.param("a.tif", False, marks=pytest.mark.slow),
        pytest.param("a.jpg", False, marks=pytest.mark.slow),
        pytest.param("a.png", False, marks=pytest.mark.slow),
    ],
)
def test_done_writes_the_photo_back_as_it_was_handed_over(
    browser: Browser, tmp_path: Path, name: str, sixteen_bit: bool
) -> None:
    file = tmp_path / name
    before = handed_over(file, sixteen_bit)
    with editing(browser, file) as (server, page), ThreadPoolExecutor() as threads:
        assert server.editing is not None
        waiting = threads.submit(server.editing.wait)
        fill_a_spot(page)
        assert np.array_equal(read_photo(file).pixels, before.pixels)  # not before Done
        page.click("#finish")
        expect(page.locator("#welcome")).to_contain_text(WRITTEN)
        assert waiting.result(timeout=60)
    after = read_photo(file)
    assert (after.mode, after.pixels.dtype, file.stat().st_mode & 0o777) == (before.mode, before.pixels.dtype, 0o640)
    changed = (after.pixels != before.pixels).any(axis=-1)
    assert changed[70, 100]
    if not name.endswith("jpg"):  # elsewhere bit for bit
        assert changed.mean() < 0.2
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.slow
def test_several_come_one_after_the_other_and_what_is_not_filled_stays(browser: Browser, tmp_path: Path) -> None:
    files = [tmp_path / "a.tif", tmp_path / "b.png"]
    for seed, file in enumerate(files):
        handed_over(file, seed=seed)
    first, second = (file.read_bytes() for file in files)
    with editing(browser, *files) as (server, page), ThreadPoolExecutor() as threads:
        assert server.editing is not None
        waiting = threads.submit(server.editing.wait)
        expect(page.locator("#name")).to_contain_text("a.tif")
        page.reload()
        expect(page.locator("#name")).to_contain_text("a.tif")
        page.click("#finish")
        expect(page.locator("#name")).to_contain_text("b.png")
        assert files[0].read_bytes() == first
        fill_a_spot(page)
        page.click("#finish")
        expect(page.locator("#welcome")).to_contain_text(WRITTEN)
        assert waiting.result(timeout=60)
    assert files[0].read_bytes() == first
    assert files[1].read_bytes() != second


@pytest.mark.slow
def test_what_another_program_has_changed_meanwhile_is_not_overwritten(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    handed_over(file)
    with editing(browser, file) as (_, page):
        fill_a_spot(page)
        handed_over(file, seed=7)
        theirs = file.read_bytes()
        page.click("#finish")
        expect(page.locator("#error")).to_contain_text("changed or moved by another program")
    assert file.read_bytes() == theirs


def test_what_cannot_be_written_back_is_refused_before_the_page_opens(tmp_path: Path) -> None:
    with pytest.raises(MoebiusError, match="none"):
        launch("nano", edited=[tmp_path / "none.tif"])
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(MoebiusError, match="is damaged"):
        launch("nano", edited=[tmp_path / "a.jpg"])


@pytest.mark.slow
@pytest.mark.parametrize(("end", "code"), [("done", 0), ("closed", 1), ("killed", -9), ("asked to end", 1)])
def test_the_command_ends_as_the_page_does(browser: Browser, tmp_path: Path, end: str, code: int) -> None:
    file = tmp_path / "a.tif"
    handed_over(file)
    before = file.read_bytes()
    command = [sys.executable, "-m", "mlx_moebius.ui", "--edit", str(file), "--model", "nano", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.match(r"http\S+", process.stdout.readline())
        assert found is not None
        pages = watched(browser, found.group(), viewport={"width": 1280, "height": 860})
        page = next(pages)
        fill_a_spot(page)
        if end == "done":
            page.click("#finish")
        elif end == "closed":
            page.close(run_before_unload=False)
        else:
            process.send_signal(signal.SIGKILL if end == "killed" else signal.SIGTERM)
        assert process.wait(timeout=60) == code
        for _ in pages:
            pass
    assert (file.read_bytes() == before) == (end != "done")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
