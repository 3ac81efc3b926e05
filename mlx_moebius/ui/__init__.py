"""A local web page: paint over the thing, look at the fill, download. Needs the extra `ui`.

Start it with `python -m mlx_moebius.ui`, or from Python with `mlx_moebius.ui.launch()`.
Begin with `app`, what answers where; `guard` decides who is let in, `api` is what the page asks for, `sessions` knows
who is here, `pictures` what they have, `runs` what they wait for, and `jobs` does it. May import folder, inpainting and
what is below them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlx_moebius.errors import MoebiusError
from mlx_moebius.folder.run import default_folder
from mlx_moebius.models import DEFAULT_MODEL, locate

if TYPE_CHECKING:
    from mlx_moebius.ui.server import Server

__all__ = ["launch"]

NEEDED = ("starlette", "uvicorn", "python_multipart", "anyio")


def launch(
    model: str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    browser: bool = False,
    inline: bool = False,
    height: int = 1000,
    allowed: Sequence[str] = (),
    folder: str | Path | None = None,
    output: str | Path | None = None,
) -> Server:
    """Serve the page; it goes on in the background until `close` of what is returned.

    `model` None is the command line's where it has been downloaded, otherwise nano. `port` 0 takes any that is free;
    `browser` opens the page; `inline` shows it in a notebook, `height` pixels high. `allowed` are more names that this
    computer is called by. The photos of `folder` are a series, whose results go to `output` (FOLDER_filled by default).
    Raises MoebiusError when the extra is not installed, there is no such model, or the address cannot be had.
    """
    try:
        from mlx_moebius.ui.server import Server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDED:
            raise
        raise MoebiusError('the page needs optional packages: pip install "mlx-moebius[ui]"') from None
    folders = None
    if folder is not None:
        folders = Path(folder), default_folder(Path(folder)) if output is None else Path(output)
    server = Server(model or default_model(), host, port, allowed, inline, folders)
    if inline:
        from IPython.display import IFrame, display  # whoever shows the page in a notebook has it

        display(IFrame(server.url, "100%", height))
    if browser:
        server.show()
    return server


def default_model() -> str:
    """The command line's default if it is on this computer, otherwise the bundled one."""
    return DEFAULT_MODEL if locate(DEFAULT_MODEL) is not None else "nano"
