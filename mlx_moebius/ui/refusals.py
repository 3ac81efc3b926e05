"""What is refused, and how the page says it: one sentence in the page's words, with a status of HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlx_moebius.errors import MoebiusError

PAGE_WORDS = {
    "; if not meant, add --invert": "",
    "; if not meant, leave --invert out": "",
    "give it less --context": "give it less context",
    "use less --guidance, more --steps, or --dtype float32": "use less guidance or more steps",
    "raise --memory-limit": "close other programs",
    "the mask is empty: nothing would be filled": "nothing is painted: paint over what should go",
    "the mask is all white: nothing would be kept; paint black what to keep": (
        "everything is painted: leave something for the fill to continue"
    ),
    ", or give --max-pixels": "",
    "num_steps": "steps",
    "guidance_scale": "guidance",
}
"""What the command line's sentences say, and what a page without options says instead."""


class Refused(MoebiusError):
    """A request that is not carried out; `more` goes into the answer beside the sentence."""

    def __init__(self, status: int, sentence: str, **more: Any) -> None:
        super().__init__(sentence)
        self.status = status
        self.more = more


def sentence(error: Exception | str, *folders: Path) -> str:
    """An error or a warning in the page's words, without the page's own folders."""
    text = " ".join(str(error).split())
    for folder in folders:
        text = text.replace(f"{folder}/", "")
    for command_line, page in PAGE_WORDS.items():
        text = text.replace(command_line, page)
    return text
