"""The progress of a folder run: one line that is updated on a terminal, plain lines elsewhere, or JSON events."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from unicodedata import east_asian_width

from mlx_moebius.files import printable
from mlx_moebius.folder.batch import Task
from mlx_moebius.inpainting.pipeline import Event
from mlx_moebius.networks.diffusion import Step
from mlx_moebius.words import counted

Mode = Literal["bar", "lines", "json", "quiet"]


@dataclass(slots=True)
class Report:
    """Progress of `total` photos.

    All modes show errors. "json" writes to standard output, the others to standard error.
    """

    mode: Mode
    total: int
    rank: int = 0
    ended: int = 0
    filled: int = 0
    told: set[str] = field(default_factory=set)
    started: float = field(default_factory=time.perf_counter)

    def begin(self, without_mask: Sequence[Path], results: Sequence[Path] = ()) -> None:
        """Say that the run starts. The first rank names photos `without_mask`, and `results` that are left out."""
        count = len(without_mask)
        self._event("start", photos=self.total, without_mask=count)
        self._line(counted(self.total, "photo") + (f", {count} more without a mask" if count else ""))
        for name in () if self.rank else without_mask:
            self._unmasked(name.as_posix())
        for name in () if self.rank else results:
            self.warning(f"{name} was filled by this program and is left out")

    def warning(self, line: str) -> None:
        """Tell the user something about the folder."""
        self._event("warning", warning=line)
        self._line(f"warning: {line}")

    def step(self, name: str, step: Event) -> None:
        """Say that the network has done a step on the photo `name`, or that detail was grown in it."""
        if not isinstance(step, Step):
            if self.mode == "bar":
                self._status(f"{name}, detail {step.number} of {step.total}")
            return
        self._event("step", input=name, step=step.number, steps=step.total)
        if self.mode == "bar":
            self._status(f"{name}, step {step.number} of {step.total}")

    def ended_one(self, task: Task) -> None:
        """Say that a photo is done, was skipped, or failed."""
        self.ended += 1
        name = task.record["input"]
        if task.skipped:
            self._event("skipped", input=name)
        elif task.unmasked:
            self._unmasked(name)
        elif "error" in task.record:
            self._event("error", **task.record)
            self.told.add(task.record["error"])
            self._line(f"error: {task.record['error']}", always=True)
        else:
            self.filled += 1
            self._event("done", **task.record)
            for warning in task.record["warnings"]:
                self._line(f"warning: {name}: {warning}")
            if self.mode == "lines":
                self._line(f"{self.ended} of {self.total}: {name}, {self._pace()}")

    def end(self, **summary: Any) -> None:
        """Say that the run is over, with its counts and its speed."""
        seconds = time.perf_counter() - self.started
        self._event("end", seconds=round(seconds, 2), photos_a_minute=round(self.filled / seconds * 60, 1), **summary)
        shown = f"{summary['done']} done ({self.filled} in this run, {self.filled / seconds * 60:.1f} photos a minute)"
        if summary["without_mask"]:
            shown += f", {summary['without_mask']} without a mask"
        self._line(f"{shown}, {len(summary['errors'])} failed")
        for error in summary["errors"]:
            if error in self.told:  # shown when it happened
                continue
            self._line(f"failed: {error}", always=True)

    def stopped(self, reason: str) -> None:
        """Say that the run ends before all photos are done."""
        self._event("stopped", reason=reason)
        self._line(f"{reason}; the same command goes on from here", always=True)

    def _unmasked(self, name: str) -> None:
        self._event("without_mask", input=name)
        self._line(f"no mask: {name}")

    def _pace(self) -> str:
        """The speed, and the time left at that speed."""
        seconds = time.perf_counter() - self.started
        if not self.filled:
            return "starting"
        left = (self.total - self.ended) * seconds / self.filled
        rest = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
        return f"{self.filled / seconds * 60:.1f} photos a minute, {rest} left"

    def _status(self, text: str) -> None:
        line = f"{self.ended} of {self.total} · {text} · {self._pace()}"
        sys.stderr.write(f"\r\x1b[K{fitted(printable(line), shutil.get_terminal_size().columns)}")
        sys.stderr.flush()

    def _line(self, text: str, always: bool = False) -> None:
        if self.mode == "json" or (self.mode == "quiet" and not always):
            return
        clear = "\r\x1b[K" if self.mode == "bar" else ""
        prefix = f"[{self.rank}] " if self.rank else ""
        sys.stderr.write(f"{clear}{prefix}{printable(text)}\n")

    def _event(self, kind: str, **values: Any) -> None:
        if self.mode == "json":
            sys.stdout.write(json.dumps({"event": kind, "rank": self.rank} | values) + "\n")
            sys.stdout.flush()


def fitted(text: str, columns: int) -> str:
    """Cut a text in its middle so that it is narrower than a terminal; wide characters take two columns."""
    if _width(text) < columns:
        return text
    end = text[-columns // 2 :]
    start = text
    while start and _width(start) + 1 + _width(end) >= columns:
        start = start[:-1]
    return f"{start}…{end}"


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
