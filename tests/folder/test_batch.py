"""A folder of photos through the command line: what is done, skipped, resumed and reported."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mlx_moebius.files import locked
from mlx_moebius.folder import ledger
from mlx_moebius.generate import main
from tests.faults.injectors import disk_of
from tests.support.command import Ended
from tests.support.command import run as run_here
from tests.support.pictures import picture
from tests.support.tiny import tiny

FAST = ("--model", tiny(), "--steps", "1", "--guidance", "1", "--no-detail")
COMMAND = (sys.executable, "-m", "mlx_moebius.generate")


def draw(path: Path, width: int = 160, height: int = 140, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture("RGB", width, height, seed).save(path)
    return path


def draw_mask(path: Path, width: int = 160, height: int = 140, at: int = 40, side: int = 24) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).ellipse((at, at, at + side * 5 // 4, at + side), fill=255)
    mask.save(path)
    return path


def album(folder: Path) -> Path:
    """Seven photos of several formats, one in a folder inside, each with its mask beside it."""
    names = ["a.jpg", "a.png", "b.webp", "c.tif", "d.avif", "e.bmp", "inside/a.jpg"]
    for index, name in enumerate(names):
        draw(folder / name, seed=index)
        draw_mask((folder / name).with_name(Path(name).name + "_mask.png"), at=30 + 5 * index)
    return folder


def command(folder: Path, out: Path, *more: str) -> list[str]:
    return [*COMMAND, str(folder), "-o", str(out), "--recursive", *FAST, *more]


def generate(folder: Path, out: Path, *more: str) -> Ended:
    return run_here(main, *command(folder, out, *more)[len(COMMAND) :])


def events(run: Ended, kind: str) -> list[dict[str, Any]]:
    return [event for line in run.stdout.splitlines() if (event := json.loads(line))["event"] == kind]


def results(out: Path) -> dict[str, bytes]:
    """Every file of a run but ledger and page, hidden ones too."""
    files = (path for path in out.rglob("*") if path.is_file() and path.name not in (ledger.NAME, "review.html"))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def written(out: Path) -> int:
    """How many results there are, while a run makes others."""
    names = (path for path in out.rglob("[!.]*") if path.name not in (ledger.NAME, "review.html"))
    return sum(path.is_file() for path in names)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An album and what one run makes of it."""
    root = tmp_path_factory.mktemp("album")
    folder, out = album(root / "photos"), root / "out"
    run = generate(folder, out)
    assert run.returncode == 0, run.stderr
    assert "7 done" in run.stderr
    return folder, out


def test_output_mirrors_the_folder_and_each_photo_gets_its_own_mask(undisturbed: tuple[Path, Path]) -> None:
    folder, out = undisturbed
    photos = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if "_mask" not in path.name}
    assert set(results(out)) == photos
    before, after = (np.asarray(Image.open(root / "a.png"), int) for root in (folder, out))
    mask = np.asarray(Image.open(folder / "a.png_mask.png")) > 0
    changed = (before != after).any(axis=-1)
    assert changed[mask].mean() > 0.5
    rows, columns = np.nonzero(changed)
    assert (rows.min(), columns.min()) > (20, 20)
    assert (rows.max(), columns.max()) < (90, 90)


def test_the_ledger_has_a_line_a_photo(undisturbed: tuple[Path, Path]) -> None:
    _, out = undisturbed
    records = [json.loads(line) for line in (out / ledger.NAME).read_text().splitlines()]
    assert sorted(record["input"] for record in records) == sorted(results(out))
    for record in records:
        assert len(record["input_sha256"]) == len(record["mask_sha256"]) == 64
        assert set(record["seconds"]) == {"read", "encode", "denoise", "decode", "detail", "write"}
        assert record["request"]["settings"]["num_steps"] == 1
        assert record["seam"]["colour_ratio"] > 0
        assert len(record["seam"]["luma"]) == len(record["seam"]["chroma"]) == 4
        assert record["enlargement"] > 1
        assert record["peak_bytes"]["process"] > record["peak_bytes"]["network"] > 2**20


