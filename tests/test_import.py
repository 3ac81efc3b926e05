"""What `import mlx_moebius` does to a program and to its child processes, and what it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest

FILL = """
import os, subprocess, sys
import numpy as np
import mlx_moebius

def child(*_):
    print(subprocess.run(["sh", "-c", "echo ${TMPDIR-unset}"], capture_output=True, text=True).stdout.strip())

child()
pipe = mlx_moebius.MoebiusPipeline.from_pretrained("nano")
hole = np.zeros((40, 40), bool)
hole[10:20, 10:20] = True
pipe(np.full((40, 40, 3), 90, np.uint8), hole, num_steps=2, detail=False, callback=child)
child()
print(sorted(name for name in os.environ if name.startswith("MLX_")))
"""


def python(code: str, *options: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLX_")} | environment
    given = {name: value for name, value in inherited.items() if value is not None}
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, env=given)


@pytest.mark.parametrize("own", [True, False])
def test_child_processes_keep_their_temporary_folder(tmp_path: Path, own: bool) -> None:
    shared = str(tmp_path / "shared")
    Path(shared).mkdir()
    run = python(FILL, TMPDIR=shared if own else None)
    assert run.stderr == ""
    assert run.stdout.splitlines() == [shared if own else "unset"] * 4 + ["[]"]
    assert not list(Path(shared).iterdir())  # kernels are compiled elsewhere


def test_importing_loads_neither_mlx_nor_numpy() -> None:
    slow = "{'mlx', 'numpy', 'PIL', 'huggingface_hub', 'typer'}"
    run = python(f"import mlx_moebius, sys; print({slow} & set(sys.modules)); import mlx.core, mlx_moebius.generate")
    assert run.stdout.strip() == "set()"
    assert run.stderr == ""


def test_mlx_imported_first_without_openblas_is_one_warning() -> None:
    slow = sys.platform == "linux" and mx.default_device() == mx.cpu
    run = python("import mlx.core, mlx_moebius, mlx_moebius.generate")
    said = "mlx.core was imported before mlx_moebius"
    assert run.stderr.count(said) == slow
    openblas = "import ctypes; ctypes.CDLL('libopenblas.so.0', mode=ctypes.RTLD_GLOBAL)\n" if slow else ""
    for code in (f"{openblas}import mlx.core, mlx_moebius", "import mlx_moebius, mlx.core"):
        assert python(code).stderr == ""
