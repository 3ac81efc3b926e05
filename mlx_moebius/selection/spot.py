"""A spot in a photo."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spot:
    """A spot: where it is, its size in pixels, its difference from its surroundings in levels (below 0: darker), and
    how many times that is more than what differs there anyway.
    """

    x: int
    y: int
    size: int
    difference: float
    clarity: float
