"""The command line as its users meet it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from mlx_moebius.generate import app, main
from mlx_moebius.models import find_model
from mlx_moebius.photos.masks import dilate
from mlx_moebius.photos.photo import read_provenance
from tests.support.command import Ended
from tests.support.command import run as run_here
from tests.support.tiny import tiny

EXAMPLES = Path(__file__).parent.parent / "examples"
PHOTO, MASK = EXAMPLES / "landscape.png", EXAMPLES / "landscape_mask.png"
SMALL = ("--mask-from", "150,180,24,24")  # one window, where the whole person takes seven


def generate(*arguments: str | Path, cwd: Path | None = None) -> Ended:
    """Run it, with the bundled model unless another is asked for, and without detail, which takes most of the time."""
    model = [] if "--model" in arguments else ["--model", "nano"]
    detail = [] if "--detail" in arguments else ["--no-detail"]
    return run_here(main, *arguments, *model, *detail, cwd=cwd)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in (PHOTO, MASK):
        shutil.copy(file, tmp_path)
    return tmp_path


def test_the_stranger_goes(tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    run = generate(PHOTO, "--mask", MASK, "-o", out, "--detail", "--seed", "1", "--save-mask", tmp_path / "mask.png")
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(out)
    before, after = (np.asarray(Image.open(path), np.float32) for path in (PHOTO, out))
    red_jacket = np.s_[184:208, 146:166]
    field = np.s_[184:208, 176:196]
    assert np.abs(before[red_jacket].mean((0, 1)) - before[field].mean((0, 1))).max() > 50
    assert np.abs(after[red_jacket].mean((0, 1)) - after[field].mean((0, 1))).max() < 20
    filled = np.asarray(Image.open(tmp_path / "mask.png")) > 0
    assert filled[np.asarray(Image.open(MASK)) > 127].all()
    untouched = ~dilate(filled, 5)  # the feather of a 128-pixel window is 2 pixels wide
    assert np.array_equal(after[untouched], before[untouched])


@pytest.mark.slow
def test_output_goes_beside_the_photo_and_is_never_overwritten_silently(folder: Path) -> None:
    arguments = (folder / "landscape.png", *SMALL, "--steps", "3")
    assert generate(*arguments).returncode == 0
    out = folder / "landscape_filled.png"
    first = out.read_bytes()
    refused = generate(*arguments, "--seed", "9")
    assert refused.returncode == 1
    assert "exists" in refused.stderr
    assert out.read_bytes() == first
    assert generate(*arguments, "--seed", "9", "--overwrite").returncode == 0
    assert out.read_bytes() != first


def test_settings_are_recorded_unless_unwanted(folder: Path) -> None:
    arguments = (folder / "landscape.png", *SMALL, "--steps", "3", "--seed", "4")
    assert generate(*arguments, "-o", folder / "a.png").returncode == 0
    assert generate(*arguments, "-o", folder / "b.png", "--no-metadata").returncode == 0
    recorded = read_provenance(folder / "a.png")
    assert recorded is not None
    assert (recorded["model"], recorded["settings"]["seed"], recorded["settings"]["num_steps"]) == ("nano", 4, 3)
    assert read_provenance(folder / "b.png") is None
    assert np.array_equal(np.asarray(Image.open(folder / "a.png")), np.asarray(Image.open(folder / "b.png")))


def test_verbose_shows_windows_seam_stages_and_blas(folder: Path) -> None:
    run = generate(folder / "landscape.png", *SMALL, "--steps", "3", "-v")
    for word in (
        "window 128 x 128",
        "seam: colour step",
        "grain of 1, 2, 4, 8 pixels",
        "load",
        "encode",
        "denoise",
        "decode",
        "MiB",
        "BLAS",
    ):
        assert word in run.stdout


def test_reference_gives_the_models_size(tmp_path: Path) -> None:
    Image.open(PHOTO).crop((0, 0, 256, 256)).save(tmp_path / "square.png")
    run = generate(tmp_path / "square.png", "--mask-from", "140,165,40,80", "--reference", "-o", tmp_path / "o.png")
    assert run.returncode == 0, run.stderr
    assert Image.open(tmp_path / "o.png").size == (128, 128)


def test_version_and_help() -> None:
    assert generate("--version").stdout.startswith("mlx-moebius 0.1.0 (mlx ")
    assert "demonstration" in generate("--help").stdout


def test_help_shows_every_option_once_under_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    headings: dict[str, list[str]] = {}
    for line in capsys.readouterr().out.splitlines():
        if title := re.fullmatch("(Used most|More, .+):", line):
            headings[title[1]] = shown = []
        elif option := re.match("  (?:-[a-z], )?(--[a-z-]+)", line):
            shown.append(option[1])
    first, *titles, last = headings
    assert first == "Used most"
    assert titles == [
        f"More, {it}" for it in ("what to fill", "how to sample", "how it looks", "files", "speed", "folders")
    ]
    assert headings.pop(last) == ["--verbose", "--version", "--help"]
    assert {"--invert", "--extend"} <= set(headings["More, what to fill"])
    assert {"--solver", "--reuse-features", "--device"} <= set(headings["More, speed"])
    every = [option for shown in headings.values() for option in shown]
    taken = {max(option.opts, key=len) for option in get_command(app).params if option.param_type_name == "option"}
    assert sorted(every) == sorted(taken - {"--verbose", "--version"})


def _guided_model(folder: Path) -> Path:
    """The bundled weights in a folder that asks for guidance, which the bundled model knows none of."""
    model = folder / "guided"
    shutil.copytree(find_model("nano"), model)
    config = json.loads((model / "config.json").read_text())
    config["sampling"]["guidance_scale"] = 2.0
    (model / "config.json").write_text(json.dumps(config))
    return model


def _damaged_model(folder: Path, name: str) -> Path:
    model = folder / f"without_{name}"
    shutil.copytree(find_model("nano"), model)
    (model / name).write_bytes((model / name).read_bytes()[:1000])
    return model


def test_each_error_is_one_line_and_leaves_nothing(folder: Path) -> None:
    photo, mask = folder / "landscape.png", folder / "landscape_mask.png"
    Image.new("L", (384, 256)).save(folder / "black.png")
    Image.new("L", (384, 256), 255).save(folder / "white.png")
    Image.new("L", (256, 256), 255).save(folder / "square.png")
    blinds = np.zeros((256, 384), np.uint8)
    blinds[(np.arange(256) - 5) % 10 < 3] = 255
    Image.fromarray(blinds).save(folder / "blinds.png")
    speck = np.full((256, 384), 255, np.uint8)
    speck[100:103, 100:103] = 0
    Image.fromarray(speck).save(folder / "speck.png")
    (folder / "cut.png").write_bytes(photo.read_bytes()[:5000])
    (folder / "text.png").write_text("not a picture")
    cases = {
        "does not exist": (folder / "missing.png", "-m", mask),
        "damaged": (folder / "cut.png", "-m", mask),
        "is not a JPEG": (folder / "text.png", "-m", mask),
        "another aspect": (photo, "-m", folder / "square.png"),
        "is empty": (photo, "-m", folder / "black.png"),
        "all white": (photo, "-m", folder / "white.png"),
        "what should go from": (shutil.copy(photo, folder / "alone.png"),),
        "is no mask, it has": (photo, "-m", photo),
        "are photo and mask swapped?": (mask, "-m", photo),
        "add --yes": (photo, "--mask-from", "0,0,384,200"),
        "% of the photo would be filled (the mask covers 30%, and grows): add --yes if that is meant": (
            photo,
            "-m",
            folder / "blinds.png",
        ),
        "nothing once it has grown": (photo, "-m", folder / "speck.png", "--yes"),
        "unknown model": (photo, "-m", mask, "--model", "nonsense"),
        "not a model folder": (photo, "-m", mask, "--model", folder),
        "unet.safetensors is missing or damaged": (
            photo,
            "-m",
            mask,
            "--model",
            _damaged_model(folder, "unet.safetensors"),
        ),
        "not a model configuration": (photo, "-m", mask, "--model", _damaged_model(folder, "config.json")),
        "1 step at strength 0.99": (photo, "-m", mask, "--steps", "1", "--strength", "0.99"),
        "extension": (photo, "-m", mask, "-o", folder / "out.xyz"),
        "no GPU": (photo, "-m", mask, "--device", "gpu"),
    }
    present = sorted(folder.iterdir())
    for message, arguments in cases.items():
        if message == "no GPU" and _has_gpu():
            continue
        run = generate(*arguments)
        assert run.returncode == 1, (message, run.stdout, run.stderr)
        lines = run.stderr.strip().splitlines()
        assert message in lines[-1], run.stderr
        assert len(lines) == 1, run.stderr
        assert lines[0].startswith("error: ")
        assert run.stdout == ""
        assert sorted(folder.iterdir()) == present


def _has_gpu() -> bool:
    import mlx.core as mx

    return bool(mx.default_device().type != mx.DeviceType.cpu)


@pytest.mark.slow
def test_a_sheet_of_seeds_and_the_pick_of_one(folder: Path) -> None:
    photo, mask = folder / "landscape.png", folder / "landscape_mask.png"
    common = (photo, "-m", mask, "--whole-image", "--seed", "5")
    sheet = generate(*common, "--seeds", "3")
    assert sheet.returncode == 0, sheet.stderr
    with Image.open(folder / "landscape_seeds.png") as image:
        assert image.width > 2 * 384  # three pictures in two columns
        second = np.asarray(image.convert("RGB"))[:256, 392 : 392 + 384]
    assert generate(*common, "--pick", "2", "-o", folder / "picked.png").returncode == 0
    assert generate(*common[:-1], "6", "-o", folder / "seeded.png").returncode == 0
    picked, seeded = (np.asarray(Image.open(folder / name)) for name in ("picked.png", "seeded.png"))
    assert np.array_equal(picked, seeded)
    assert np.array_equal(picked[100:], second[100:])  # below the number


def test_a_run_is_repeated_from_its_metadata(folder: Path) -> None:
    photo = folder / "landscape.png"
    first = ("--steps", "3", "--seed", "7", "--context", "1.5", "--no-compensate", "-o", folder / "first.png")
    assert generate(photo, *SMALL, *first).returncode == 0
    again = ("--from-metadata", folder / "first.png")
    assert generate(photo, *SMALL, *again, "-o", folder / "again.png").returncode == 0
    assert (folder / "again.png").read_bytes() == (folder / "first.png").read_bytes()
    assert generate(photo, *SMALL, *again, "--seed", "8", "-o", folder / "other.png").returncode == 0
    assert (folder / "other.png").read_bytes() != (folder / "first.png").read_bytes()
    refused = generate(photo, *SMALL, "--from-metadata", photo, "-o", folder / "no.png")
    assert refused.returncode == 1
    assert "does not say how it was filled" in refused.stderr


@pytest.mark.parametrize("here", [False, True])
def test_where_a_model_lies_stays_with_its_owner(folder: Path, here: bool) -> None:
    model, out = folder / "for-a-client/mine", folder / "filled.png"
    shutil.copytree(tiny(), model)
    common = (folder / "landscape.png", *SMALL, "--steps", "1", "-o", out)
    run = generate(*common, "--model", "." if here else model, cwd=model)
    assert run.returncode == 0, run.stderr
    assert not any(part in out.read_bytes() for part in (b"for-a-client", str(folder).encode()))
    assert (read_provenance(out) or {})["model"] == "mine"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "value", "bad"),
    [("--solver", "dpm++", "euler"), ("--guidance-until", "0.5", "7"), ("--reuse-features", "2", "0")],
)
def test_approximate_options_change_the_fill_and_are_recorded(folder: Path, option: str, value: str, bad: str) -> None:
    model = _guided_model(folder)
    common = (folder / "landscape.png", *SMALL, "--steps", "4", "--model", model)
    assert generate(*common, "-o", folder / "exact.png").returncode == 0
    run = generate(*common, option, value, "-o", folder / "fast.png")
    assert run.returncode == 0, run.stderr
    exact, fast = (np.asarray(Image.open(folder / name), np.float32) for name in ("exact.png", "fast.png"))
    assert np.abs(exact - fast).max() > 0
    assert np.abs(exact - fast).mean() < 2  # levels, over the whole photo
    provenance = read_provenance(folder / "fast.png")
    assert provenance
    assert str(provenance["settings"][option.removeprefix("--").replace("-", "_")]) == value
    assert generate(*common, option, bad, "-o", folder / "no.png").returncode != 0


@pytest.mark.slow
def test_a_preset_sets_what_is_not_asked_for(folder: Path) -> None:
    model = Path(shutil.copytree(tiny(), folder / "model"))
    config = json.loads((model / "config.json").read_text())
    config["sampling"]["num_steps"] = 4
    (model / "config.json").write_text(json.dumps(config))
    arguments = (folder / "landscape.png", *SMALL)
    recorded = {}
    asked: dict[str, tuple[str | Path, ...]] = {
        "plain": (),
        "standard": ("--preset", "standard"),
        "fast": ("--preset", "fast"),
        "best": ("--preset", "best"),
        "asked": ("--preset", "fast", "--steps", "3", "--reuse-features", "1"),
        "nano": ("--preset", "fast", "--model", "nano"),
    }
    for name, more in asked.items():
        chosen = more if "--model" in more else (*more, "--model", model)
        run = generate(*arguments, "-o", folder / f"{name}.png", *chosen)
        assert run.returncode == 0, run.stderr
        settings = (read_provenance(folder / f"{name}.png") or {})["settings"]
        recorded[name] = (settings["num_steps"], settings["solver"], settings["reuse_features"])
    assert recorded == {
        "plain": (4, "ddim", 1),
        "standard": (4, "ddim", 1),
        "fast": (2, "dpm++", 2),
        "best": (4, "dpm++", 1),
        "asked": (3, "dpm++", 1),
        "nano": (1, "ddim", 1),  # made for one step
    }
    wrong = generate(*arguments, "--preset", "great")
    assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False)
    assert "great" in wrong.stderr


def test_a_hole_in_the_photo_is_filled_and_becomes_opaque(folder: Path) -> None:
    with Image.open(folder / "landscape.png") as image:
        cut = image.convert("RGBA")
    cut.paste((0, 0, 0, 0), (150, 170, 170, 200))
    cut.putpixel((5, 5), (1, 2, 3, 200))
    cut.save(folder / "cut.png")
    run = generate(folder / "cut.png", "--mask", "alpha", "--steps", "3")
    assert run.returncode == 0, run.stderr
    before, after = (np.asarray(Image.open(folder / name)) for name in ("cut.png", "cut_filled.png"))
    assert (after[170:200, 150:170, 3] == 255).all()
    assert after[170:200, 150:170, 1].mean() > 100  # meadow, not the black beneath the hole
    assert np.array_equal(after[:100], before[:100])


def test_more_than_half_is_filled_where_that_is_meant(folder: Path) -> None:
    run = generate(folder / "landscape.png", "--mask-from", "0,0,384,200", "--yes", "--steps", "2")
    assert run.returncode == 0, run.stderr
    before, after = (np.asarray(Image.open(folder / name)) for name in ("landscape.png", "landscape_filled.png"))
    assert (before[:200] != after[:200]).any(axis=-1).mean() > 0.9


@pytest.mark.slow
def test_odd_file_names_of_one_photo(folder: Path) -> None:
    long, odd = folder / ("x" * 246 + ".png"), folder / os.fsdecode(b"caf\xe9.png")
    shutil.copy(folder / "landscape.png", long)
    options = (*SMALL, "--steps", "2")
    run = generate(long, *options)
    assert (run.returncode, len(run.stderr.splitlines())) == (1, 1)
    assert "give another name with -o" in run.stderr
    try:
        shutil.copy(long, odd)
    except OSError:  # disks of a Mac have names in UTF-8 only
        return
    command = [sys.executable, "-m", "mlx_moebius.generate", str(odd), *options, "--model", "nano"]
    run_odd = subprocess.run(command, capture_output=True)
    assert (run_odd.returncode, run_odd.stdout.endswith(b"caf\xe9_filled.png\n")) == (0, True), run_odd.stderr


def test_a_wider_frame(folder: Path) -> None:
    run = generate(folder / "landscape.png", "--aspect", "16:9", "--gravity", "left", "--steps", "3")
    assert run.returncode == 0, run.stderr
    before, after = (np.asarray(Image.open(folder / name)) for name in ("landscape.png", "landscape_filled.png"))
    assert after.shape == (256, 455, 3)
    assert np.array_equal(after[:, :384], before)


@pytest.mark.slow
def test_a_fill_that_shows_is_told_without_being_asked(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 160, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    arguments = (tmp_path / "noise.png", "--mask-from", "40,40,60,50")
    soft = generate(*arguments, "--no-detail")
    assert "warning: the fill is soft, 0.0" in soft.stderr
    sheet = generate(*arguments, "--no-detail", "--seeds", "2")
    assert "warning: fill 1: the fill is soft" in sheet.stderr
    assert "warning: fill 2: the fill is soft" in sheet.stderr
    assert generate(*arguments, "--overwrite", "--detail").stderr == ""
    (tmp_path / "folder").mkdir()
    shutil.copy(tmp_path / "noise.png", tmp_path / "folder")
    out = tmp_path / "out"
    run = generate(tmp_path / "folder", "--mask-from", "40,40,60,50", "--no-detail", "-o", out)
    assert "warning: noise.png: the fill is soft" in run.stderr
    assert "the fill is soft" in json.loads((out / "moebius.jsonl").read_text())["warnings"][0]
    assert "the fill is soft" in (out / "review.html").read_text()
