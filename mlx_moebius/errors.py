"""The one exception that users are meant to read. It says what is wrong, and carries what could be changed.

The library knows no command lines, pages and forms. Each of them is a face, and words a `Change` in its own way:

    raise MoebiusError("the network's numbers overflow", Change("guidance_scale", LESS), Change("num_steps", MORE))

    Python         the network's numbers overflow: lower guidance_scale or raise num_steps
    command line   the network's numbers overflow: lower --guidance or raise --steps
    page           the network's numbers overflow: use less guidance or more steps
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias


class Direction(Enum):
    """A new value of a parameter that is not known exactly."""

    MORE = "more"
    LESS = "less"
    ANOTHER = "another"
    """Any value but the present one."""
    GIVEN = "given"
    """A value where there is none yet."""


MORE, LESS, ANOTHER, GIVEN = Direction.MORE, Direction.LESS, Direction.ANOTHER, Direction.GIVEN
VERBS = {MORE: "raise", LESS: "lower", ANOTHER: "choose another", GIVEN: "give"}
"""What precedes a parameter's name."""


@dataclass(frozen=True, slots=True)
class Change:
    """A parameter that could be changed so that it works.

    `name` is what Python calls it: a field of `Settings`, or a parameter of a function. `to` is its new value or a
    `Direction`. `when` is said after it, such as "if that is meant".
    """

    name: str
    to: Any
    when: str = ""


Remedy: TypeAlias = "str | Change"
"""What helps: words that are the same everywhere, or a parameter that each face has its own name for."""
Face: TypeAlias = "Callable[[Change], str | None]"
"""Words a change; None where this face has no such control."""


class MoebiusError(Exception):
    """Bad input or an impossible request: one line that says what is wrong. Its text is worded for Python."""

    def __init__(self, message: str, *remedies: Remedy) -> None:
        super().__init__(message, *remedies)
        self.message = message
        self.remedies = remedies

    def __str__(self) -> str:
        return worded(self, in_python)

    def within(self, place: object) -> MoebiusError:
        """The same error, with the file or folder that it is about in front."""
        return MoebiusError(f"{place}: {self.message}", *self.remedies)


class Note(str):
    """A warning, one line, that carries what could be changed as `MoebiusError` does. Its text is worded for Python."""

    message: str
    remedies: tuple[Remedy, ...]

    def __new__(cls, message: str, *remedies: Remedy) -> Note:
        """A note of a message and its remedies."""
        note = super().__new__(cls, _sentence(message, remedies, in_python))
        note.message, note.remedies = message, remedies
        return note


def worded(said: Exception | str, face: Face) -> str:
    """An error or a warning in one line, with the remedies that a face has."""
    if isinstance(said, MoebiusError | Note):
        return _sentence(said.message, said.remedies, face)
    return str(said)


def in_python(change: Change) -> str:
    """A change of a keyword parameter."""
    is_known = not isinstance(change.to, Direction)
    text = f"{change.name}={change.to!r}" if is_known else f"{VERBS[change.to]} {change.name}"
    return f"{text} {change.when}".rstrip()


def _sentence(message: str, remedies: Sequence[Remedy], face: Face) -> str:
    ways = [way for remedy in remedies if (way := remedy if isinstance(remedy, str) else face(remedy))]
    return f"{message}: {' or '.join(filter(None, [', '.join(ways[:-1]), ways[-1]]))}" if ways else message
