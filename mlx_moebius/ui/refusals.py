"""Refused requests, and how the page and the API for programs word an error: one sentence, with an HTTP status."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from mlx_moebius.errors import VERBS, Change, Direction, Face, MoebiusError, worded
from mlx_moebius.inpainting.settings import Settings

CONTROLS = {
    "num_steps": "steps",
    "guidance_scale": "guidance",
    "context": "surroundings",
    "model": "model",
}
"""Parameters that the page has a control for, and the control's name."""
FORM = ("model", "preset", "gravity", *(setting.name for setting in fields(Settings)))
"""Fields of the forms that other programs send."""


class Refused(MoebiusError):
    """A request that is not carried out; `more` goes into the answer with the sentence."""

    def __init__(self, status: int, sentence: str, **more: Any) -> None:
        super().__init__(sentence)
        self.status = status
        self.more = more


def on_page(change: Change) -> str | None:
    """Words for a change on the page; None if the page has no such control."""
    control = CONTROLS.get(change.name)
    if control is None:
        return None
    text = (
        f"{VERBS[change.to]} the {control}" if isinstance(change.to, Direction) else f"set the {control} to {change.to}"
    )
    return f"{text} {change.when}".rstrip()


def in_form(change: Change) -> str | None:
    """Words for a change of a form's field, with JSON values; None if the form has no such field."""
    if change.name not in FORM:
        return None
    if isinstance(change.to, Direction):
        text = f"{VERBS[change.to]} {change.name}"
    else:
        text = f"leave {change.name} out" if change.to is None else f"{change.name}={json.dumps(change.to)}"
    return f"{text} {change.when}".rstrip()


def sentence(said: Exception | str, *folders: Path, face: Face = on_page) -> str:
    """An error or a warning in the words of an interface, without the names of `folders`."""
    text = " ".join(worded(said, face).split())
    for folder in folders:
        text = text.replace(f"{folder}/", "")
    return text