def test_a_rerun_skips_what_is_done_and_redoes_what_changed(undisturbed: tuple[Path, Path], tmp_path: Path) -> None:
    folder, out = (Path(shutil.copytree(source, tmp_path / source.name)) for source in undisturbed)
    draw(folder / "b.webp", seed=99)
    draw_mask(folder / "c.tif_mask.png", at=70)
    (out / "d.avif").unlink()
    written = (out / "a.jpg").stat().st_mtime_ns
    run = generate(folder, out, "--json")
    redone = {event["input"] for event in events(run, "done")}
    # The ledger was copied along: it is the contents of the masks that count, not their paths.
    assert redone == {"b.webp", "c.tif", "d.avif"}
    assert len(events(run, "skipped")) == 4
    assert (out / "a.jpg").stat().st_mtime_ns == written
    assert {event["input"] for event in events(generate(folder, out, "--json"), "done")} == set()
    assert len(events(generate(folder, out, "--json", "--seed", "3"), "done")) == 7
    assert len(events(generate(folder, out, "--json", "--seed", "3", "--force"), "done")) == 7


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_same_files(undisturbed: tuple[Path, Path], tmp_path: Path) -> None:
    folder, expected = undisturbed
    out = tmp_path / "out"
    for kill in range(4):
        process = subprocess.Popen(command(folder, out), stderr=subprocess.DEVNULL)
        while process.poll() is None and written(out) <= kill:
            time.sleep(0.005)
        process.kill()
        process.wait()
    (out / ".moebius-0123456789ab.part").write_bytes(b"of a run that was killed while writing")
    with (out / ledger.NAME).open("ab") as file:
        file.write(b'{"input": "e.bmp", "finis')
    run = generate(folder, out)
    assert run.returncode == 0, run.stderr
    assert results(out) == results(expected)
    assert set(ledger.read(out)) == set(ledger.read(expected))


