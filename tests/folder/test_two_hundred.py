"""The whole promise at once: two hundred photos, ten of them broken, a run that is killed five times."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlx_moebius.folder import ledger
from mlx_moebius.photos.photo import require_heic
from tests.folder.test_batch import command, draw, draw_mask, events, generate, results, written
from tests.support.pictures import picture

EXTENSIONS = ("jpg", "png", "webp", "tif", "avif", "bmp", "heic")
SIZES = ((180, 130), (160, 140), (210, 150), (150, 160), (200, 140), (150, 230), (160, 120))


def two_hundred(folder: Path) -> set[str]:
    """Draw the photos; returns the names of those that are broken."""
    require_heic()
    for index in range(190):
        width, height = SIZES[(index // 2 + index // 14) % 7]  # evenly mixed
        name = f"{'ceremony' if index % 2 else 'party'}/{index:03}.{EXTENSIONS[index % 7]}"
        draw(folder / name, width, height, index)
        draw_mask(folder / f"{name}_mask.png", width, height, at=30 + index % 60, side=8)
    broken = folder / "broken"
    whole = draw(broken / "good.jpg").read_bytes()
    (broken / "good.jpg").unlink()
    (broken / "cut.jpg").write_bytes(whole[:1500])
    (broken / "empty.jpg").write_bytes(b"")
    (broken / "text.png").write_text("not a picture")
    (broken / "gone.webp").symlink_to(broken / "nowhere.webp")
    frames = [picture("RGB", seed=seed) for seed in range(2)]
    frames[0].save(broken / "animated.webp", save_all=True, append_images=frames[1:])
    Image.fromarray(np.zeros((140, 160), np.float32)).save(broken / "float.tif")
    for name in ("black_mask.png", "white_mask.png", "aspect.png", "twice.jpg"):
        draw(broken / name)
    for name in ("cut.jpg", "empty.jpg", "text.png", "gone.webp", "animated.webp", "float.tif", "twice.jpg"):
        draw_mask(broken / f"{name}_mask.png")
    draw_mask(broken / "twice.jpg_mask.tif")
    draw_mask(broken / "aspect.png_mask.png", 300, 100)
    (broken / "black_mask.png").rename(broken / "black.png")
    (broken / "white_mask.png").rename(broken / "white.png")
    Image.new("L", (160, 140), 0).save(broken / "black_mask.png")
    Image.new("L", (160, 140), 255).save(broken / "white_mask.png")
    names = {path.name for path in broken.iterdir() if "_mask" not in path.name}
    assert len(names) == 10
    return {f"broken/{name}" for name in names}


@pytest.mark.slow
def test_two_hundred_photos_ten_broken_killed_five_times(tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    broken = two_hundred(folder)
    for kill in range(5):
        process = subprocess.Popen(command(folder, out), stderr=subprocess.DEVNULL)
        while process.poll() is None and written(out) < 4 * (kill + 1):
            time.sleep(0.02)
        process.kill()
        process.wait()
    run = generate(folder, out, "--json")
    assert run.returncode == 1
    (end,) = events(run, "end")
    assert (end["done"], end["without_mask"], len(end["errors"])) == (190, 0, 10)
    assert len(results(out)) == 190
    records = ledger.read(out)
    assert {name for name, record in records.items() if "error" in record} == broken
    assert all(name in records[name]["error"] for name in broken)
    assert len((out / ledger.NAME).read_text().splitlines()) == 200

    peaks = [event["peak_bytes"]["process"] for event in events(run, "done")]
    print(json.dumps({name: end[name] for name in ("seconds", "photos_a_minute", "network_busy")}))
    print("peak MiB after 10, 20, ... photos:", [peak >> 20 for peak in peaks[9::10]])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_photos(tmp_path: Path) -> None:
    """Photos of one size and format: what differs between them is what needs more memory, not how many there are."""
    folder, out = tmp_path / "photos", tmp_path / "out"
    first = draw(folder / "000.jpg", 600, 400)
    for index in range(1, 100):
        (folder / f"{index:03}.jpg").write_bytes(first.read_bytes())
    mask = draw_mask(tmp_path / "mask.png", 600, 400)
    run = generate(folder, out, "--mask", str(mask), "--json")
    assert run.returncode == 0, run.stderr
    peaks = [event["peak_bytes"]["process"] for event in events(run, "done")]
    assert len(peaks) == 100
    assert peaks[-1] <= 1.025 * peaks[9]
