"""The folder of downloaded models with other things in it: stray files, a damaged origin, a download under way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mlx_moebius.errors import MoebiusError
from mlx_moebius.models import BUNDLED, locate, slug
from mlx_moebius.models.__main__ import main
from mlx_moebius.models.cache import ORIGIN_NAME, installed, locked
from tests.support.command import run

DEEP = "[" * 9999
ORIGIN = {"licences": {"a/b": "mit"}, "files": [{"repository": "a/b", "commit": "0123456789abcdef", "name": "x"}]}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of the cache."""
    monkeypatch.setenv("MLX_MOEBIUS_HOME", str(tmp_path))
    folder = tmp_path / "models" / "places2"
    shutil.copytree(BUNDLED["nano"], folder)
    (folder / ORIGIN_NAME).write_text(json.dumps(ORIGIN))
    return folder


def test_stray_files_are_no_models(kept: Path) -> None:
    for kind in ("models", "downloads"):
        (kept.parents[1] / kind).mkdir(exist_ok=True)
        (kept.parents[1] / kind / ".DS_Store").write_bytes(b"\0")
        (kept.parents[1] / kind / "old backup").mkdir()
        (kept.parents[1] / kind / "backup").mkdir()
        (kept.parents[1] / kind / "notes.txt").write_text("mine")
    listed = run(main, "list")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert not any(word in listed.stdout for word in ("DS_Store", "backup", "notes"))
    verified = run(main, "verify")
    assert (verified.returncode, verified.stderr) == (0, "")
    assert verified.stdout.count(" ok") == 4
    assert installed() == ["nano", "places2"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"licences": {}',
        '{"licences": [], "files": []}',
        '{"licences": {}, "files": [{"commit": 3}]}',
        "[" * 9999,
    ],
)
def test_a_damaged_origin_is_an_unknown_one(kept: Path, content: str) -> None:
    assert "a/b@0123456789ab (licence mit)" in run(main, "list").stdout
    (kept / ORIGIN_NAME).write_text(content)
    listed = run(main, "list")
    assert listed.returncode == 0
    assert "origin unknown" in listed.stdout


def test_a_model_that_is_being_downloaded_is_not_removed(kept: Path) -> None:
    with locked(slug("places2"), None):
        refused = run(main, "remove", "places2")
    assert refused.returncode == 1
    assert "another process is downloading places2" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert (kept / "unet.safetensors").is_file()
    assert run(main, "remove", "places2").returncode == 0
    assert not kept.exists()


def test_the_home_of_a_user_who_is_not_there_is_an_unknown_model() -> None:
    with pytest.raises(MoebiusError, match="unknown model '~nobody-of-this-name/m'"):
        locate("~nobody-of-this-name/m")
