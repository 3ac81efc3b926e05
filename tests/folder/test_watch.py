"""A watched folder: photos are filled as they arrive. What happens between two looks is done in place of the pause."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mlx_moebius.folder import ledger, review
from mlx_moebius.generate import main
from tests.folder.test_batch import draw, draw_mask
from tests.support.command import Ended, run
from tests.support.tiny import tiny

FAST = ("--model", tiny(), "--no-detail")
Happening = Callable[[], None]


@pytest.fixture
def arrivals(tmp_path: Path) -> Path:
    """A folder with photos and masks that come later, one by one."""
    for index, name in enumerate(("a", "b", "c")):
        draw(tmp_path / "camera" / f"{name}.jpg", seed=index)
        draw_mask(tmp_path / "camera" / f"{name}_mask.png")
    (tmp_path / "wedding").mkdir()
    return tmp_path


def bring(folder: Path, *names: str) -> None:
    for name in names:
        (folder / "wedding" / name).write_bytes((folder / "camera" / name).read_bytes())


def watched(folder: Path, monkeypatch: pytest.MonkeyPatch, *happenings: Happening, more: tuple[str, ...] = ()) -> Ended:
    """Watch while these things happen, one between two looks, then press Ctrl-C."""
    coming = iter(happenings)

    def pause() -> None:
        happening = next(coming, None)
        if happening is None:
            raise KeyboardInterrupt
        happening()

    monkeypatch.setattr("mlx_moebius.folder.watch.pause", pause)
    return run(main, folder / "wedding", "-o", folder / "finished", "--watch", *FAST, *more)


def nothing() -> None:
    """Time passes."""


def test_what_arrives_is_filled_once_it_is_complete(arrivals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = (arrivals / "camera" / "a.jpg").read_bytes()[:2000]
    out = arrivals / "finished"
    seen: list[list[str]] = []

    def look() -> None:
        seen.append(sorted(path.name for path in out.glob("*.jpg")))

    def half_of_a() -> None:
        bring(arrivals, "a_mask.png")
        (arrivals / "wedding" / "a.jpg").write_bytes(half)

    ended = watched(
        arrivals,
        monkeypatch,
        half_of_a,
        lambda: bring(arrivals, "a.jpg"),
        look,  # (the whole file was seen once only)
        look,
        lambda: bring(arrivals, "b.jpg"),
        nothing,
        lambda: bring(arrivals, "b_mask.png"),
        nothing,
        look,
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False)
    assert seen == [[], ["a.jpg"], ["a.jpg", "b.jpg"]]
    assert sorted(ledger.read(out)) == ["a.jpg", "b.jpg"]
    page = (out / review.NAME).read_text()
    assert "a.jpg" in page
    assert "b.jpg" in page


def test_what_failed_is_tried_again_only_when_it_has_changed(arrivals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = (arrivals / "camera" / "c.jpg").read_bytes()[:2000]

    def cut_c() -> None:
        bring(arrivals, "c_mask.png")
        (arrivals / "wedding" / "c.jpg").write_bytes(cut)

    happenings = [cut_c, nothing, nothing, nothing, lambda: bring(arrivals, "c.jpg"), nothing, nothing]
    ended = watched(arrivals, monkeypatch, *happenings, more=("--json",))
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [event["event"] for event in events if event["event"] in ("error", "done")] == ["error", "done"]
    assert ended.returncode == 1  # one had failed
    assert (arrivals / "finished" / "c.jpg").is_file()


def test_a_rerun_leaves_what_is_done(arrivals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(arrivals, "a.jpg", "a_mask.png")
    assert watched(arrivals, monkeypatch, nothing, nothing).returncode == 0
    before = os.stat(arrivals / "finished" / "a.jpg").st_mtime_ns
    ended = watched(arrivals, monkeypatch, nothing, nothing, more=("--json",))
    assert [json.loads(line)["event"] for line in ended.stdout.splitlines()].count("skipped") == 1
    assert os.stat(arrivals / "finished" / "a.jpg").st_mtime_ns == before


def test_what_makes_no_sense_is_refused(arrivals: Path) -> None:
    bring(arrivals, "a.jpg", "a_mask.png")
    one = run(main, arrivals / "wedding" / "a.jpg", "--watch", *FAST)
    assert (one.returncode != 0, "are for a folder" in one.stderr) == (True, True)
    forced = run(main, arrivals / "wedding", "--watch", "--force", *FAST)
    assert (forced.returncode != 0, "leave --force" in forced.stderr) == (True, True)
