"""The page itself: what is on it, and what happens when it is touched."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.extend import GRAVITIES
from mlx_moebius.models import BUNDLED, RELEASED
from mlx_moebius.photos.mask_files import load_mask
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.photos.save import check_output, default_output, write_photo
from mlx_moebius.ui.jobs import Cancelled, Filled, Job, Worker, default_settings
from mlx_moebius.ui.session import Session, data_url, without_folder

HERE = Path(__file__).parent
MAX_SEEDS = 8
MAX_STEPS = 200
DILATE = ["auto", "0", "3", "5", "9", "15", "25", "41"]
PHOTOS = [".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".avif", ".bmp", ".heic", ".heif"]
READY = "while (!window.moebius) await new Promise((next) => setTimeout(next, 20));"  # it comes with the first photo
LOAD = f"async (url) => {{ {READY} await window.moebius.load(url); }}"
LOAD_MASK = f"async (url) => {{ {READY} await window.moebius.loadMask(url); }}"
RUN_LABEL = "Remove what is painted"
RELABEL = f"(text) => text.trim() ? 'Extend the frame' : '{RUN_LABEL}'"
WITH_MASK = "(_, ...rest) => [window.moebius.mask(), ...rest]"
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "moebius", "concurrency_limit": 1}
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

T = TypeVar("T")


def explained(function: Callable[..., T]) -> Callable[..., T]:
    """Show a MoebiusError on the page instead of a traceback in the terminal."""

    @wraps(function)
    def inner(*arguments: Any) -> T:
        try:
            return function(*arguments)
        except MoebiusError as error:
            raise gr.Error(str(error), title="Not possible", duration=12, print_exception=False) from None

    return inner


class Desk:
    """All visitors' sessions, and the worker that they share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.worker = Worker()
        self.sessions: dict[str, Session] = {}

    def session(self, request: gr.Request) -> Session:
        """The visitor's own."""
        name = str(request.session_hash)
        if name not in self.sessions:
            self.sessions[name] = Session(Path(tempfile.mkdtemp(dir=self.folder, prefix="session-")))
        return self.sessions[name]

    def leave(self, request: gr.Request) -> None:
        """The tab was closed: its job ends, its photos are forgotten."""
        session = self.sessions.pop(str(request.session_hash), None)
        if session is not None:
            session.close()

    def run(
        self,
        session: Session,
        painted: str,
        model: str,
        changes: dict[str, Any],
        seeds: list[int],
        extend: str,
        gravity: str,
    ) -> Iterator[dict[str, Any]]:
        """Fill what is painted, once for each seed, or extend the frame; painting is not needed for that.

        Yields what the page is to show, by the name of the part.
        """
        extension = session.extension(extend, gravity)
        if extension and len(seeds) > 1:
            raise MoebiusError("the frame is extended with one seed at a time: set How many to 1")
        mask = None if extension and not painted else session.mask(painted)
        job = Job(session.photo, mask, model, changes | {"extend": extension}, seeds)
        session.stopped = job.stopped
        filled: list[Filled] = []
        yield {"status": status(0, 1), "running": True}
        for event in job.run(self.worker):
            if isinstance(event, Filled):
                filled.append(event)
            elif event.picture is not None:
                yield {"status": status(event.done, event.total), "live": event.picture}
            else:
                yield {"status": status(event.done, event.total)}
        warnings = session.finish(filled, extension)
        lines = "".join(f'<div class="warning">{html.escape(line)}</div>' for line in warnings)
        yield {"status": f"Done.{lines}", "finished": True}

    def fill(
        self,
        photo: str,
        mask: str,
        model: str,
        changes: dict[str, Any],
        seed: int,
    ) -> Path:
        """Files in, a file out, as on the command line."""
        source = Path(photo)
        try:
            read = read_photo(source)
            check_output(read, source)
            wanted, _ = load_mask(read, [Path(mask)])
        except MoebiusError as error:
            raise without_folder(without_folder(error, source), Path(mask)) from None
        events = Job(read, wanted, model, changes, [seed]).run(self.worker)
        filled = next(event for event in events if isinstance(event, Filled))
        file = default_output(Path(tempfile.mkdtemp(dir=self.folder, prefix="api-")) / source.name)
        write_photo(filled.result.photo, file, provenance=filled.provenance)
        return file


