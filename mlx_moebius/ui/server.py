"""Serving the page: on this computer only unless told otherwise, with files in a folder that goes away."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import TracebackType

import gradio as gr

from mlx_moebius.errors import MoebiusError
from mlx_moebius.ui.desk import Desk
from mlx_moebius.ui.page import build

HERE = Path(__file__).parent
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_UPLOAD = "500mb"
SYSTEM_FONTS = ["ui-sans-serif", "system-ui", "sans-serif"]
MONOSPACE = ["ui-monospace", "monospace"]


def bypass_proxy() -> None:
    """Keep what this process asks of itself (Gradio looks whether its page answers) away from any proxy."""
    for name in ("NO_PROXY", "no_proxy"):
        there = [each for each in os.environ.get(name, "").split(",") if each]
        os.environ[name] = ",".join([*there, *(each for each in LOOPBACK if each not in there)])


class Server:
    """A page that is being served, until `close`."""

    def __init__(self, model: str, host: str, port: int, browser: bool, inline: bool, height: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="moebius-")
        os.environ["GRADIO_TEMP_DIR"] = self._folder.name  # where Gradio puts what is uploaded and downloaded
        bypass_proxy()
        self.desk = Desk(Path(self._folder.name))
        self._blocks = build(self.desk, model)
        try:
            self._blocks.queue(max_size=20).launch(
                server_name=host,
                server_port=port or None,
                inbrowser=browser,
                inline=inline,
                height=height,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                ssr_mode=False,
                max_file_size=MAX_UPLOAD,
                enable_monitoring=False,
                theme=gr.themes.Default(font=SYSTEM_FONTS, font_mono=MONOSPACE, primary_hue="indigo"),
                css_paths=HERE / "style.css",
                footer_links=[],
            )
        except OSError:
            self._folder.cleanup()
            raise MoebiusError(f"port {port} is taken: choose another with --port, or 0 for any that is free") from None
        self.url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{self._blocks.server_port}"

    def close(self) -> None:
        """Stop serving, and remove every file."""
        self._blocks.close(verbose=False)
        self._folder.cleanup()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
