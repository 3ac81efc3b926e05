"""The review page in a headless Chromium, as its users see it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from mlx_moebius.folder import review
from mlx_moebius.folder.ledger import Record
from tests.support.browser import chromium
from tests.support.pictures import picture


def record(name: str, colour_ratio: float, sharpness: float) -> Record:
    seam: dict[str, object] = {"colour_ratio": colour_ratio, "gradient_ratio": 0.5, "sharpness": sharpness}
    if sharpness < 0.5:
        seam |= {"luma": [0.42, 0.9, 1.0, None], "chroma": [1.0, 1.31, 1.0, None]}
    hashes = {"input_sha256": f"{len(name):064x}", "output_sha256": f"{len(name) + 1:064x}"}
    ended = {"input": name, "output": name, "enlargement": 1.0, "seed": 0, "warnings": ["<b>soft</b>"]}
    return ended | hashes | {"seam": seam}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, list[str]]]:
    """A page of three photos and an error, and what the browser asked the network or complained about."""
    root = tmp_path_factory.mktemp("review")
    folder, out = root / "my photos", root / "out"
    names = {"good.jpg": (0.6, 1.0), "sub/worst #1.png": (4.0, 1.1), "bad <i>.tif": (0.9, 0.4)}
    for index, name in enumerate(names):
        for where, offset in ((folder, 0), (out, 10)):
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            picture("RGB", 300, 200, index + offset).save(where / name)
    records = [record(name, *figures) for name, figures in names.items()]
    review.write(folder, out, [*records, {"input": "x.jpg", "error": "x.jpg is <damaged>"}])
    noticed: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1100, "height": 800})
        shown.on("request", lambda request: noticed.append(request.url))
        shown.on("console", lambda message: noticed.append(message.text))
        shown.on("pageerror", lambda error: noticed.append(str(error)))
        shown.goto((out / review.NAME).as_uri())
        yield shown, noticed
        browser.close()


def test_errors_come_first_then_the_worst_seam_or_blur(page: tuple[Page, list[str]]) -> None:
    text = page[0].inner_text("body")
    order = ["3 photos filled, 1 failed", "x.jpg is <damaged>", "sub/worst #1.png", "bad <i>.tif", "good.jpg"]
    assert [text.index(each) for each in order] == sorted(text.index(each) for each in order)
    assert "seam 4.0 times" in text
    assert "0.4 times as sharp" in text
    assert text.count("luma of 1 pixel 0.42 times as strong, chroma of 2 pixels 1.31 times as strong") == 1
    assert "<b>soft</b>" in text


def test_nothing_is_loaded_from_anywhere_and_nothing_is_wrong(page: tuple[Page, list[str]]) -> None:
    shown, noticed = page
    beyond = [line for line in noticed if not line.startswith("data:image/jpeg") and not line.endswith(review.NAME)]
    assert beyond == []
    sizes = shown.eval_on_selector_all("img", "images => images.map(image => [image.naturalWidth, image.width])")
    assert len(sizes) == 6
    assert all(natural == 300 and width > 200 for natural, width in sizes)


def test_the_slider_uncovers_the_result(page: tuple[Page, list[str]]) -> None:
    shown, _ = page
    clip = "image => getComputedStyle(image).clipPath"
    slider = shown.locator("input[type=range]").first
    after = shown.locator("img[alt=after]").first
    assert "50%" in after.evaluate(clip)
    slider.focus()
    shown.keyboard.press("Home")
    assert "50%" not in after.evaluate(clip)
    box = shown.locator(".pair").first.bounding_box()
    assert box is not None
    middle = {"x": box["x"] + box["width"] / 4, "y": box["y"] + 20, "width": 8, "height": 8}
    result = shown.screenshot(clip=middle)  # type: ignore[arg-type]
    shown.keyboard.press("End")
    assert shown.screenshot(clip=middle) != result  # type: ignore[arg-type]


def test_links_lead_to_the_files(page: tuple[Page, list[str]]) -> None:
    shown, _ = page
    targets = shown.eval_on_selector_all(
        "a", "links => links.map(link => decodeURIComponent(new URL(link.href).pathname))"
    )
    assert len(targets) == 6
    assert all(Path(target).is_file() for target in targets)


@pytest.mark.slow
def test_crops_round_the_fills_show_the_photos_own_pixels(page: tuple[Page, list[str]], tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    for where, seed in ((folder, 1), (out, 2)):
        where.mkdir()
        picture("RGB", 1600, 1200, seed).save(where / "a.png")
    filled = [[700, 500, 900, 640], [720, 520, 730, 530], [10, 10, 40, 40]]  # the second lies in the first one's crop
    review.write(folder, out, [record("a.png", 1.0, 1.0) | {"boxes": filled}])
    shown = page[0].context.browser.new_page(viewport={"width": 1600, "height": 800})  # type: ignore[union-attr]
    shown.goto((out / review.NAME).as_uri())
    sizes = shown.eval_on_selector_all(
        "img[alt=after]", "images => images.map(image => [image.naturalWidth, image.width, image.naturalHeight])"
    )
    shown.close()
    assert sizes == [[480, 480, 360], [328, 328, 320], [320, 320, 320]]
    assert review.windows(filled, 1600, 1200) == [(636, 410, 964, 730), (0, 0, 320, 320)]
