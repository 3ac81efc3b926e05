"""The share that is done and the time left follow what the stages cost, detail as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlx_moebius.ui.pace import Course, Pace
from mlx_moebius.ui.server import Server
from tests.support.visitor import Visitor, brush
from tests.ui.test_results import small_photo


class Clock:
    """A clock that goes on when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def fill(course: Course, clock: Clock) -> list[dict[str, Any]]:
    """One run: 1 s to start, ten steps of 0.1 s, 20 s of detail, 1 s to write. What is shown after each."""
    shown = []
    course.begin()
    clock.now += 1
    for number in range(1, 11):
        clock.now += 0.1
        course.step(number, 10)
        shown.append(course.shown())
    clock.now += 20
    course.grown(1, 1)
    shown.append(course.shown())
    clock.now += 1
    course.written()
    return [*shown, course.shown()]


def test_detail_counts_and_the_second_run_knows() -> None:
    clock, pace = Clock(), Pace()
    first = Course(pace, 10, 1, 40_000, detail=True, clock=clock)
    assert first.shown()["left"] is None  # nothing is known yet
    fill(first, clock)
    second = Course(pace, 10, 1, 80_000, detail=True, clock=clock)
    assert second.shown()["left"] == pytest.approx(1 + 1 + 40 + 1, abs=0.2)
    *steps, grown, written = fill(second, clock)
    assert steps[-1]["stage"] == "detail"
    assert steps[-1]["share"] < 0.1  # all steps, and nearly everything is left
    assert steps[-1]["left"] == pytest.approx(41, abs=0.5)
    assert grown["stage"] == "write"
    assert written["left"] == pytest.approx(0, abs=0.1)
    shares = [step["share"] for step in (*steps, grown, written)]
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.slow
def test_a_run_tells_its_stages(server: Server, tmp_path: Path) -> None:
    visitor = Visitor(server)
    photo = visitor.open(small_photo(tmp_path / "small.png"))
    visitor.paint(photo, brush((20, 20), (60, 40)))
    stages = []
    with visitor.listening() as events:
        run = visitor.start(photo, detail=True)
        while True:
            told = events.next("run", lambda each: each["id"] == run["id"])
            stages.append(told["stage"])
            if told["state"] == "done":
                break
    assert list(dict.fromkeys(stages)) == ["waiting", "start", "detail", "write"]  # its network takes one step
    assert told["share"] == 1