def status(done: int, total: int) -> str:
    """The progress bar."""
    text = f"Step {done} of {total}" if done else "Waiting to start"
    return f'<span>{text}</span><progress value="{done}" max="{total}" aria-label="{text}"></progress>'


def settings_from(steps: float, guidance: float, dilate: str, context: float) -> dict[str, Any]:
    """Fields of `Settings` as the page's controls give them; 0 steps or guidance are the model's own."""
    if not 0 <= steps <= MAX_STEPS:
        raise MoebiusError(f"steps must be 1 to {MAX_STEPS}")
    return {
        "num_steps": int(steps) or None,
        "guidance_scale": float(guidance) or None,
        "dilate": dilate if dilate == "auto" else int(dilate),
        "context": float(context),
    }


def build(desk: Desk, model: str) -> gr.Blocks:
    """The page. Raises MoebiusError when the model cannot be loaded."""
    defaults = default_settings(desk.worker, model)
    with gr.Blocks(title="Moebius", analytics_enabled=False, fill_width=False) as page:
        gr.HTML("<h1>Moebius</h1><p>Paint over what should go. Nothing leaves this computer.</p>", elem_id="title")
        sent = gr.Textbox(visible=False)  # the mask on its way to the server, a data URL
        picture = gr.Textbox(visible=False)  # the photo on its way to the painting area
        drawn = gr.Textbox(visible=False)  # a mask file on its way there
        with gr.Group(visible=False):  # what other programs call
            api_photo, api_mask, filled = gr.File(label="Photo"), gr.File(label="Mask"), gr.File(label="Filled")
            api_steps, api_guidance = gr.Number(0, label="Steps"), gr.Number(0, label="Guidance")  # the model's
            endpoint = gr.Button()
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                upload = gr.File(label="Photo", file_types=PHOTOS, height=160, elem_id="upload")
                with gr.Tabs(visible=False) as tabs:
                    with gr.Tab("Paint", id="paint"):
                        gr.HTML(
                            html_template=(HERE / "editor.html").read_text("utf-8"),
                            js_on_load=(HERE / "editor.js").read_text("utf-8"),
                            apply_default_css=False,
                            elem_id="painting",
                        )
                    with gr.Tab("Result", id="result"):
                        live = gr.Image(
                            label="So far", interactive=False, visible=False, height=520, buttons=[], elem_id="live"
                        )
                        compare = gr.ImageSlider(
                            label="Before and after",
                            interactive=False,
                            max_height=640,
                            buttons=["fullscreen"],
                            elem_id="compare",
                        )
                        choice = gr.Gallery(
                            label="Choose one", columns=4, height="auto", object_fit="contain",
                            allow_preview=False, visible=False, interactive=False, elem_id="choice",
                        )  # fmt: skip
                        with gr.Row(visible=False) as take:
                            download = gr.DownloadButton("Download", variant="primary", elem_id="download")
                            go_on = gr.Button("Continue on this", elem_id="continue")
            with gr.Column(scale=1, min_width=280):
                run = gr.Button(RUN_LABEL, variant="primary", size="lg", elem_id="run")
                cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel")
                progress = gr.HTML("", elem_id="status")
                name = gr.Dropdown(
                    [*BUNDLED, *RELEASED], value=model, label="Model", allow_custom_value=True, elem_id="model",
                    info="places2 for photos; nano is a demonstration; or a converted folder",
                )  # fmt: skip
                with gr.Row():
                    seed = gr.Number(0, label="First seed", precision=0, minimum=0, min_width=80, elem_id="seed")
                    count = gr.Slider(1, MAX_SEEDS, 1, step=1, label="How many", min_width=140, elem_id="count")
                with gr.Accordion("Extend the frame", open=False, elem_id="extend"):
                    extend = gr.Textbox(
                        label="How far", placeholder="left=256,top=10%", max_lines=1, elem_id="extension",
                        info="Pixels or per cent on each side, or an aspect such as 16:9",
                    )  # fmt: skip
                    gravity = gr.Dropdown(
                        list(GRAVITIES), value="center", label="Where the photo stays", info="For an aspect",
                        elem_id="gravity",
                    )  # fmt: skip
                with gr.Accordion("More settings", open=False):
                    steps = gr.Slider(2, MAX_STEPS, defaults.num_steps, step=1, label="Steps", elem_id="steps")
                    guidance = gr.Slider(1, 10, defaults.guidance_scale, step=0.1, label="Guidance")
                    dilate = gr.Dropdown(DILATE, value="auto", label="Grow the mask", info="Pixels, or by each part")
                    context = gr.Slider(1, 6, defaults.context, step=0.1, label="Context", info="What the network sees")
                with gr.Row():
                    mask_file = gr.UploadButton(
                        "Load mask", file_types=PHOTOS, size="sm", min_width=100, elem_id="load-mask"
                    )
                    save_mask = gr.Button("Save mask", size="sm", min_width=100, elem_id="save-mask")
                saved = gr.File(label="The mask", visible=False, interactive=False, elem_id="saved-mask")
                history = gr.Gallery(
                    label="Versions", columns=3, height=150, allow_preview=False, visible=False, interactive=False,
                    elem_id="history",
                )  # fmt: skip

        def versions(session: Session) -> Any:
            pictures = [(picture.copy(), "original" if not i else str(i)) for i, picture in enumerate(session.pictures)]
            return gr.Gallery(pictures, visible=len(pictures) > 1, selected_index=session.current)

        def painting(session: Session) -> list[Any]:
            """What shows a version to paint on: picture, tabs, history, no mask file, no status, no extension."""
            tabs = gr.Tabs(visible=True, selected="paint")
            return [data_url(session.picture, "webp"), tabs, versions(session), gr.File(visible=False), "", ""]

        @explained
        def on_open(path: str | None, request: gr.Request) -> list[Any]:
            if path is None:
                return [gr.skip()] * 6
            session = desk.session(request)
            session.stop()
            for note in session.open(path):
                gr.Warning(note)
            return painting(session)

        @explained
        def on_mask(path: str, request: gr.Request) -> str:
            mask, warnings = desk.session(request).open_mask(path)
            for line in warnings:
                gr.Warning(line)
            return data_url(mask, "png")

        @explained
        def on_save_mask(painted: str, request: gr.Request) -> Any:
            return gr.File(str(desk.session(request).save_mask(painted)), visible=True)

        def chosen(session: Session) -> list[Any]:
            fill = session.fills[session.chosen]
            return [(fill.before.copy(), fill.picture.copy()), str(fill.file)]

        parts = [progress, cancel, run, tabs, live, compare, choice, download, take]

        def on_run(
            painted: str,
            model: str,
            steps: float,
            guidance: float,
            dilate: str,
            context: float,
            seed: float,
            count: float,
            extend: str,
            gravity: str,
            request: gr.Request,
        ) -> Iterator[dict[Any, Any]]:
            session = desk.session(request)
            idle = {cancel: gr.Button(visible=False), run: gr.Button(interactive=True), live: gr.Image(visible=False)}
            back = {**idle, tabs: gr.Tabs(selected="paint"), compare: gr.ImageSlider(visible=True)}
            try:
                seeds = [int(seed) + i for i in range(min(int(count), MAX_SEEDS))]
                changes = settings_from(steps, guidance, dilate, context)
                for news in desk.run(session, painted, model, changes, seeds, extend, gravity):
                    show: dict[Any, Any] = {progress: news["status"]}
                    if "running" in news:
                        show |= {
                            cancel: gr.Button(visible=True),
                            run: gr.Button(interactive=False),
                            take: gr.Row(visible=False),
                        }
                    if "live" in news:
                        show |= {live: gr.Image(news["live"], visible=True), compare: gr.ImageSlider(visible=False)}
                        show |= {tabs: gr.Tabs(selected="result"), choice: gr.Gallery(visible=False)}
                    if "finished" in news:
                        pair, file = chosen(session)
                        fills = [(fill.picture.copy(), f"seed {fill.seed}") for fill in session.fills]
                        show |= {**idle, tabs: gr.Tabs(selected="result"), download: file, take: gr.Row(visible=True)}
                        show |= {compare: gr.ImageSlider(pair, visible=True)}
                        show |= {choice: gr.Gallery(fills, visible=len(fills) > 1, selected_index=0)}
                    yield show
            except Cancelled:
                yield {**back, progress: "Cancelled."}
            except MoebiusError as error:
                gr.Warning(str(error), title="Not possible", duration=12)
                yield {**back, progress: html.escape(str(error))}

        def on_cancel(request: gr.Request) -> list[Any]:
            desk.session(request).stop()
            return ["Cancelled.", gr.Button(visible=False), gr.Button(interactive=True)]

        def on_choice(event: gr.SelectData, request: gr.Request) -> list[Any]:
            session = desk.session(request)
            session.chosen = int(event.index)
            return chosen(session)

        @explained
        def on_go_on(request: gr.Request) -> list[Any]:
            session = desk.session(request)
            session.go_on()
            return painting(session)

        def on_version(event: gr.SelectData, request: gr.Request) -> list[Any]:
            session = desk.session(request)
            session.go_to(int(event.index))
            return painting(session)

        @explained
        def on_model(model: str) -> list[Any]:
            settings = default_settings(desk.worker, model)
            return [settings.num_steps, settings.guidance_scale]

        @explained
        def fill(
            photo: str,
            mask: str,
            seed: float,
            steps: float,
            guidance: float,
            dilate: str,
            context: float,
            model: str,
        ) -> str:
            """Remove what a mask covers from a photo; the file that comes back has its format and metadata."""
            if not photo or not mask:
                raise MoebiusError("give a photo and a mask")
            return str(desk.fill(photo, mask, model, settings_from(steps, guidance, dilate, context), int(seed)))

        board = [picture, tabs, history, saved, progress, extend]
        showing: dict[str, Any] = {"fn": None, "inputs": [picture], "js": LOAD}
        upload.change(on_open, [upload], board, **PRIVATE).success(**showing, api_visibility="private")
        go_on.click(on_go_on, None, board, **PRIVATE).success(**showing, api_visibility="private")
        history.select(on_version, None, board, **PRIVATE).success(**showing, api_visibility="private")
        mask_file.upload(on_mask, [mask_file], [drawn], **PRIVATE).success(
            fn=None, inputs=[drawn], js=LOAD_MASK, api_visibility="private"
        )
        save_mask.click(on_save_mask, [sent], [saved], js=WITH_MASK, **PRIVATE)
        choice.select(on_choice, None, [compare, download], **PRIVATE)
        name.change(on_model, [name], [steps, guidance], **PRIVATE)
        extend.change(fn=None, inputs=[extend], outputs=[run], js=RELABEL, api_visibility="private")
        running = run.click(
            on_run,
            [sent, name, steps, guidance, dilate, context, seed, count, extend, gravity],
            parts,
            js=WITH_MASK,
            **ONE_AT_A_TIME,
            **PRIVATE,
        )
        endpoint.click(
            fill,
            [api_photo, api_mask, seed, api_steps, api_guidance, dilate, context, name],
            [filled],
            api_name="fill",
            **ONE_AT_A_TIME,
        )
        cancel.click(on_cancel, None, [progress, cancel, run], cancels=[running], queue=False, **PRIVATE)
        page.unload(desk.leave)
    return page
