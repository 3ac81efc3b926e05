"""Check values from files and people: the types and bounds of a dataclass say what a record must hold.

    strength: Annotated[float, Bounds(0, 1)] = 0.99

The bounds of a number are stated once, at its field; the command line reads them from there. Numbers that are not
finite are never within bounds.
"""

from __future__ import annotations

import math
import types
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from mlx_moebius.errors import MoebiusError

T = TypeVar("T")
SHOWN = 60  # characters of a wrong value that a message repeats


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the most that a number may be. In a field of several numbers, they hold for all of them."""

    least: float
    most: float


def build(cls: type[T], values: Any, extra: bool = False) -> T:
    """Make a dataclass from JSON values: lists become tuples, objects become dataclasses.

    Unknown names are refused unless `extra`. Raises ValueError with one line for whatever does not fit.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{cls.__name__} must be an object, not {_shown(values)}")
    hints = _hints(cls)  # type: ignore[arg-type]
    if not extra and (unknown := sorted(set(values) - set(hints))):
        raise ValueError(f"unknown setting {_shown(unknown[0])} for {cls.__name__}")
    needed = (f for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING)  # type: ignore[arg-type]
    if missing := [f.name for f in needed if f.name not in values]:
        raise ValueError(f"{missing[0]!r} is missing")
    return cls(
        **{name: _fitted(values[name], hint, name, None, extra) for name, hint in hints.items() if name in values}
    )


def check(record: Any) -> None:
    """Check a dataclass that a program filled in. Raises MoebiusError for the first field that does not fit."""
    for name, hint in _hints(type(record)).items():  # type: ignore[arg-type]
        try:
            _fitted(getattr(record, name), hint, name)
        except ValueError as error:
            raise MoebiusError(str(error)) from None


def bounds(cls: type, name: str) -> Bounds:
    """The bounds of a field."""
    found = _bounds(_hints(cls)[name])
    assert found is not None, f"{cls.__name__}.{name} has no bounds"
    return found


def hint_of(cls: type, name: str) -> Any:
    """The type of a field, with its bounds."""
    return _hints(cls)[name]


def default_of(cls: type, name: str) -> Any:
    """The default of a field."""
    return next(field.default for field in fields(cls) if field.name == name)


def from_text(text: str, hint: Any, name: str) -> Any:
    """The value of the type `hint` that a text stands for: "0.5" for a number, "true" for a bool.

    Raises ValueError with one line, which calls the value `name`.
    """
    kinds = _plain_types(hint)
    value: Any = text
    if bool in kinds:
        value = {"true": True, "false": False}.get(text.lower(), text)
    for kind in (int, float):
        try:
            if kind in kinds:
                value = kind(text)
                break
        except ValueError:  # also for a number of thousands of digits
            continue
    return _fitted(value, hint, name)


def _plain_types(hint: Any) -> set[Any]:
    """The types that a hint is made of."""
    if get_origin(hint) is Literal:
        return {str}
    return set().union(*map(_plain_types, get_args(hint))) if get_args(hint) else {hint}


@cache
def _hints(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in fields(cls)}


def _bounds(hint: Any) -> Bounds | None:
    if get_origin(hint) is Annotated:
        return next((part for part in get_args(hint)[1:] if isinstance(part, Bounds)), None)
    return next((found for part in get_args(hint) if (found := _bounds(part))), None)


def _fitted(value: Any, hint: Any, name: str, within: Bounds | None = None, extra: bool = False) -> Any:
    """The value in the form of the type `hint`. Raises ValueError where it does not fit."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _fitted(value, arguments[0], name, _bounds(hint), extra)
    if origin in (Union, types.UnionType):
        return _chosen(value, arguments, name, within, extra)
    if is_dataclass(hint):
        return value if isinstance(value, hint) else build(hint, value, extra)  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) == len(value):
            return tuple(_fitted(item, kind, name, within, extra) for item, kind in zip(value, kinds, strict=True))
    elif origin is dict and isinstance(value, dict):
        return {key: _fitted(item, arguments[1], name, within, extra) for key, item in value.items()}
    elif hint is Any or _is_plain(value, hint, origin, arguments, within):
        return value
    raise ValueError(f"{name} must be {_wanted(hint, within)}, not {_shown(value)}")


def _chosen(value: Any, choices: tuple[Any, ...], name: str, within: Bounds | None, extra: bool) -> Any:
    """The value in the form of the first of several types that it fits."""
    for hint in choices:
        try:
            return _fitted(value, hint, name, within, extra)
        except ValueError as error:
            if is_dataclass(hint) and isinstance(value, dict):
                raise ValueError(f"{name}: {error}") from None
    wanted = " or ".join(_wanted(hint, within) for hint in choices)
    raise ValueError(f"{name} must be {wanted}, not {_shown(value)}")


def _is_plain(value: Any, hint: Any, origin: Any, arguments: tuple[Any, ...], within: Bounds | None) -> bool:
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if hint in (int, float):
        kind = Integral if hint is int else Real
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        if not isinstance(value, Integral) and not math.isfinite(value):
            return False
        number: Any = value  # maybe a whole one too large for a float
        return within is None or bool(within.least <= number <= within.most)
    if hint is types.NoneType:
        return value is None
    # Before Python 3.11 `tuple[int, ...]` counts as a type, which isinstance then refuses.
    return origin is None and isinstance(hint, type) and isinstance(value, hint)


def _wanted(hint: Any, within: Bounds | None) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _wanted(arguments[0], _bounds(hint))
    if origin is Literal:
        return " or ".join(arguments)
    if origin is tuple:
        several = "several" if arguments[-1] is Ellipsis else str(len(arguments))
        return f"{several} times {_wanted(arguments[0], within)}"
    numbers = {int: "a whole number", float: "a number"}
    if hint in numbers:
        return numbers[hint] + (f" from {within.least} to {within.most}" if within else "")
    words = {bool: "true or false", str: "text", types.NoneType: "nothing"}
    return words.get(hint, "an object")


def _shown(value: Any) -> str:
    """A wrong value as one short line, even where it is a number of a million digits or a nested list."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a number of more than 20 digits"
    if isinstance(value, dict | list | tuple) and len(value) > 8:
        return f"{type(value).__name__} of {len(value)}"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of too many digits inside, or too deep
        return f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
