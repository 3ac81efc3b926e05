"""The Python examples of the README and of docs/ run as they stand there."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mlx_moebius.models import BUNDLED

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = {page.relative_to(ROOT).as_posix(): BLOCK.findall(page.read_text()) for page in PAGES}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the photos that the examples name, and the bundled model in the place of the released one."""
    model = tmp_path / "home/models/places2"
    shutil.copytree(BUNDLED["nano"], model)
    config = json.loads((model / "config.json").read_text())
    config["sampling"] |= {"guidance_scale": 2.5, "num_steps": 2}
    (model / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("MLX_MOEBIUS_HOME", str(tmp_path / "home"))
    for folder in ("album", "masks", "done"):
        (tmp_path / folder).mkdir()
    noise = np.random.default_rng(0).normal(120, 8, (72, 96, 3)).clip(0, 255).astype(np.uint8)
    picture, mask = Image.fromarray(noise), Image.new("L", (96, 72))
    ImageDraw.Draw(picture).ellipse((40, 30, 60, 45), fill=(200, 40, 40))  # what should go
    ImageDraw.Draw(mask).ellipse((40, 30, 60, 45), fill=255)
    exif = Image.Exif()
    exif[271] = "Maker"
    for photo, drawing in (("photo.jpg", "mask.png"), ("other.jpg", "other_mask.png"), ("album/a.jpg", "masks/a.png")):
        picture.save(tmp_path / photo, exif=exif)
        mask.save(tmp_path / drawing)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page, blocks in EXAMPLES.items() if blocks])
def test_the_examples_of_a_page_run_from_top_to_bottom(page: str, here: Path) -> None:
    names: dict[str, Any] = {}
    for block in EXAMPLES[page]:
        exec(compile(block, page, "exec"), names)
    out = Image.open(here / "out.jpg")
    assert out.getexif()[271] == "Maker"
    assert not np.array_equal(np.asarray(out)[32:43, 44:56], np.asarray(Image.open(here / "photo.jpg"))[32:43, 44:56])


def test_the_readme_and_the_page_for_python_have_examples() -> None:
    assert EXAMPLES["README.md"]
    assert len(EXAMPLES["docs/python.md"]) >= 8
