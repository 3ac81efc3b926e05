"""A local web page: paint over the thing, look at the fill, download. Needs the extra `ui`.

Start it with `python -m mlx_moebius.ui`, or from Python with `mlx_moebius.ui.launch()`.
Begin with `page`, which connects what is on it (`layout`), what happens (`handlers`) and what is shown of that
(`display`); `session` is what one visitor has, `jobs` the queue before the network. May import inpainting and what is
below it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlx_moebius.errors import MoebiusError
from mlx_moebius.models import DEFAULT_MODEL, locate

if TYPE_CHECKING:
    from mlx_moebius.ui.server import Server

__all__ = ["launch"]


def launch(
    model: str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    browser: bool = False,
    inline: bool = False,
    height: int = 1000,
) -> Server:
    """Serve the page; it goes on in the background until `close` of what is returned.

    `model` None is the command line's where it has been downloaded, otherwise nano. `port` 0 takes any that is free;
    `browser` opens the page; `inline` shows it in a notebook, `height` pixels high.
    Raises MoebiusError when the extra is not installed, there is no such model, or the port is taken.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Gradio reads it when it is imported
    try:
        from mlx_moebius.ui.server import Server
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise MoebiusError('the page needs an optional package: pip install "mlx-moebius[ui]"') from None
    return Server(model or default_model(), host, port, browser, inline, height)


def default_model() -> str:
    """The command line's default if it is on this computer, otherwise the bundled one."""
    return DEFAULT_MODEL if locate(DEFAULT_MODEL) is not None else "nano"
