"""`mlx-moebius ui`: serve the page until it is interrupted."""

from __future__ import annotations

import signal
import sys

import typer

from mlx_moebius.cli.command import Program
from mlx_moebius.errors import MoebiusError
from mlx_moebius.options import ui as options
from mlx_moebius.ui import launch

program = Program("mlx-moebius ui", options.ABOUT, options.EXAMPLES)
app, main = program.app, program.main
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
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))  # so that the folder of temporary files is removed
    with launch(model, host, port, browser, allowed=allow_host or (), folder=folder, output=output) as server:
        typer.echo(server.url)
        signal.pause()


if __name__ == "__main__":
    main()
