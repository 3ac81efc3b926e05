"""A machine that is short of memory, or shared with somebody hostile."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlx_moebius.runtime import make_private

MEASURE = """
import tempfile
from mlx_moebius.runtime import private_kernels
import mlx.core as mx

compiled = mx.compile(lambda x: mx.exp(x) * 2 + x)
for _ in range(2):
    with private_kernels():
        print(round(compiled(mx.zeros(3)).sum().item()), tempfile.gettempdir())
"""


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=os.environ | environment
    )


def test_kernels_are_compiled_in_a_private_folder_that_is_kept(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    for _ in range(2):
        run = python(MEASURE, XDG_CACHE_HOME=str(tmp_path / "cache"), TMPDIR=str(shared))
        assert run.stdout.split() == ["6", str(shared)] * 2, run.stderr  # Python's own temporary files did not move
    assert not list(shared.iterdir())
    folder = tmp_path / "cache/mlx-moebius/kernels"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert bool(list(folder.rglob("*.so"))) == bool(shutil.which("g++"))  # without it, MLX does without


def test_a_folder_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "mlx-moebius/kernels"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    (tmp_path / "shared").mkdir()
    run = python(MEASURE, XDG_CACHE_HOME=str(tmp_path), TMPDIR=str(tmp_path / "shared"))
    assert run.stdout.split()[0] == "6"
    assert run.stderr.splitlines() == [
        f"warning: no private folder for kernels ({folder} is not this user's alone: remove it, or chmod 700): "
        "computing without them, slower"
    ]
    assert not list(folder.iterdir())
    assert not list((tmp_path / "shared").iterdir())


def test_a_link_or_a_file_is_no_private_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(PermissionError, match="is not this user's alone"):
            make_private(tmp_path / name)
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        make_private(tmp_path / "file" / "kernels")


@pytest.mark.slow
@pytest.mark.parametrize(("megabytes", "said"), [(700, "raise `ulimit -v`"), (1400, "out of memory|not enough memory")])
def test_too_little_memory_is_one_line(tmp_path: Path, megabytes: int, said: str) -> None:
    photo = tmp_path / "large.png"
    Image.fromarray(np.zeros((6000, 6000, 3), np.uint8)).save(photo, compress_level=1)
    asked = [sys.executable, "-m", "mlx_moebius.generate", str(photo), "--mask-from", "100,100,5000,5000", "--yes"]
    limit = megabytes * 2**20
    run = subprocess.run(
        [*asked, "--model", "nano", "--steps", "2", "--max-pixels", "36000000"],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert run.returncode == 1, run.stderr
    assert re.search(said, run.stderr.splitlines()[-1])
    assert "Traceback" not in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["large.png"]
