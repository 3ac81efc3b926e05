"""The page: the events of its components (`layout`) call the handlers, and their answers are shown (`display`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from mlx_moebius.errors import MoebiusError
from mlx_moebius.ui.desk import Desk
from mlx_moebius.ui.display import NOT_POSSIBLE, Display, Shown
from mlx_moebius.ui.handlers import Handlers, Options
from mlx_moebius.ui.jobs import default_settings
from mlx_moebius.ui.layout import RUN_LABEL, lay_out
from mlx_moebius.ui.session import Session

READY = "while (!window.moebius) await new Promise((next) => setTimeout(next, 20));"  # it comes with the first photo
LOAD = f"async (url) => {{ {READY} await window.moebius.load(url); }}"
LOAD_MASK = f"async (url) => {{ {READY} await window.moebius.loadMask(url); }}"
RELABEL = f"(text) => text.trim() ? 'Extend the frame' : '{RUN_LABEL}'"
WITH_MASK = "(_, ...rest) => [window.moebius.mask(), ...rest]"
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "moebius", "concurrency_limit": 1}
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

P = ParamSpec("P")
T = TypeVar("T")


def build(desk: Desk, model: str) -> gr.Blocks:
    """The page. Raises MoebiusError when the model cannot be loaded."""
    defaults = default_settings(desk.worker, model)
    handlers = Handlers(desk)
    with gr.Blocks(title="Moebius", analytics_enabled=False, fill_width=False) as page:
        display = Display(lay_out(model, defaults))
        connect_painting(handlers, display)
        connect_run(handlers, display)

        def leave(request: gr.Request) -> None:
            desk.leave(visitor(request))

        page.unload(leave)
    return page


def connect_painting(handlers: Handlers, display: Display) -> None:
    """Everything but runs: photos, versions, masks, the choice of a fill, and what the controls do to each other."""
    on, result, masks, controls = display.layout, display.layout.result, display.layout.masks, display.layout.controls
    board, show = display.board, display.painting
    opened, gone_on = answer(handlers, handlers.open, show), answer(handlers, handlers.go_on, show)
    gone_to = answer_selection(handlers, handlers.go_to, show)
    chosen = answer_selection(handlers, handlers.choose, display.fill)
    loaded = answer(handlers, handlers.open_mask, display.mask)
    saved = answer(handlers, handlers.save_mask, display.saved_mask)
    load = in_browser(LOAD, on.carriers.picture)
    on.upload.change(opened, [on.upload], board, **PRIVATE).success(**load)
    result.go_on.click(gone_on, None, board, **PRIVATE).success(**load)
    on.history.select(gone_to, None, board, **PRIVATE).success(**load)
    load_mask = in_browser(LOAD_MASK, on.carriers.drawn)
    masks.load.upload(loaded, [masks.load], [on.carriers.drawn], **PRIVATE).success(**load_mask)
    masks.save.click(saved, [on.carriers.sent], [masks.saved], js=WITH_MASK, **PRIVATE)
    result.choice.select(chosen, None, [result.compare, result.download], **PRIVATE)
    own = [controls.steps, controls.guidance]
    controls.model.change(explained(handlers.defaults), [controls.model], own, **PRIVATE)
    controls.extend.change(**in_browser(RELABEL, controls.extend), outputs=[on.action.run])


def connect_run(handlers: Handlers, display: Display) -> None:
    """Runs, from the page and from other programs, one at a time; and how to cancel one."""
    on = display.layout
    action, controls, endpoint = on.action, on.controls, on.endpoint

    def run(request: gr.Request, painted: str, *values: Any) -> Iterator[Shown]:
        session = handlers.desk.session(visitor(request))
        yield from display.run(handlers.run(session, painted, Options(*values)))

    running = action.run.click(
        run, [on.carriers.sent, *controls.all()], display.stage, js=WITH_MASK, **ONE_AT_A_TIME, **PRIVATE
    )
    endpoint.button.click(
        explained(handlers.fill),
        [
            *(endpoint.photo, endpoint.mask, controls.seed, endpoint.steps, endpoint.guidance),
            *(controls.dilate, controls.context, controls.model, controls.detail),
        ],
        [endpoint.filled],
        api_name="fill",
        **ONE_AT_A_TIME,
    )
    cancelled = answer(handlers, handlers.cancel, display.cancelled)
    status = [action.progress, action.cancel, action.run]
    action.cancel.click(cancelled, None, status, cancels=[running], queue=False, **PRIVATE)


def in_browser(script: str, value: Any) -> dict[str, Any]:
    """Arguments of an event's method: `script` gets what the component `value` holds, the server is not asked."""
    return {"fn": None, "inputs": [value], "js": script, "api_visibility": "private"}


def visitor(request: gr.Request) -> str:
    """The name of the tab that an event comes from."""
    return str(request.session_hash)


def explained(function: Callable[P, T]) -> Callable[P, T]:
    """Show a MoebiusError on the page instead of a traceback in the terminal."""

    @wraps(function)
    def inner(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return function(*arguments, **named)
        except MoebiusError as error:
            raise gr.Error(str(error), print_exception=False, **NOT_POSSIBLE) from None

    return inner


def answer(handlers: Handlers, handler: Callable[..., T], show: Callable[[T], Any]) -> Callable[..., Any]:
    """What Gradio calls for an event: `handler` with the visitor's session and the inputs' values, then `show`."""

    @explained
    def inner(request: gr.Request, *values: Any) -> Any:
        return show(handler(handlers.desk.session(visitor(request)), *values))

    return inner


def answer_selection(
    handlers: Handlers, handler: Callable[[Session, int], T], show: Callable[[T], Any]
) -> Callable[..., Any]:
    """The same for a picture of a gallery that is selected: `handler` gets its number, from 0."""

    @explained
    def inner(request: gr.Request, event: gr.SelectData) -> Any:
        return show(handler(handlers.desk.session(visitor(request)), int(event.index)))

    return inner
