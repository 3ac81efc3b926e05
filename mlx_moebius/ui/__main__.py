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
PORT, ANY_PORT = 7860, 0
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@program.command(options.MOST_USED, alone=True)
def serve(
    paths: options.Paths = None,
    edit: options.Edit = False,
    output: options.Output = None,
    model: options.Model = None,
    port: options.Port = None,
    browser: options.Browser = True,
    host: options.Host = "127.0.0.1",
    allow_host: options.AllowHost = None,
) -> None:
    """Serve the page until it is interrupted."""
    paths = paths or []
    edited = paths if edit else []
    folder = None if edit or not paths else paths[0]
    if edit and (not paths or output is not None or host not in LOOPBACK):
        raise MoebiusError("--edit takes photos, and works on this computer alone: leave -o and --host out")
    if not edit and len(paths) > 1:
        raise MoebiusError("give one folder; for photos that are to be written back in place, --edit")
    if output is not None and folder is None:
        raise MoebiusError("-o says where the results of a folder go: give the folder too")
    if port is None:
        port = ANY_PORT if edit else PORT
    if host not in LOOPBACK:
        typer.echo(f"warning: whoever has the address below and can reach {host} can use this page", err=True)
    for number in ENDS:
        signal.signal(number, leave)
    server = launch(model, host, port, browser, allowed=allow_host or (), folder=folder, output=output, edited=edited)
    code = 1 if edit else 0
    try:
        typer.echo(server.url)
        sys.stdout.flush()
        if server.editing is None:
            signal.pause()
        elif server.editing.wait():
            code = 0
    except Interrupted:
        pass
    finally:
        for number in ENDS:
            signal.signal(number, signal.SIG_IGN)
        if not server.close():
            os._exit(code)  # all is cleaned up; the step under way would abort the interpreter
    raise typer.Exit(code)


class Interrupted(Exception):
    """A signal asked the page to end."""


def leave(*_: object) -> None:
    """End the page; further signals are ignored while it ends."""
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)
    raise Interrupted


if __name__ == "__main__":
    main()
