"""What a test does with the page: open, paint in photo pixels, run, look at what is painted and shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, expect

EXAMPLES = Path(__file__).parents[2] / "examples"
PHOTO, MASK = EXAMPLES / "landscape.png", EXAMPLES / "landscape_mask.png"
STRANGER = ((154, 180), (154, 236), (165, 236), (165, 180), (146, 218))  # in PHOTO, points of a curve over the person

STATE = "const { state } = await import('/static/state.js'); const photo = state.photo;"
ON_SCREEN = """async (places) => {
    const { view } = await import('/static/stage.js');
    return places.map((place) => view.toStage(place));
}"""
PAINTED = """async () => {
    const { state, version } = await import('/static/state.js');
    const { Raster } = await import('/static/raster.js');
    const { width, height } = version();
    const raster = new Raster(0, 0, width, height);
    for (const stroke of state.photo.strokes.done) raster.draw(stroke);
    let runs = [], last = -1;  // where the value changes
    for (const [i, bit] of raster.bits.entries()) if (bit !== (last < 0 ? 0 : raster.bits[last])) runs.push(last = i);
    return { width, height, runs };
}"""


@dataclass(frozen=True, slots=True)
class Stage:
    """A page and its stage. Places are photo pixels."""

    page: Page

    def open(self, *files: Path) -> None:
        """Choose files; one is shown sharply."""
        self.page.set_input_files("#files", list(files))
        expect(self.page.locator("#name")).to_contain_text(files[0].name)
        self.sharp()

    def sharp(self) -> None:
        """All tiles have come."""
        expect(self.page.locator("#stage")).to_have_attribute("data-complete", "true")

    def ask(self, script: str) -> Any:
        """The value of an expression, in which `state` and `photo` are what the page knows."""
        return self.page.evaluate(f"async () => {{ {STATE} return {script}; }}")

    def on_screen(self, *places: tuple[float, float]) -> list[tuple[float, float]]:
        """Where photo pixels are on the screen."""
        return [cast(tuple[float, float], tuple(place)) for place in self.page.evaluate(ON_SCREEN, list(places))]

    def stroke(self, *places: tuple[float, float], button: Any = "left", steps: int = 4) -> None:
        """Paint from place to place with the mouse."""
        first, *rest = self.on_screen(*places)
        self.page.mouse.move(*first)
        self.page.mouse.down(button=button)
        for place in rest:
            self.page.mouse.move(*place, steps=steps)
        self.page.mouse.up(button=button)

    def painted(self) -> NDArray[np.bool_]:
        """What is painted, by the page's own rules, without loaded masks. [H, W]"""
        found = self.page.evaluate(PAINTED)
        mask = np.zeros(found["height"] * found["width"], bool)
        ends = [*found["runs"], len(mask)]
        for start, end in zip(ends[::2], ends[1::2], strict=False):
            mask[start:end] = True
        return mask.reshape(found["height"], found["width"])

    def strokes(self) -> int:
        """How many are on the list."""
        return int(self.ask("photo.strokes.done.length"))

    def view(self) -> dict[str, float]:
        """Where the photo lies on the stage."""
        return cast(dict[str, float], self.page.evaluate("async () => (await import('/static/stage.js')).view.state"))

    def finish(self, text: str | re.Pattern[str] = "Done in") -> None:
        """Wait until the status says so."""
        expect(self.page.locator("#status")).to_contain_text(text, timeout=60_000)
        self.sharp()

    def run(self) -> None:
        """Run by the button, to the end."""
        self.page.click("#run")
        self.finish()

    def downloaded(self, button: str, folder: Path) -> Path:
        """The file that a button brings."""
        with self.page.expect_download() as download:
            self.page.click(button)
        folder.mkdir(exist_ok=True)
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path

    def mask(self, folder: Path) -> NDArray[np.bool_]:
        """The mask that the server would fill. [H, W]"""
        if closed := self.page.locator("#extras").is_hidden():
            self.page.click("#extras-open")
        mask = np.asarray(Image.open(self.downloaded("#save-mask", folder))) > 0
        if closed:
            self.page.click("#extras-open")
        return mask

    def versions(self) -> list[str]:
        """What stands under the versions."""
        return self.page.locator("#versions button").all_inner_texts()

    def without_detail(self) -> None:
        """Fills are quick from now on."""
        self.page.locator("#setting-detail").evaluate("box => { box.checked = false; }")

    def set(self, name: str, value: str) -> None:
        """A setting, under "More" where it is there; the frame's is with the tools."""
        if name == "extend":
            if self.page.locator("#extras").is_hidden():
                self.page.click("#extras-open")
            self.page.fill("#setting-extend", value)
            return
        if self.page.locator("#settings").is_hidden():
            self.page.click("#fold")
        if self.page.locator("#settings details").get_attribute("open") is None:
            self.page.click("#settings summary")
        self.page.fill(f"#setting-{name}", value)


def pixel(page: Page, place: tuple[float, float]) -> list[int]:
    """A pixel of the photo as the stage shows it, after the next frame."""
    return list(
        page.evaluate(
            """async ([x, y]) => {
        await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
        const context = document.querySelector('#picture').getContext('2d');
        return [...context.getImageData(Math.round(x), Math.round(y), 1, 1).data];
    }""",
            list(place),
        )
    )
