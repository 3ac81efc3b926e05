"""How an option or an argument of a command line is declared, and how its text becomes a value.

    Steps = Annotated[int | None, option("--steps", of=(Settings, "num_steps"), metavar="N", help="Sampling steps.")]

The type of a value, its bounds and its default are read from the field of a dataclass (`of`). Where there is no such
field, `kind` is the type. An option that was not given is None, so that the dataclass keeps its default: see `given`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from mlx_moebius.errors import MoebiusError
from mlx_moebius.schema import default_of, from_text, hint_of

Field = tuple[type, str]
"""A dataclass and the name of a field."""


class UsageError(MoebiusError):
    """A command line that is wrong, such as by a value that is not allowed."""


def option(
    *names: str,
    help: str,
    metavar: str | None = None,
    of: Field | None = None,
    kind: Any = str,
    choices: Iterable[str] = (),
    read: Callable[[str], Any] | None = None,
    shown: str | None = None,
    panel: str | None = None,
) -> Any:
    """An option with a value.

    Args:
        names: its names, such as "--steps" and "-s".
        help: a sentence or two.
        metavar: what the help calls its value; by default the choices, where it has some.
        of: the dataclass field that gives the type, the bounds and the default.
        kind: the type, where there is no such field: Path, str, Literal[...] or Annotated[float, Bounds(...)].
        choices: the words that are allowed, where no type lists them.
        read: a function that makes the value from the text instead, or raises MoebiusError.
        shown: the default in words, where the field's default does not say enough.
        panel: the heading below which the help shows it.
    """
    wanted = hint_of(*of) if of else Literal[tuple(choices)] if choices else kind
    shown = shown or (_default(of) if of else None)
    return typer.Option(
        *names,
        parser=_reader(wanted, names[0], read),
        metavar=metavar or "|".join(_choices(wanted)) or None,
        help=f"{help} [default: {shown}]" if shown else help,
        show_default=False,
        rich_help_panel=panel,
    )


def flag(*names: str, help: str, of: Field | None = None, panel: str | None = None, **more: Any) -> Any:
    """An option without a value, such as "--invert", or a pair of them, such as "--paste/--no-paste"."""
    if of is not None:
        on, _, off = names[0].partition("/")
        help += f" [default: {on if default_of(*of) else off}]"
    return typer.Option(*names, metavar="", help=help, show_default=False, rich_help_panel=panel, **more)


def argument(metavar: str, help: str, kind: Any = Path) -> Any:
    """A positional argument. It may be left out where the parameter has a default."""
    return typer.Argument(parser=_reader(kind, metavar), metavar=metavar, help=help, show_default=False)


def given(**asked: Any) -> dict[str, Any]:
    """The values that were given on the command line: all that are not None."""
    return {name: value for name, value in asked.items() if value is not None}


def _reader(wanted: Any, name: str, custom: Callable[[str], Any] | None = None) -> Callable[[Any], Any]:
    """The function that turns the text of the option or argument `name` into its value."""

    def read(text: Any) -> Any:
        if not isinstance(text, str):  # a default
            return text
        if not text and wanted is Path:
            raise UsageError(f"{name} is empty: give the name of a file or folder")
        try:
            if custom is not None:
                return custom(text)
            return wanted(text) if wanted in (str, Path) else from_text(text, wanted, name)
        except (ValueError, MoebiusError) as error:
            raise UsageError(f"{name}: {error}" if custom else str(error)) from None

    return read


def _choices(wanted: Any) -> tuple[str, ...]:
    """The words that a type allows; empty where it allows other values."""
    parts = [part for part in get_args(wanted) if part is not type(None)] if get_origin(wanted) is not Literal else []
    if len(parts) == 1:
        return _choices(parts[0])
    return get_args(wanted) if get_origin(wanted) is Literal else ()


def _default(of: Field) -> str | None:
    """A field's default, as the help shows it."""
    value = default_of(*of)
    return None if value is None or value == "" else f"{value:g}" if isinstance(value, float) else str(value)
