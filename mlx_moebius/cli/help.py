"""The text of `--help`: usage, what the command does, examples, the options used most, then all others under "More"."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

WIDTH = 80  # columns, also where the terminal has more: long lines are hard to read
INFORMATION = "information"  # the heading of --help itself
NAMES = 26  # columns of the options' names; the help of a longer name begins on the next line


def help_text(
    usage: str, about: str, examples: Sequence[str], parameters: Iterable[Any], most_used: Sequence[str]
) -> str:
    """The help of a command.

    Args:
        usage: its usage line, without "Usage: ".
        about: paragraphs, separated by empty lines.
        examples: command lines.
        parameters: its arguments and options, as typer has them.
        most_used: names of the parameters that are shown first, in this order. If it is empty, none is below "More".
    """
    by_name = {parameter.name: parameter for parameter in parameters if not getattr(parameter, "hidden", False)}
    first = [by_name.pop(name) for name in most_used] if most_used else [by_name.pop(name) for name in list(by_name)]
    parts = ["Usage: " + usage, *paragraphs(about), _block("Examples", (f"  {example}" for example in examples))]
    if first:
        parts.append(_block("Used most" if by_name else "Options", map(_entry, first)))
    panels: dict[str, list[Any]] = {}
    for parameter in by_name.values():
        panels.setdefault(getattr(parameter, "rich_help_panel", None) or "", []).append(parameter)
    for title, members in panels.items():
        parts.append(_block(f"More, {title}" if title else "More", map(_entry, members)))
    return "\n\n".join(part for part in parts if part) + "\n"


def width() -> int:
    """The width of the help, in columns."""
    return max(40, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text, wrapped to the width of the help."""
    parts = text.split("\n\n")
    return [textwrap.fill(" ".join(part.split()), width(), break_on_hyphens=False) for part in parts]


def listed(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """A block of names, with what they are."""
    return _block(title, (_row(*row) for row in rows))


def _block(title: str, lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return f"{title}:\n{text}" if text else ""


def _entry(parameter: Any) -> str:
    """An argument or option, with its help and its default."""
    text = parameter.help or ""
    if parameter.metavar and "[default:" not in text and parameter.default not in (None, ""):
        text += f" [default: {parameter.default}]"
    if parameter.param_type_name == "argument":
        return _row(parameter.metavar, text)
    names = [*sorted(parameter.opts, key=len), *parameter.secondary_opts]
    return _row(" ".join(filter(None, [", ".join(names), parameter.metavar])), text)


def _row(name: str, text: str) -> str:
    """A name and its text in two columns."""
    beside = f"  {name:{NAMES - 4}}  " if len(name) <= NAMES - 4 else f"  {name}\n{' ' * NAMES}"
    lines = textwrap.wrap(text, width() - NAMES, break_on_hyphens=False) or [""]
    return (beside + f"\n{' ' * NAMES}".join(lines)).rstrip()
