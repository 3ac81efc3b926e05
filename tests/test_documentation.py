"""The README and docs/: every command in them runs, and every link leads somewhere.

Blocks of `sh` are run to the letter, in a folder that has the files they name. A tiny model stands under the
released one's name in a cache of its own, so nothing is downloaded. What cannot end by itself is ended: the page as
soon as it answers. What would take long is given fewer steps.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from PIL import Image

import mlx_moebius
from mlx_moebius.models import BUNDLED
from tests.support.tiny import tiny

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
INSTALLS = re.compile(r"\b(pip|apt|apt-get|brew|git|pytest|uv|uvx|twine|build|python3? -m venv|sh )\b")
SHORTER = {
    "train": ["--dry-run", "--batch-size", "1", "--grad-accumulation", "1"],
    "benchmark": ["--model", "nano", "--runs", "1", "--steps", "1"],
}
"""What is added to commands that would take minutes or hours."""


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands() -> Iterator[Any]:
    """Every block of shell commands but those that install something, which .ci/run runs; quickly, the README's."""
    for page in PAGES:
        for block in blocks(page, "sh"):
            if not INSTALLS.search(block):
                yield pytest.param(page.name, block, marks=[] if page.name == "README.md" else pytest.mark.slow)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with the files that the pages name: photos, masks, a folder of them, a checkpoint, a model cache."""
    folder = tmp_path
    (folder / "docs").symlink_to(ROOT / "docs")
    windows = folder / "examples" / "windows"  # one of them
    windows.mkdir(parents=True)
    for path in [*(ROOT / "examples").iterdir(), *map((ROOT / "examples/windows").joinpath, ("hole.png", "sand.jpg"))]:
        if path.name != windows.name:
            (folder / path.relative_to(ROOT)).symlink_to(path)
    photo = Image.open(ROOT / "examples" / "fish.jpg").resize((240, 160))
    mask = Image.open(ROOT / "examples" / "fish_mask.png").convert("L").resize((240, 160))
    for name in ("wedding", "masks", "PHOTOS"):
        (folder / name).mkdir()
    photo.save(folder / "photo.jpg")
    photo.save(folder / "other.jpg")
    mask.save(folder / "mask.png")
    for index in (1, 2):
        photo.save(folder / "wedding" / f"IMG_{index}.jpg")
        photo.rotate(90 * index, expand=True).save(folder / "PHOTOS" / f"IMG_{index}.jpg")
        mask.save(folder / "masks" / f"IMG_{index}.png")
    shutil.copytree(tiny(), folder / "home" / "models" / "places2")
    for name in ("OUT", "EARLIER", "my-model"):
        shutil.copytree(tiny(), folder / name)
    source = ROOT / "tests" / "data" / "nano"
    shutil.copy(source / "diffusion_pytorch_model.bin", folder / "CHECKPOINT.bin")
    shutil.copy(source / "unet_config.json", folder)
    shutil.copytree(source / "scheduler", folder / "scheduler")
    shutil.copytree(source / "vae", folder / "VAE")
    shutil.copy(Path(tiny(), "config.json"), folder / "small.json")
    shutil.copy(BUNDLED["nano"] / "config.json", folder / "sizes.json")  # goes with the bundled VAE
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("page", "block"), list(commands()))
def test_commands_run_as_written(page: str, block: str, desk: Path) -> None:
    """Each line by itself, so that the page can be ended and long runs made short."""
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "MLX_MOEBIUS_HOME": str(desk / "home"),
        "PYTHONPATH": str(Path(mlx_moebius.__file__).parents[1]),
    }
    for line in re.sub(r"\\\n\s*", " ", block).splitlines():
        if not line or line.startswith("#"):
            continue
        if re.search(r"\bui\b", line):
            serve(line, desk, environment)
            continue
        more = next((" ".join(words) for name, words in SHORTER.items() if re.search(rf"\b{name}\b", line)), "")
        run = subprocess.run(f"{line} {more}", shell=True, cwd=desk, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, f"{page}: {line}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}"


def serve(line: str, folder: Path, environment: dict[str, str]) -> None:
    """Start the page, look at it, end it."""
    command = f"exec {line} --no-browser --port 0"
    with subprocess.Popen(
        command, shell=True, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as page:
        assert page.stdout is not None
        try:
            printed = []
            for text in page.stdout:
                printed.append(text)
                if found := re.search(r"http://\S+", text):
                    assert urlopen(found.group()).status == 200
                    break
            else:
                pytest.fail(f"no address: {printed}")
        finally:
            page.send_signal(signal.SIGINT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if re.match(r"https?:", target):
            continue
        found = page if not path else page.parent / path
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, target


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_a_page_says_whom_it_is_for(page: Path) -> None:
    title, _, first = page.read_text(encoding="utf-8").splitlines()[:3]
    assert title.startswith("# ")
    assert first.startswith("For whoever")
