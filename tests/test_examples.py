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
