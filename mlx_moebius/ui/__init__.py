"""A local web page: paint over the thing, look at the fill, download. Needs the extra `ui`.

Start it with `mlx-moebius ui`, or from Python with `mlx_moebius.ui.launch()`.
Begin with `app`, which maps addresses to handlers. `guard` decides who is let in; `api` answers the page, `rest_api`
other programs; `sessions` holds visitors, `pictures` their photos, `runs` what they wait for; `jobs` does the work. May
import folder, inpainting and the layers below them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlx_moebius.errors import MoebiusError
from mlx_moebius.folder.run import default_folder
from mlx_moebius.models import DEFAULT_MODEL, locate

if TYPE_CHECKING:
    from mlx_moebius.inpainting.pictures import Picture
    from mlx_moebius.ui.server import Server

__all__ = ["launch"]

NEEDED = ("starlette", "uvicorn", "python_multipart", "anyio")


def launch(
    model: str | Picture | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    browser: bool = False,
    inline: bool = False,
    height: int = 1000,
    allowed: Sequence[str] = (),
    folder: str | Path | None = None,
    output: str | Path | None = None,
    edited: Sequence[str | Path] = (),
    picture: Picture | None = None,
) -> Server:
    """Serve the page in the background, until `close` is called on the server that is returned.

    `model` None is the command line's default if it has been downloaded, otherwise nano. `port` 0 takes any free port;
    `browser` opens the page; `inline` shows it in a notebook, `height` pixels high. `allowed` are further names of this
    computer. The photos of `folder` are a series, whose results go to `output` (FOLDER_filled by default). The photos
    `edited` are opened one after the other, and written back in place when they are done. A `picture` (PIL image, array
    or file; it may also be the first argument) is open on the page, and the server's `fill` and `mask` are what has
    become of it.
    Raises MoebiusError when the extra is not installed, there is no such model, or the address cannot be had.
    """
    try:
        from mlx_moebius.ui.server import Server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDED:
            raise
        raise MoebiusError('the page needs optional packages: pip install "mlx-moebius[ui]"') from None
    if model is not None and not isinstance(model, str):
        model, picture = None, model
    folders = None
    if folder is not None:
        folders = Path(folder), default_folder(Path(folder)) if output is None else Path(output)
    server = Server(model or default_model(), host, port, allowed, inline, folders, [Path(file) for file in edited])
    try:
        if picture is not None:
            server.hand(picture)
    except BaseException:
        server.close()
        raise
    if inline:
        from IPython.display import IFrame, display  # whoever shows the page in a notebook has it

        display(IFrame(server.url, "100%", height))
    if browser:
        server.show()
    return server


def default_model() -> str:
    """The command line's default if it is on this computer, otherwise the bundled one."""
    return DEFAULT_MODEL if locate(DEFAULT_MODEL) is not None else "nano"