def test_an_interrupt_finishes_what_is_in_hand(undisturbed: tuple[Path, Path], tmp_path: Path) -> None:
    folder, expected = undisturbed
    out = tmp_path / "out"
    process = subprocess.Popen(
        [*command(folder, out), "--steps", "12"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    while process.poll() is None and not list(out.rglob("[!.]*.jpg")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "interrupted; the same command goes on from here"
    assert "Traceback" not in said
    present = results(out)
    assert 0 < len(present) < len(results(expected))
    assert set(present) == set(ledger.read(out))


@pytest.mark.slow
def test_a_full_disk_stops_cleanly(undisturbed: tuple[Path, Path], tmp_path: Path) -> None:
    folder, expected = undisturbed
    limit = 60_000  # the BMP is larger, everything before it is smaller
    out = tmp_path / "out"
    run = subprocess.run(command(folder, out), capture_output=True, text=True, preexec_fn=disk_of(limit))
    assert run.returncode == 1
    assert "could not be written" in run.stderr.splitlines()[-1]
    assert "goes on from here" in run.stderr.splitlines()[-1]
    present = results(out)
    assert present
    assert "e.bmp" not in present
    assert all(results(expected)[name] == data for name, data in present.items())
    assert generate(folder, out).returncode == 0
    assert results(out) == results(expected)


def test_bad_photos_are_listed_and_the_others_done(tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    draw(folder / "good.jpg")
    draw(folder / "unmasked.jpg")
    draw(folder / "twice.jpg")
    for name in ("good_mask.png", "bad_mask.png", "twice_mask.png", "twice_mask.bmp"):
        draw_mask(folder / name)
    draw(folder / "wide.png", 300, 100)
    draw_mask(folder / "wide_mask.png")
    draw(folder / "large.png")
    Image.new("L", (160, 140), 255).save(folder / "large_mask.png")
    draw(folder / "most.png")
    most = Image.new("L", (160, 140), 255)
    most.paste(0, (40, 40, 100, 100))
    most.save(folder / "most_mask.png")
    (folder / "bad.jpg").write_bytes((folder / "good.jpg").read_bytes()[:900])
    run = generate(folder, out, "--json")
    assert run.returncode == 1
    (end,) = events(run, "end")
    assert (end["done"], end["without_mask"], len(end["errors"])) == (1, 1, 5)
    assert [event["input"] for event in events(run, "without_mask")] == ["unmasked.jpg"]
    assert "unmasked.jpg" in (out / "review.html").read_text()
    refused = {event["input"]: event["error"] for event in events(run, "error")}
    assert sorted(refused) == ["bad.jpg", "large.png", "most.png", "twice.jpg", "wide.png"]
    assert "filled (the mask covers 84%, and grows): add --yes if that is meant or add --invert" in refused["most.png"]
    assert set(results(out)) == {"good.jpg"}
    quiet = generate(folder, out, "--quiet")
    assert quiet.returncode == 1
    assert quiet.stdout == ""
    assert len(quiet.stderr.splitlines()) == 5  # each once, when it happens
    meant = events(generate(folder, out, "--json", "--yes"), "done")
    assert [event["input"] for event in meant] == ["most.png"]


@pytest.mark.slow
def test_one_mask_a_folder_of_masks_alpha_or_boxes(tmp_path: Path) -> None:
    folder, masks = tmp_path / "photos", tmp_path / "masks"
    for index, name in enumerate(("a.png", "b.png")):
        draw(folder / name, seed=index)
    one = draw_mask(tmp_path / "one.png")
    shutil.copy(draw_mask(masks / "b.png", at=60), masks / "a.png")
    alpha = picture("RGB").convert("RGBA")
    alpha.putalpha(Image.new("L", alpha.size, 255))
    alpha.paste((0, 0, 0, 0), (20, 20, 40, 40))
    alpha.save(folder / "c.png")
    cases = {
        ("--mask", str(one)): {"a.png", "b.png"},
        ("--mask", str(masks)): {"a.png", "b.png"},
        ("--mask", "alpha"): {"c.png"},
        ("--mask-from", "30,30,20,20"): {"a.png", "b.png", "c.png"},
    }
    for index, (options, names) in enumerate(cases.items()):
        assert generate(folder, out := tmp_path / f"out{index}", *options).returncode == (index == 0)
        assert set(results(out)) == names
    assert (tmp_path / "out0/a.png").read_bytes() != (tmp_path / "out1/a.png").read_bytes()


def test_nothing_of_the_users_is_overwritten(tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    draw(folder / "a.jpg")
    mine = draw(out / "a.jpg", seed=5).read_bytes()
    refused = generate(folder, out, "--mask-from", "30,30,20,20")
    assert refused.returncode == 1
    assert "is not an earlier run's" in refused.stderr
    assert results(out) == {"a.jpg": mine}
    assert "they would be overwritten" in generate(folder, folder, "--mask-from", "30,30,20,20").stderr
    assert generate(folder, out, "--mask-from", "30,30,20,20", "--overwrite").returncode == 0
    assert results(out)["a.jpg"] != mine


def test_only_one_run_at_a_time_writes_into_a_folder(undisturbed: tuple[Path, Path], tmp_path: Path) -> None:
    folder, _ = undisturbed
    with locked(tmp_path):
        run = generate(folder, tmp_path)
    assert run.returncode == 1
    assert run.stderr == f"error: another run is writing into {tmp_path}: wait for it, or choose another one\n"
    assert not list(tmp_path.iterdir())


def test_a_dry_run_only_lists(tmp_path: Path) -> None:
    folder, out = album(tmp_path / "photos"), tmp_path / "out"
    draw(folder / "plain.jpg")
    run = generate(folder, out, "--dry-run", "--model", "nano")
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[0] == f"a.jpg + {folder / 'a.jpg_mask.png'}: 1 window, enlarged 1.00 times"
    assert lines[-2] == "plain.jpg: no mask"
    assert lines[-1].startswith("7 windows, about ")
    assert not out.exists()
    one = tmp_path / "one"
    one.mkdir()
    for name in ("a.jpg", "a.jpg_mask.png"):
        shutil.copy(folder / name, one)
    assert generate(one, out, "--dry-run").stdout.splitlines()[-1].startswith("1 window, about ")
    (one / "a.jpg").write_bytes(b"no photo")
    run = generate(one, out, "--dry-run")
    assert run.returncode == 1
    assert ": error: " in run.stdout


@pytest.mark.slow
def test_two_ranks_share_the_photos(undisturbed: tuple[Path, Path], tmp_path: Path) -> None:
    folder, expected = undisturbed
    out = tmp_path / "out"
    launch = [str(Path(sys.executable).with_name("mlx.launch")), "-n", "2", "--"]
    run = subprocess.run([*launch, *command(folder, out)], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert results(out) == results(expected)
    assert "7 done (4 in this run" in run.stderr
    ranks = [record["rank"] for record in ledger.read(out).values()]
    assert (ranks.count(0), ranks.count(1)) == (4, 3)
    assert [path.name for path in out.glob("*.jsonl")] == [ledger.NAME]


def test_a_dead_ranks_photos_are_done_by_a_rerun(undisturbed: tuple[Path, Path], tmp_path: Path) -> None:
    folder, expected = undisturbed
    out = Path(shutil.copytree(expected, tmp_path / "out"))
    lines = (out / ledger.NAME).read_text().splitlines(keepends=True)
    (out / ledger.NAME).write_text("".join(lines[:3]))  # rank 0's
    (out / "moebius.rank1.jsonl").write_text("".join(lines[3:5]) + lines[5][:40])
    for line in lines[5:]:
        (out / json.loads(line)["output"]).unlink()
    run = generate(folder, out, "--json")
    assert len(events(run, "skipped")) == 5
    assert results(out) == results(expected)


def test_a_limit_below_one_window_is_one_clear_line(undisturbed: tuple[Path, Path], tmp_path: Path) -> None:
    folder, _ = undisturbed
    run = generate(folder, tmp_path / "out", "--memory-limit", "20MB", "--model", "nano")
    assert run.returncode == 1
    assert run.stderr.startswith("error: the model needs 0.")
    assert len(run.stderr.splitlines()) == 1
    wrong = generate(folder, tmp_path / "out", "--memory-limit", "lots")
    assert "is not a size such as 8GB" in wrong.stderr


def test_an_unreadable_file_does_not_stop_the_others(tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    draw(folder / "good.jpg")
    os.symlink(folder / "nowhere.jpg", folder / "gone.jpg")
    run = generate(folder, out, "--mask-from", "30,30,20,20")
    assert run.returncode == 1
    assert "gone.jpg cannot be read" in run.stderr
    assert set(results(out)) == {"good.jpg"}


def test_odd_file_names_are_names(tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    names = ["good.jpg", "x" * 250 + ".jpg", os.fsdecode(b"caf\xe9.jpg")]  # the longest there is; not UTF-8
    draw(folder / names[0])
    for name in names[1:]:
        try:
            shutil.copy(folder / names[0], folder / name)
        except OSError:  # disks of a Mac have names in UTF-8 only
            names.remove(name)
    run = generate(folder, out, "--mask-from", "30,30,20,20")
    assert run.returncode == 0, run.stderr
    assert set(results(out)) == set(names)
    page = (out / "review.html").read_bytes()
    assert len(names) < 3 or b"caf%E9.jpg" in page
    plan = subprocess.run([*command(folder, out, "--mask-from", "30,30,20,20"), "--dry-run"], capture_output=True)
    assert plan.returncode == 0
    assert plan.stdout.count(b"done already") == len(names)
