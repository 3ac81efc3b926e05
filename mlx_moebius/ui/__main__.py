"""`python -m mlx_moebius.ui`: serve the page until it is interrupted."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from mlx_moebius.errors import MoebiusError, one_line_errors
from mlx_moebius.ui import launch

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@app.command()
def serve(
    folder: Annotated[Path | None, typer.Argument(help="A folder of photos, to be filled one after the other.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where its results go. [default: FOLDER_filled]")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="What the page starts with. [default: places2 if it is there, otherwise nano]")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Serve on this interface of the computer; others then need the printed address.")
    ] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name that this computer is called by. May be repeated.")
    ] = None,
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 7860,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
) -> None:
    """A page in the browser for removing things from photos; nothing leaves this computer."""
    if output is not None and folder is None:
        raise MoebiusError("-o says where the results of a folder go: give the folder too")
    if host not in LOOPBACK:
        typer.echo(f"warning: whoever has the address below and can reach {host} can use this page", err=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))  # so that the folder of temporary files is removed
    with launch(model, host, port, browser, allowed=allow_host or (), folder=folder, output=output) as server:
        typer.echo(server.url)
        signal.pause()


def main() -> None:
    """Run the command line; an error is one line and exit code 1."""
    with one_line_errors():
        app()


if __name__ == "__main__":
    main()
