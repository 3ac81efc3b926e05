"""The page, end to end in headless Chromium, with the network watched on both sides."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from mlx_moebius.photos.masks import dilate
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.ui import launch
from mlx_moebius.ui.server import Server
from tests.support.browser import chromium

EXAMPLES = Path(__file__).parents[2] / "examples"
PHOTO, MASK = EXAMPLES / "landscape.png", EXAMPLES / "landscape_mask.png"
LOCAL = ("127.0.0.1", "127.0.0.2", "::1", "localhost", "0.0.0.0")
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"]

connections: list[str] = []  # that this process, which is the server, tries to make to other machines


def watch_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in LOCAL:
        connections.append(str(arguments[1]))
    if event == "socket.getaddrinfo" and arguments[0] not in (*LOCAL, None):
        connections.append(str(arguments[0]))


sys.addaudithook(watch_network)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLX_MOEBIUS_HOME", str(tmp_path_factory.mktemp("no_models")))
        with launch("nano") as server:
            yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(server: Server, browser: Browser) -> Iterator[Page]:
    """A fresh tab; it fails when the page asks another machine for anything, or logs an error."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(15_000)
    page = context.new_page()
    outside: list[str] = []

    def refuse(route: Route) -> None:
        outside.append(route.request.url)
        route.abort()

    context.route(lambda url: not url.startswith((server.url, "data:", "blob:")), refuse)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server.url)
    yield page
    context.close()
    assert outside == []
    assert errors == []
    assert connections == []


def load(page: Page, photo: Path) -> None:
    page.set_input_files("#upload input[type=file]", photo)
    expect(page.locator("#painting .stage")).to_be_visible()
    shown(page)


