"""What the page shows, without a browser: new values for its components."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.compose import Settings
from mlx_moebius.photos.photo import photo_from_image
from mlx_moebius.ui.display import Display, Shown
from mlx_moebius.ui.handlers import Finished, LoadedMask, Options, Painting
from mlx_moebius.ui.jobs import Cancelled, Progress
from mlx_moebius.ui.layout import Controls, lay_out
from mlx_moebius.ui.page import explained
from mlx_moebius.ui.session import Fill

BEFORE, AFTER = Image.new("RGB", (8, 6), "red"), Image.new("RGB", (8, 6), "blue")


@pytest.fixture(scope="module")
def display() -> Display:
    with gr.Blocks(analytics_enabled=False):
        return Display(lay_out("nano", Settings()))


def fill(seed: int) -> Fill:
    return Fill(photo_from_image(AFTER), Path(f"{seed}/a.png"), seed, AFTER, BEFORE)


def changes(shown: Shown) -> dict[str, dict[str, Any]]:
    """What changes, by the component's elem_id."""
    return {
        component.elem_id: value.constructor_args if isinstance(value, gr.blocks.Block) else {"value": value}
        for component, value in shown.items()
        if component.elem_id
    }


def events(*those: Progress | Finished) -> Iterator[Progress | Finished]:
    return iter(those)


def failing(error: Exception) -> Iterator[Progress | Finished]:
    yield Progress(0, 1, None)
    raise error


def test_controls_are_the_fields_of_options(display: Display) -> None:
    assert [field.name for field in fields(Controls)] == [field.name for field in fields(Options)]
    assert display.layout.controls.all()[0] is display.layout.controls.model


def test_a_version_to_paint_on(display: Display) -> None:
    with pytest.warns(UserWarning, match="a note"):
        shown = display.painting(Painting("data:", (BEFORE, AFTER), 1, ("a note",)))
    assert list(shown) == display.board
    assert shown[display.layout.carriers.picture] == "data:"
    history = changes(shown)["history"]
    assert [name for _, name in history["value"]] == ["original", "1"]
    assert (history["visible"], history["selected_index"]) == (True, 1)
    assert changes(shown)["status"] == changes(shown)["extension"] == {"value": ""}
    assert not changes(display.painting(Painting("data:", (BEFORE,), 0)))["history"]["visible"]
    assert display.painting(None) == gr.skip()


def test_a_mask_with_its_warnings(display: Display) -> None:
    with pytest.warns(UserWarning, match="it is upside down"):
        assert display.mask(LoadedMask("data:", ("it is upside down",))) == "data:"


def test_a_run_from_start_to_end(display: Display) -> None:
    steps = Progress(0, 1, None), Progress(1, 2, AFTER), Progress(2, 2, None)
    run = display.run(events(*steps, Finished((fill(4),), ("<b>",))))
    start, first, second, end = (changes(shown) for shown in run)
    assert "Waiting to start" in start["status"]["value"]
    assert start["cancel"]["visible"]
    assert not start["run"]["interactive"]
    assert "Step 1 of 2" in first["status"]["value"]
    assert (first["live"]["visible"], first["compare"]["visible"], first["choice"]["visible"]) == (True, False, False)
    assert list(second) == ["status"]
    assert end["status"]["value"] == f'Done.<div class="warning">{html.escape("<b>")}</div>'
    assert (end["cancel"]["visible"], end["run"]["interactive"], end["live"]["visible"]) == (False, True, False)
    assert end["compare"]["value"] == (BEFORE, AFTER)
    assert end["download"] == {"value": str(Path("4/a.png"))}
    assert not end["choice"]["visible"]


def test_several_fills_to_choose_from(display: Display) -> None:
    choice = changes(display.finished(Finished((fill(4), fill(5)), ())))["choice"]
    assert [name for _, name in choice["value"]] == ["seed 4", "seed 5"]
    assert (choice["visible"], choice["selected_index"]) == (True, 0)


def test_a_cancelled_run_leads_back_to_the_painting(display: Display) -> None:
    _, end = display.run(failing(Cancelled()))
    assert end[display.layout.tabs].constructor_args["selected"] == "paint"
    assert changes(end)["status"] == {"value": "Cancelled."}
    assert changes(display.cancelled(None)).keys() == {"status", "cancel", "run"}


def test_an_error_is_shown_under_the_button_and_escaped(display: Display) -> None:
    with pytest.warns(UserWarning, match="no <photo>"):
        _, end = display.run(failing(MoebiusError("no <photo>")))
    shown = changes(end)
    assert shown["status"] == {"value": "no &lt;photo&gt;"}
    assert (shown["cancel"]["visible"], shown["run"]["interactive"]) == (False, True)


def test_all_that_a_run_shows_is_among_its_outputs(display: Display) -> None:
    run = events(Progress(0, 1, None), Progress(1, 1, AFTER), Finished((fill(1), fill(2)), ()))
    for shown in (*display.run(run), *display.run(failing(Cancelled()))):
        assert shown.keys() <= set(display.stage)


def test_an_error_of_another_handler_is_a_message_of_the_page() -> None:
    def handler(line: str) -> None:
        raise MoebiusError(line)

    with pytest.raises(gr.Error, match="one line") as raised:
        explained(handler)("one line")
    assert raised.value.title == "Not possible"
    assert not raised.value.print_exception
