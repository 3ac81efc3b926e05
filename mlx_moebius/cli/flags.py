"""How the command lines word a remedy (`errors.Change`): by flags."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mlx_moebius.errors import VERBS, Change, Direction

FLAGS = {
    "num_steps": "--steps",
    "guidance_scale": "--guidance",
    "learning_rate": "--lr",
    "large": "--yes",
    "others": "--from",
}
"""Python name -> flag, where they differ. All other flags are the Python names with hyphens."""


def on_command_line(change: Change, options: Collection[str] | None = None) -> str | None:
    """The words for a change of an option; None where the command does not have it among its `options`."""
    flag = FLAGS.get(change.name, f"--{change.name.replace('_', '-')}")
    if options is not None and flag not in options:
        return None
    if change.to is None or change.to is False:
        text = f"leave {flag} out"
    elif isinstance(change.to, Direction):
        text = f"{VERBS[change.to]} {flag}"
    else:
        text = f"add {flag}" if change.to is True else f"use {flag} {change.to}"
    return f"{text} {change.when}".rstrip()


def options_of(command: Any) -> frozenset[str]:
    """All options of a command of typer and of its subcommands."""
    commands = [command, *getattr(command, "commands", {}).values()]
    return frozenset(option for part in commands for parameter in part.params for option in parameter.opts)
