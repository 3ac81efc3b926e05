"""What is on the page: its components, a function for each area. What they do is in `page.py`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import gradio as gr

from mlx_moebius.inpainting.compose import Settings
from mlx_moebius.inpainting.extend import GRAVITIES
from mlx_moebius.models import BUNDLED, RELEASED
from mlx_moebius.photos.formats import EXTENSIONS
from mlx_moebius.ui.handlers import MAX_SEEDS, MAX_STEPS

HERE = Path(__file__).parent
DILATE = ["auto", "0", "3", "5", "9", "15", "25", "41"]
PHOTOS = list(EXTENSIONS)
RUN_LABEL = "Remove what is painted"


@dataclass(frozen=True, slots=True)
class Carriers:
    """Invisible: data URLs on their way between the server and the painting area."""

    sent: gr.Textbox  # the mask, to the server
    picture: gr.Textbox  # the photo, to the painting area
    drawn: gr.Textbox  # a mask file, to the painting area


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Invisible: what other programs call."""

    photo: gr.File
    mask: gr.File
    filled: gr.File
    steps: gr.Number
    guidance: gr.Number
    button: gr.Button


@dataclass(frozen=True, slots=True)
class Result:
    """The tab that shows what becomes of the photo."""

    live: gr.Image
    compare: gr.ImageSlider
    choice: gr.Gallery
    take: gr.Row  # what holds the two buttons
    download: gr.DownloadButton
    go_on: gr.Button


@dataclass(frozen=True, slots=True)
class Action:
    """Start, stop, and how far it is."""

    run: gr.Button
    cancel: gr.Button
    progress: gr.HTML


@dataclass(frozen=True, slots=True)
class Controls:
    """How to fill, in the order of the fields of `handlers.Options`."""

    model: gr.Dropdown
    steps: gr.Slider
    guidance: gr.Slider
    dilate: gr.Dropdown
    context: gr.Slider
    seed: gr.Number
    count: gr.Slider
    extend: gr.Textbox
    gravity: gr.Dropdown
    detail: gr.Checkbox

    def all(self) -> list[Any]:
        """Them in this order."""
        return [getattr(self, field.name) for field in fields(self)]


@dataclass(frozen=True, slots=True)
class MaskFiles:
    """Masks from and to files."""

    load: gr.UploadButton
    save: gr.Button
    saved: gr.File


@dataclass(frozen=True, slots=True)
class Layout:
    """Every component that something happens with, by area."""

    carriers: Carriers
    endpoint: Endpoint
    upload: gr.File
    tabs: gr.Tabs
    result: Result
    action: Action
    controls: Controls
    masks: MaskFiles
    history: gr.Gallery


def lay_out(model: str, defaults: Settings) -> Layout:
    """Everything on the page, in a `gr.Blocks` that is being built; the controls start with `model`'s settings."""
    gr.HTML("<h1>Moebius</h1><p>Paint over what should go. Nothing leaves this computer.</p>", elem_id="title")
    carriers = Carriers(gr.Textbox(visible=False), gr.Textbox(visible=False), gr.Textbox(visible=False))
    endpoint = lay_out_endpoint()
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
                    result = lay_out_result()
        with gr.Column(scale=1, min_width=280):
            action = lay_out_action()
            controls = lay_out_controls(model, defaults)
            masks = lay_out_masks()
            history = gr.Gallery(
                label="Versions", columns=3, height=150, allow_preview=False, visible=False, interactive=False,
                elem_id="history",
            )  # fmt: skip
    return Layout(carriers, endpoint, upload, tabs, result, action, controls, masks, history)


def lay_out_endpoint() -> Endpoint:
    """Steps and guidance are its own, so that they are the model's unless a program says otherwise."""
    with gr.Group(visible=False):
        photo, mask, filled = gr.File(label="Photo"), gr.File(label="Mask"), gr.File(label="Filled")
        steps, guidance = gr.Number(0, label="Steps"), gr.Number(0, label="Guidance")
        return Endpoint(photo, mask, filled, steps, guidance, gr.Button())


def lay_out_result() -> Result:
    """The fill while it grows, then beside the photo before; several to choose from; what to do with it."""
    live = gr.Image(label="So far", interactive=False, visible=False, height=520, buttons=[], elem_id="live")
    compare = gr.ImageSlider(
        label="Before and after", interactive=False, max_height=640, buttons=["fullscreen"], elem_id="compare"
    )
    choice = gr.Gallery(
        label="Choose one", columns=4, height="auto", object_fit="contain", allow_preview=False, visible=False,
        interactive=False, elem_id="choice",
    )  # fmt: skip
    with gr.Row(visible=False) as take:
        download = gr.DownloadButton("Download", variant="primary", elem_id="download")
        go_on = gr.Button("Continue on this", elem_id="continue")
    return Result(live, compare, choice, take, download, go_on)


def lay_out_action() -> Action:
    """The buttons that are always in sight, and the status under them."""
    return Action(
        run=gr.Button(RUN_LABEL, variant="primary", size="lg", elem_id="run"),
        cancel=gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel"),
        progress=gr.HTML("", elem_id="status"),
    )


def lay_out_controls(model: str, defaults: Settings) -> Controls:
    """Model and seeds in sight, the frame and the rest folded away."""
    name = gr.Dropdown(
        [*BUNDLED, *RELEASED], value=model, label="Model", allow_custom_value=True, elem_id="model",
        info="places2 for photos; nano is a demonstration; or a converted folder",
    )  # fmt: skip
    with gr.Row():
        seed = gr.Number(0, label="First seed", precision=0, minimum=0, min_width=80, elem_id="seed")
        count = gr.Slider(1, MAX_SEEDS, 1, step=1, label="How many", min_width=140, elem_id="count")
    detail = gr.Checkbox(
        defaults.detail, label="Match the photo's detail", elem_id="detail",
        info="Sharp parts of the photo itself, where the fill would be soft",
    )  # fmt: skip
    with gr.Accordion("Extend the frame", open=False, elem_id="extend"):
        extend = gr.Textbox(
            label="How far", placeholder="left=256,top=10%", max_lines=1, elem_id="extension",
            info="Pixels or per cent on each side, or an aspect such as 16:9",
        )  # fmt: skip
        gravity = gr.Dropdown(
            list(GRAVITIES), value="center", label="Where the photo stays", info="For an aspect", elem_id="gravity"
        )
    with gr.Accordion("More settings", open=False):
        steps = gr.Slider(1, MAX_STEPS, defaults.num_steps, step=1, label="Steps", elem_id="steps")
        guidance = gr.Slider(1, 10, defaults.guidance_scale, step=0.1, label="Guidance")
        dilate = gr.Dropdown(DILATE, value="auto", label="Grow the mask", info="Pixels, or by each part")
        context = gr.Slider(1, 6, defaults.context, step=0.1, label="Context", info="What the network sees")
    return Controls(name, steps, guidance, dilate, context, seed, count, extend, gravity, detail)


def lay_out_masks() -> MaskFiles:
    """Two small buttons, and the file after saving."""
    with gr.Row():
        load = gr.UploadButton("Load mask", file_types=PHOTOS, size="sm", min_width=100, elem_id="load-mask")
        save = gr.Button("Save mask", size="sm", min_width=100, elem_id="save-mask")
    return MaskFiles(load, save, gr.File(label="The mask", visible=False, interactive=False, elem_id="saved-mask"))
