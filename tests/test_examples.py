import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_draw_reproduces_the_committed_example(tmp_path: Path) -> None:
    """Run the script as the README does and compare pixels; one level of rounding may differ between machines."""
    subprocess.run([sys.executable, str(EXAMPLES / "draw.py"), "--out", str(tmp_path)], check=True)
    drawn, committed = (
        {name: np.asarray(Image.open(folder / name), np.int16) for name in ("landscape.png", "landscape_mask.png")}
        for folder in (tmp_path, EXAMPLES)
    )
    assert drawn["landscape.png"].shape == committed["landscape.png"].shape
    assert np.abs(drawn["landscape.png"] - committed["landscape.png"]).max() <= 1
    assert np.array_equal(drawn["landscape_mask.png"], committed["landscape_mask.png"])


def test_draw_makes_its_folder(tmp_path: Path) -> None:
    out = tmp_path / "new" / "pictures"
    command = [sys.executable, str(EXAMPLES / "draw.py"), "--size", "48x32", "--format", "jpg", "--out", str(out)]
    subprocess.run(command, check=True)
    assert {Image.open(path).size for path in out.iterdir()} == {(48, 32)}
    assert {path.name for path in out.iterdir()} == {"landscape.jpg", "landscape_mask.png"}


def test_draw_refuses_a_file_as_its_folder_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "taken"
    out.write_text("a file")
    command = [sys.executable, str(EXAMPLES / "draw.py"), "--size", "48x32", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].endswith(f"cannot write to {out}: File exists")
    assert "Traceback" not in done.stderr
