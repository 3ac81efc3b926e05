"""`mlx-moebius ui`: serve the page until it is interrupted."""

from __future__ import annotations

import os
import signal
import sys

import typer

from mlx_moebius.cli.command import Program
from mlx_moebius.errors import MoebiusError
from mlx_moebius.options import ui as options
from mlx_moebius.ui import launch

program = Program("mlx-moebius ui", options.ABOUT, options.EXAMPLES)
app, main = program.app, program.main
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@program.command(options.MOST_USED, alone=True)
def serve(
    folder: options.Folder = None,
    output: options.Output = None,
    model: options.Model = None,
    port: options.Port = 7860,
    browser: options.Browser = True,
    host: options.Host = "127.0.0.1",
    allow_host: options.AllowHost = None,
) -> None:
    """Serve the page until it is interrupted."""
    if output is not None and folder is None:
        raise MoebiusError("-o says where the results of a folder go: give the folder too")
    if host not in LOOPBACK:
        typer.echo(f"warning: whoever has the address below and can reach {host} can use this page", err=True)
    for number in ENDS:
        signal.signal(number, leave)
    server = launch(model, host, port, browser, allowed=allow_host or (), folder=folder, output=output)
    try:
        typer.echo(server.url)
        sys.stdout.flush()
        signal.pause()
    finally:
        if not server.close():
            os._exit(0)  # all is cleaned up; the step under way would abort the interpreter


def leave(*_: object) -> None:
    """End the page; further signals are ignored while it ends."""
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


if __name__ == "__main__":
    main()
