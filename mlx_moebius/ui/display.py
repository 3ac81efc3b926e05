"""What the page shows of what a handler returns: new values for components."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import gradio as gr

from mlx_moebius.errors import MoebiusError
from mlx_moebius.ui.handlers import Finished, LoadedMask, Painting
from mlx_moebius.ui.jobs import Cancelled, Progress
from mlx_moebius.ui.layout import Layout
from mlx_moebius.ui.session import Fill

Shown: TypeAlias = dict[Any, Any]
"""Components and their new values, or `gr.skip()`."""

NOT_POSSIBLE: dict[str, Any] = {"title": "Not possible", "duration": 12}


@dataclass(frozen=True, slots=True)
class Display:
    """A method for each thing to show; pictures are copied, since sessions keep theirs and Gradio is not to touch them.

    `board` and `stage` are the components that `painting` and `run` change.
    """

    layout: Layout

    @property
    def board(self) -> list[Any]:
        """Where a version is shown, and what belongs to the one before."""
        on = self.layout
        return [on.carriers.picture, on.tabs, on.history, on.masks.saved, on.action.progress, on.controls.extend]

    @property
    def stage(self) -> list[Any]:
        """Where a run is shown."""
        on, result, action = self.layout, self.layout.result, self.layout.action
        return [
            *(action.progress, action.cancel, action.run, on.tabs),
            *(result.live, result.compare, result.choice, result.download, result.take),
        ]

    def painting(self, painting: Painting | None) -> Shown:
        """A version to paint on: no mask file, no status, no extension."""
        if painting is None:
            return dict(gr.skip())
        for note in painting.notes:
            gr.Warning(note)
        pictures = [
            (picture.copy(), str(index) if index else "original") for index, picture in enumerate(painting.versions)
        ]
        history = gr.Gallery(pictures, visible=len(pictures) > 1, selected_index=painting.current)
        tabs = gr.Tabs(visible=True, selected="paint")
        return dict(zip(self.board, [painting.picture, tabs, history, gr.File(visible=False), "", ""], strict=True))

    def mask(self, mask: LoadedMask) -> str:
        """A mask for the painting area."""
        for line in mask.warnings:
            gr.Warning(line)
        return mask.picture

    def saved_mask(self, file: Path) -> gr.File:
        """A mask's file."""
        return gr.File(str(file), visible=True)

    def fill(self, fill: Fill) -> Shown:
        """A fill beside the photo before, and its file."""
        pair = fill.before.copy(), fill.picture.copy()
        return {self.layout.result.compare: pair, self.layout.result.download: str(fill.file)}

    def run(self, events: Iterator[Progress | Finished]) -> Iterator[Shown]:
        """A run from its start to its end, which may be an error, or that it was cancelled."""
        try:
            for event in events:
                yield self.finished(event) if isinstance(event, Finished) else self.progress(event)
        except Cancelled:
            yield self.painting_again("Cancelled.")
        except MoebiusError as error:
            gr.Warning(str(error), **NOT_POSSIBLE)
            yield self.painting_again(html.escape(str(error)))

    def progress(self, progress: Progress) -> Shown:
        """The bar; before the first step the buttons change; a picture of the fill so far takes the result's place."""
        action, result = self.layout.action, self.layout.result
        shown: Shown = {action.progress: progress_bar(progress.done, progress.total)}
        if progress.done == 0:
            shown |= {action.cancel: gr.Button(visible=True), action.run: gr.Button(interactive=False)}
            shown |= {result.take: gr.Row(visible=False)}
        if progress.picture is not None:
            shown |= {result.live: gr.Image(progress.picture, visible=True), result.choice: gr.Gallery(visible=False)}
            shown |= {result.compare: gr.ImageSlider(visible=False), self.layout.tabs: gr.Tabs(selected="result")}
        return shown

    def finished(self, finished: Finished) -> Shown:
        """The first fill, all of them to choose from, and warnings."""
        result = self.layout.result
        lines = "".join(f'<div class="warning">{html.escape(line)}</div>' for line in finished.warnings)
        first = self.fill(finished.fills[0])
        fills = [(fill.picture.copy(), f"seed {fill.seed}") for fill in finished.fills]
        return self.idle(f"Done.{lines}") | {
            self.layout.tabs: gr.Tabs(selected="result"),
            result.live: gr.Image(visible=False),
            result.compare: gr.ImageSlider(first[result.compare], visible=True),
            result.choice: gr.Gallery(fills, visible=len(fills) > 1, selected_index=0),
            result.download: first[result.download],
            result.take: gr.Row(visible=True),
        }

    def painting_again(self, status: str) -> Shown:
        """Back to the painting area, which is as it was, with the reason why there is no fill (HTML)."""
        result = self.layout.result
        return self.idle(status) | {
            self.layout.tabs: gr.Tabs(selected="paint"),
            result.live: gr.Image(visible=False),
            result.compare: gr.ImageSlider(visible=True),
        }

    def idle(self, status: str) -> Shown:
        """The status (HTML) and the buttons when nothing runs."""
        action = self.layout.action
        return {
            action.progress: status,
            action.cancel: gr.Button(visible=False),
            action.run: gr.Button(interactive=True),
        }

    def cancelled(self, _: None) -> Shown:
        """At once, without waiting for the run to end."""
        return self.idle("Cancelled.")


def progress_bar(done: int, total: int) -> str:
    """The bar and its text, as HTML."""
    text = f"Step {done} of {total}" if done else "Waiting to start"
    return f'<span>{text}</span><progress value="{done}" max="{total}" aria-label="{text}"></progress>'