def load_mask(page: Page, mask: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.click("#load-mask")
    chooser.value.set_files(mask)


def shown(page: Page) -> None:
    """Wait until the painting area shows a photo with nothing painted."""
    page.wait_for_function("document.querySelector('#painting canvas').width > 1 && window.moebius.mask() === ''")


def stroke(page: Page, *points: tuple[float, float]) -> None:
    """Paint from point to point, in shares of the photo's width and height."""
    box = page.locator("#painting canvas").bounding_box()
    assert box
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()


def painted(page: Page) -> Any:
    """The mask that the page would send, bool, at the size shown."""
    return np.asarray(
        page.evaluate("""() => {
        const canvas = document.querySelector('#painting canvas');
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return Array.from({ length: canvas.height }, (_, y) => Array.from({ length: canvas.width },
            (_, x) => data[4 * (y * canvas.width + x) + 3] >= 128));
    }""")
    )


def run(page: Page) -> None:
    page.click("#run")
    expect(page.locator("#status")).to_contain_text("Done", timeout=60_000)


def ask_until(page: Page, text: str | re.Pattern[str]) -> None:
    """Run from the keyboard until the status says so: the page ignores it while the last run is being answered."""
    for _ in range(10):
        page.keyboard.press("Control+Enter")
        with suppress(AssertionError):
            expect(page.locator("#status")).to_contain_text(text, timeout=2_000)
            return
    raise AssertionError(text)


def downloaded(page: Page, button: str, to: Path) -> Path:
    with page.expect_download() as download:
        page.click(button)
    to.mkdir(exist_ok=True)
    path = to / download.value.suggested_filename
    download.value.save_as(path)
    return path


def save_mask(page: Page, to: Path) -> Path:
    page.click("#save-mask")
    expect(page.locator("#saved-mask")).to_be_visible()
    return downloaded(page, "#saved-mask a", to)


def command_line(photo: Path, mask: Path | None, output: Path, *more: str) -> bytes:
    command: list[str | Path] = [sys.executable, "-m", "mlx_moebius.generate", photo, "-o", output]
    command += ["-m", mask] if mask else []
    subprocess.run([*command, "--model", "nano", *more], check=True, timeout=300)
    return output.read_bytes()


STRANGER = ((0.4, 0.7), (0.4, 0.92), (0.43, 0.92), (0.43, 0.7), (0.38, 0.85))


def test_paint_run_download(page: Page, tmp_path: Path) -> None:
    load(page, PHOTO)
    stroke(page, *STRANGER)
    mask = save_mask(page, tmp_path)
    wanted = np.asarray(Image.open(mask)) > 0
    run(page)
    out = downloaded(page, "#download", tmp_path)
    assert out.name == "landscape_filled.png"
    before, after = (np.asarray(Image.open(path)).astype(int) for path in (PHOTO, out))
    changed = (before != after).any(-1)
    assert changed[wanted].mean() > 0.9
    assert not changed[~dilate(wanted, 25)].any()
    assert out.read_bytes() == command_line(PHOTO, mask, tmp_path / "cli.png")


def test_undo_redo_eraser_clear_and_keyboard(page: Page) -> None:
    load(page, PHOTO)
    stroke(page, (0.2, 0.2), (0.3, 0.2))
    one = painted(page)
    stroke(page, (0.6, 0.6), (0.7, 0.6))
    two = painted(page)
    assert two[one].all()
    assert two.sum() > one.sum()
    page.click("#painting [data-do=undo]")
    assert np.array_equal(painted(page), one)
    page.click("#painting [data-do=redo]")
    assert np.array_equal(painted(page), two)
    page.click("#painting [data-do=eraser]")
    stroke(page, (0.6, 0.6), (0.7, 0.6))
    assert np.array_equal(painted(page), one)
    page.locator("#painting .stage").press("Control+z")
    assert np.array_equal(painted(page), two)
    page.click("#painting [data-do=clear]")
    assert not painted(page).any()
    page.locator("#painting .stage").press("Control+z")
    assert np.array_equal(painted(page), two)
    page.click("#painting [data-do=clear]")
    page.locator("#painting .stage").press("b")
    for key in ("ArrowUp", "Shift+ArrowRight", "Shift+ArrowRight", "]", "d"):
        page.locator("#painting .stage").press(key)
    assert painted(page).any()


def test_zoom_does_not_move_what_is_painted(page: Page) -> None:
    load(page, PHOTO)
    stroke(page, (0.5, 0.5))
    at_fit = painted(page)
    page.click("#painting [data-do=undo]")
    page.click("#painting [data-do=larger]")
    stroke(page, (0.5, 0.5))
    assert (painted(page) != at_fit).sum() <= 0.1 * at_fit.sum()


def test_a_large_turned_jpeg_with_a_mask_file_keeps_everything(page: Page, tmp_path: Path) -> None:
    """The page shows it reduced; a mask that was loaded counts in its own resolution."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "On the beach"
    photo, mask = tmp_path / "beach.jpg", tmp_path / "thin.png"
    Image.open(PHOTO).convert("RGB").resize((3000, 2000)).save(photo, exif=exif, quality=90)
    upright = np.zeros((3000, 2000), np.uint8)
    upright[1501:1560, 701:703] = 255  # thinner than a pixel of the page
    Image.fromarray(upright).save(mask)
    load(page, photo)
    load_mask(page, mask)
    page.wait_for_function("window.moebius.mask() !== ''")
    assert np.array_equal(np.asarray(Image.open(save_mask(page, tmp_path / "saved"))), upright)
    run(page)
    out = downloaded(page, "#download", tmp_path / "out")
    assert out.read_bytes() == command_line(photo, mask, tmp_path / "cli.jpg")
    assert b"On the beach" in read_photo(out).metadata.exif


def test_choose_a_seed_continue_and_go_back(page: Page, tmp_path: Path) -> None:
    load(page, PHOTO)
    stroke(page, *STRANGER)
    mask = save_mask(page, tmp_path)
    page.fill("#seed input", "5")
    page.fill("#count input[type=number]", "2")
    page.keyboard.press("Tab")
    run(page)
    first = downloaded(page, "#download", tmp_path / "5").read_bytes()
    page.locator("#choice .grid-container button").nth(1).click()
    expect(page.locator("#choice .grid-container button").nth(1)).to_have_class(re.compile("selected"))
    page.wait_for_timeout(500)
    second = downloaded(page, "#download", tmp_path / "6").read_bytes()
    assert first != second
    assert second == command_line(PHOTO, mask, tmp_path / "cli.png", "--seed", "6")
    page.click("#continue")
    shown(page)
    filled = np.asarray(Image.open(io.BytesIO(second)))
    stroke(page, (0.8, 0.3))
    expect(page.locator("#history .grid-container button")).to_have_count(2)
    page.fill("#count input[type=number]", "1")
    page.keyboard.press("Tab")
    again = save_mask(page, tmp_path / "again")
    run(page)
    third = np.asarray(Image.open(downloaded(page, "#download", tmp_path / "third")))
    untouched = ~dilate(np.asarray(Image.open(again)) > 0, 25)
    assert np.array_equal(third[untouched], filled[untouched])
    assert not np.array_equal(third, filled)
    page.locator("#history .grid-container button").first.click()
    shown(page)
    stroke(page, (0.1, 0.1))
    page.click("#painting [data-do=undo]")
    shown(page)


def test_extend_the_frame_with_and_without_painting(page: Page, tmp_path: Path) -> None:
    load(page, PHOTO)
    photo = np.asarray(Image.open(PHOTO))
    height, width = photo.shape[:2]
    how_far = page.locator("#extension input, #extension textarea")
    page.locator("#extend > button").press("Enter")
    expect(how_far).to_be_visible()
    page.keyboard.press("Tab")
    expect(how_far).to_be_focused()
    for text, error in (("left", '"left" is not like left=256,top=10%'), ("16:x", "not like 16:9"), ("1:9", "too far")):
        page.keyboard.press("Control+a")
        page.keyboard.type(text)
        ask_until(page, error)
        expect(page.locator("#status")).not_to_contain_text("--")
    how_far.fill("left=40, bottom=10%")
    expect(page.locator("#run")).to_have_text("Extend the frame")
    page.fill("#count input[type=number]", "2")
    page.keyboard.press("Tab")
    ask_until(page, "set How many to 1")
    page.fill("#count input[type=number]", "1")
    page.keyboard.press("Tab")
    ask_until(page, re.compile("Waiting|Step|Done"))
    expect(page.locator("#status")).to_contain_text("Done", timeout=60_000)
    out = downloaded(page, "#download", tmp_path / "out")
    wider = np.asarray(Image.open(out))
    assert wider.shape[:2] == (height + round(height / 10), width + 40)
    assert np.array_equal(wider[:height, 40:], photo)
    assert out.read_bytes() == command_line(PHOTO, None, tmp_path / "sides.png", "--extend", "left=40,bottom=10%")
    expect(page.locator("#compare img")).to_have_count(2)
    sizes = page.locator("#compare img").evaluate_all("all => all.map((one) => [one.naturalWidth, one.naturalHeight])")
    assert sizes == [[wider.shape[1], wider.shape[0]]] * 2

    page.click("#continue")
    page.wait_for_function(f"document.querySelector('#painting canvas').width === {wider.shape[1]}")
    shown(page)
    expect(page.locator("#run")).to_have_text("Remove what is painted")
    page.locator("#history .grid-container button").first.click()
    page.wait_for_function(f"document.querySelector('#painting canvas').width === {width}")
    shown(page)
    stroke(page, *STRANGER)
    mask = save_mask(page, tmp_path)
    how_far.fill("16:9")
    page.locator("#gravity input").click()
    page.get_by_role("option", name="left").click()
    run(page)
    out = downloaded(page, "#download", tmp_path / "both")
    more = ("--aspect", "16:9", "--gravity", "left")
    assert out.read_bytes() == command_line(PHOTO, mask, tmp_path / "both.png", *more)


def test_a_telephone_shows_everything_without_scrolling_sideways(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    load(page, PHOTO)
    stroke(page, *STRANGER)
    page.fill("#count input[type=number]", "4")
    page.keyboard.press("Tab")
    run(page)
    expect(page.locator("#choice")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_an_error_is_one_sentence_and_says_what_to_do(page: Page, tmp_path: Path) -> None:
    load(page, PHOTO)
    page.click("#run")
    expect(page.locator("#status")).to_contain_text("nothing is painted: paint over what should go")
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    load_mask(page, text)
    expect(page.get_by_text("text.png is not a JPEG")).to_be_visible()
    assert str(tmp_path) not in page.content()
    page.fill("#model input", "celebahq")
    page.keyboard.press("Enter")
    expect(page.get_by_text("python -m mlx_moebius.models download celebahq")).to_be_visible()


def test_cancel_and_a_closed_tab_end_the_job(page: Page, browser: Browser, server: Server) -> None:
    load(page, PHOTO)
    stroke(page, *STRANGER)
    page.get_by_text("More settings").click()
    page.fill("#steps input[type=number]", "200")
    page.keyboard.press("Tab")
    page.click("#run")
    expect(page.locator("#live img")).to_be_visible(timeout=30_000)
    page.click("#cancel")
    expect(page.locator("#status")).to_contain_text("Cancelled.")
    expect(page.locator("#run")).to_be_enabled()
    ask_until(page, "of 200")
    assert server.desk.worker.busy
    page.close()  # with 200 steps to do
    deadline = time.monotonic() + 20
    while server.desk.worker.busy or server.desk.sessions:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_local_only_and_nothing_stays_behind(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlx_moebius.ui", "--no-browser", "--port", str(port)]
    process = subprocess.Popen(
        command, env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    timer = threading.Timer(60, process.kill)
    timer.start()
    assert process.stdout.readline().strip() == f"http://127.0.0.1:{port}"
    assert list(tmp_path.glob("moebius-*"))
    # On Linux all of 127.0.0.0/8 reaches a server that listens on every interface.
    with pytest.raises(OSError):  # noqa: PT011
        socket.create_connection(("127.0.0.2", port), timeout=5).close()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    timer.cancel()
    assert process.returncode == 0, errors
    assert not list(tmp_path.glob("moebius-*"))


def test_another_interface_gets_a_warning() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        command = [sys.executable, "-m", "mlx_moebius.ui", "--no-browser", "--host", "0.0.0.0"]
        command += ["--port", str(taken.getsockname()[1])]
        process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    warning, error = process.stderr.strip().splitlines()
    assert "everyone who can reach 0.0.0.0" in warning
    assert "is taken" in error
    assert process.returncode == 1


@pytest.mark.parametrize("client", [[sys.executable, "api.py"], ["sh", "api.sh"]])
def test_other_programs_get_the_same_bytes(server: Server, tmp_path: Path, client: list[str]) -> None:
    out = tmp_path / "out.png"
    command: list[str | Path] = [client[0], EXAMPLES / client[1], server.url, PHOTO, MASK, out]
    subprocess.run(command, check=True, timeout=120)
    assert out.read_bytes() == command_line(PHOTO, MASK, tmp_path / "cli.png", "--seed", "2")
    assert connections == []
