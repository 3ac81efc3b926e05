"""How far a run has come and how long it will take, from what its stages cost in earlier runs.

A fill goes through four stages: the model is loaded and the photo encoded; the network takes its steps; detail is
grown; the file is written. The time left is the sum of what is missing of each, and the share that is done is the time
spent over all the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Stage = Literal["start", "network", "detail", "write"]

LEAST = 10_000  # pixels: smaller holes do not cost less detail
NEWEST = 0.5  # weight of the last run in what is learned


@dataclass(slots=True)
class Pace:
    """Seconds that stages take on this computer with one model. Guesses, until a run has ended."""

    start: float = 1.0
    step: float = 0.5
    pixel: float = 1e-4  # of the holes' boxes, for detail
    write: float = 0.3
    measured: bool = False

    def learn(self, **seconds: float) -> None:
        """Take over what a run has taken, by the names of the fields."""
        for name, value in seconds.items():
            old = getattr(self, name)
            setattr(self, name, old + (value - old) * NEWEST if self.measured else value)
        self.measured = True


@dataclass(slots=True)
class Course:
    """The course of one run of `fills` fills, each with `steps` steps of the network and `area` pixels to fill.

    `step`, `grown` and `written` are called when these things have happened.
    """

    pace: Pace
    steps: int
    fills: int
    area: int
    detail: bool
    clock: Callable[[], float] = time.monotonic
    stage: Stage = "start"
    share: float = 0.0
    _begun: float | None = None
    _ended: dict[str, int] = field(default_factory=lambda: {"step": 0, "grown": 0, "written": 0})
    _first: float = 0.0
    _last: float = 0.0
    _spent: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        """The run is under way."""
        self._begun = self._last = self.clock()

    def step(self, number: int, total: int) -> None:
        """The network has taken a step, of all steps of all fills."""
        now = self.clock()
        self._ended["step"], self.steps = number, max(1, total // self.fills)
        if number == 1:
            self._spent["start"] = now - self._last  # and one step
            self._first = now
        elif self.stage == "network":
            self._spent["step"] = (now - self._first) / max(1, number - 1) if number <= self.steps else self._step
        self.stage, self._last = "network", now
        if number % self.steps == 0:
            self.stage = "detail" if self.detail else "write"

    def grown(self, number: int, total: int) -> None:
        """Detail was grown in a window, of all windows of all fills."""
        now = self.clock()
        if number * self.fills % max(total, 1) == 0:
            self._ended["grown"] = number * self.fills // total
            self._spent["pixel"] = (now - self._last) / max(self.area, LEAST)
            self.stage, self._last = "write", now

    def written(self) -> None:
        """A fill's file was written."""
        now = self.clock()
        self._ended["written"] += 1
        self._ended["grown"] = self._ended["written"]
        if self.stage == "write":
            self._spent["write"] = now - self._last
        self._last = now
        if self._ended["written"] == self.fills:
            start = max(0.0, self._spent.get("start", 0.0) - self._step)
            self.pace.learn(**self._spent | {"start": start})

    @property
    def _step(self) -> float:
        return self._spent.get("step", self.pace.step)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        detail = max(self.area, LEAST) * self._spent.get("pixel", self.pace.pixel) if self.detail else 0.0
        start = 0.0 if self._ended["step"] else self.pace.start
        steps = (self.steps * self.fills - self._ended["step"]) * self._step
        files = (self.fills - self._ended["written"]) * self.pace.write
        return start + steps + files + (self.fills - self._ended["grown"]) * detail

    def shown(self) -> dict[str, Any]:
        """As the page gets it: the stage, the share that is done, seconds left (None if they cannot be told yet)."""
        if self._begun is None:
            return {"stage": "waiting", "share": 0.0, "left": round(self.left, 2) if self.pace.measured else None}
        spent = self.clock() - self._begun
        left = max(self.left, 0.0)
        self.share = max(self.share, spent / (spent + left)) if spent + left > 0 else self.share
        known = self.pace.measured or self._ended["step"] > 1
        return {"stage": self.stage, "share": round(self.share, 4), "left": round(left, 2) if known else None}
