"""Downloads with the real client from a server that misbehaves: resumed, checked, or refused in one line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_hub import CHUNK, FakeHub, Fault, commit_of
from tests.support.golden import DATA

NANO = DATA / "nano"
WEIGHTS = "ft_places2/diffusion_pytorch_model.bin"
VAE_FILES = ("vae/config.json", "vae/diffusion_pytorch_model.bin")
DOWNLOAD = ("-m", "mlx_moebius.models", "download", "places2")
# The client hands content on in pieces of 10 MB, more than the small checkpoint has.
SMALL_PIECES = "import huggingface_hub.constants as c; c.DOWNLOAD_CHUNK_SIZE = 2**16\n"


def released() -> dict[str, dict[str, bytes]]:
    """Both released repositories, with the small checkpoint in the places of the large ones."""
    return {
        "hustvl/Moebius": {WEIGHTS: (NANO / "diffusion_pytorch_model.bin").read_bytes()},
        "hustvl/PixelHacker": {name: (NANO / name).read_bytes() for name in VAE_FILES},
    }


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    hub = FakeHub(released())
    yield hub
    hub.close()


def nothing_is_there(hub: FakeHub, home: Path) -> bool:
    """No model counts as present, for the commands and on disk."""
    asked = hub.run(home, "-m", "mlx_moebius.models", "path", "places2")
    listed = hub.run(home, "-m", "mlx_moebius.models", "list").stdout
    line = next(line for line in listed.splitlines() if line.startswith("places2"))
    return asked.returncode == 1 and "not downloaded" in line and not (home / "models/models/places2").exists()


def refusal(hub: FakeHub, home: Path, **variables: str) -> str:
    """The one line on which the download ends, after checks of what every refusal must hold."""
    run = hub.run(home, *DOWNLOAD, **variables)
    assert (run.returncode, run.stdout) == (1, "")
    assert "Traceback" not in run.stderr
    line = run.stderr.splitlines()[-1]
    assert line.startswith("error: cannot get hustvl/")
    assert "nano" in line
    assert "the help of `mlx-moebius models download` tells other ways" in line
    assert len(line.split()) < 50
    assert not [folder for folder in home.rglob("*") if folder.is_dir() and not list(folder.iterdir())]
    return line


def test_large_files_come_from_the_storage_without_the_users_token(hub: FakeHub, tmp_path: Path) -> None:
    run = hub.run(tmp_path, *DOWNLOAD, HF_TOKEN="hf_secret")
    assert (run.returncode, run.stdout) == (0, f"{tmp_path}/models/models/places2\n")
    asked = hub.requests("GET", f"/resolve/{commit_of('hustvl/Moebius')}/{WEIGHTS}")
    assert [headers["authorization"] for headers in asked] == ["Bearer hf_secret"]
    (stored,) = hub.requests("GET", f"/hustvl/Moebius/{WEIGHTS}")
    assert "authorization" not in stored
    assert f"downloading hustvl/Moebius {WEIGHTS} (9.8 MB) from {hub.url}" in run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["break", "stall"])
def test_a_broken_connection_is_resumed_where_it_broke(hub: FakeHub, tmp_path: Path, kind: str) -> None:
    hub.faults[WEIGHTS] = Fault(kind, after=30 * CHUNK)
    code = SMALL_PIECES + "import mlx_moebius.models as m; m.find_model('places2')"
    run = hub.run(tmp_path, "-c", code, HF_HUB_DOWNLOAD_TIMEOUT="1")
    assert run.returncode == 0, run.stderr
    first, second = hub.requests("GET", f"/hustvl/Moebius/{WEIGHTS}")
    assert "range" not in first
    assert second["range"] == f"bytes={30 * CHUNK}-"


@pytest.mark.slow
def test_a_killed_download_counts_for_nothing_and_is_resumed(hub: FakeHub, tmp_path: Path) -> None:
    hub.faults[WEIGHTS] = Fault("stall", after=60 * CHUNK)
    kill_when_stalled = (
        "import os, signal, sys, threading, time\n"
        "def watch():\n"
        "    import pathlib\n"
        "    while not [p for p in pathlib.Path('models').rglob('*.part') if p.stat().st_size > 3_000_000]:\n"
        "        time.sleep(0.02)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "threading.Thread(target=watch, daemon=True).start()\n"
        "import mlx_moebius.models as m; m.find_model('places2')\n"
    )
    assert hub.run(tmp_path, "-c", SMALL_PIECES + kill_when_stalled).returncode == -9
    assert nothing_is_there(hub, tmp_path)
    (part,) = (tmp_path / "models").rglob("*.part")
    have = part.stat().st_size
    run = hub.run(tmp_path, *DOWNLOAD)
    assert run.returncode == 0, run.stderr
    assert "are here already" in run.stderr
    assert hub.requests("GET", f"/hustvl/Moebius/{WEIGHTS}")[-1]["range"] == f"bytes={have}-"
    assert hub.run(tmp_path, "-m", "mlx_moebius.models", "verify", "places2").returncode == 0


@pytest.mark.slow
def test_slow_is_not_broken(hub: FakeHub, tmp_path: Path) -> None:
    hub.faults[WEIGHTS] = Fault("trickle", after=40 * CHUNK)
    run = hub.run(tmp_path, *DOWNLOAD, HF_HUB_DOWNLOAD_TIMEOUT="1")
    assert run.returncode == 0, run.stderr
    assert len(hub.requests("GET", f"/hustvl/Moebius/{WEIGHTS}")) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "fault", "reason"),
    [
        (WEIGHTS, Fault("wrong"), "wrong checksum"),
        (VAE_FILES[0], Fault("wrong"), "wrong checksum"),
        (WEIGHTS, Fault("short", after=100_000), "wrong size: 100000 bytes came, the hub says 9848692"),
        (WEIGHTS, Fault("status", status=404, headers={"X_Error_Code": "EntryNotFound"}), "no such file"),
        (WEIGHTS, Fault("status", status=503, times=99), "HTTP 503"),
        (WEIGHTS, Fault("status", status=403, headers={"X_Error_Code": "GatedRepo"}), "gated (HTTP 403)"),
        ("hustvl/Moebius", Fault("status", status=401, headers={"X_Error_Code": "GatedRepo"}), "gated (HTTP 401)"),
        ("hustvl/Moebius", Fault("status", status=401), "HTTP 401"),
        (WEIGHTS, Fault("silent", times=99), "cannot be reached"),
    ],
    ids=["content", "small content", "size", "404", "503", "gated file", "gated", "401", "silence"],
)
def test_reasons(hub: FakeHub, tmp_path: Path, path: str, fault: Fault, reason: str) -> None:
    hub.faults[path] = fault
    line = refusal(hub, tmp_path, HF_HUB_ETAG_TIMEOUT="1")
    assert reason in line
    assert path in line
    assert nothing_is_there(hub, tmp_path)


@pytest.mark.parametrize(("kind", "after"), [("wrong", 0), ("short", 100_000)])
def test_a_bad_copy_is_not_resumed(hub: FakeHub, tmp_path: Path, kind: str, after: int) -> None:
    hub.faults[WEIGHTS] = Fault(kind, after=after)
    refusal(hub, tmp_path)
    assert hub.run(tmp_path, *DOWNLOAD).returncode == 0
    assert "range" not in hub.requests("GET", f"/hustvl/Moebius/{WEIGHTS}")[-1]


def test_missing_file_and_revision(hub: FakeHub, tmp_path: Path) -> None:
    del hub.repositories["hustvl/Moebius"][WEIGHTS]
    assert f"hustvl/Moebius {WEIGHTS}: no such file in the repository (404" in refusal(hub, tmp_path)
    run = hub.run(tmp_path, "-m", "mlx_moebius.models", "download", "places2@v9")
    assert run.returncode == 1
    assert "has no revision 'v9' (HTTP 404)" in run.stderr


def test_offline_is_said_soon(hub: FakeHub, tmp_path: Path) -> None:
    assert f"{WEIGHTS}: offline: HF_HUB_OFFLINE is set" in refusal(hub, tmp_path, HF_HUB_OFFLINE="1")
    started = time.monotonic()
    assert "cannot be reached" in refusal(hub, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert time.monotonic() - started < 60
    assert hub.log == []


def test_full_disk(hub: FakeHub, tmp_path: Path) -> None:
    code = (
        "import shutil, collections; usage = collections.namedtuple('usage', 'total used free')\n"
        "shutil.disk_usage = lambda path: usage(9, 8, 1_000_000)\n"
        "from mlx_moebius.models.__main__ import app; app(['download', 'places2'])"
    )
    run = hub.run(tmp_path, "-c", code)
    assert run.returncode == 1
    assert "no space: 9.8 MB to go, 1.0 MB free on the disk" in run.stderr


def test_unwritable_cache(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = hub.run(tmp_path, *DOWNLOAD, MLX_MOEBIUS_HOME=str(tmp_path / "file"))
    assert run.returncode == 1
    assert "set MLX_MOEBIUS_HOME" in run.stderr.splitlines()[-1]


def test_an_expired_token_is_left_out_which_is_said_once(hub: FakeHub, tmp_path: Path) -> None:
    hub.expired = "hf_old"
    run = hub.run(tmp_path, *DOWNLOAD, HF_TOKEN="hf_old")
    assert run.returncode == 0, run.stderr
    assert run.stderr.count(f"{hub.url} refuses your token (expired?); going on without it. `hf auth login`") == 1
    assert ["authorization" in headers for _, _, headers in hub.log].count(True) == 1
    hub.repositories.clear()
    run = hub.run(tmp_path, "-m", "mlx_moebius.models", "download", "us/private", HF_TOKEN="hf_old")
    assert (
        "no such repository, or a private one that your token does not open (`hf auth login` renews it)" in run.stderr
    )
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        ("socks5://127.0.0.1:9", "ALL_PROXY names a SOCKS proxy, which needs one more package: pip install socksio"),
        ("ftp://127.0.0.1:9", "cannot ask http://"),
        ("http://127.0.0.1:port", "cannot ask http://"),
    ],
)
def test_a_proxy_that_cannot_be_used(hub: FakeHub, tmp_path: Path, proxy: str, reason: str) -> None:
    code = "import sys; sys.modules['socksio'] = None; import mlx_moebius.models.__main__ as m; m.app(sys.argv[1:])"
    run = hub.run(tmp_path, "-c", code, "download", "places2", ALL_PROXY=proxy, NO_PROXY="", no_proxy="")
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert f"error: cannot get hustvl/Moebius {WEIGHTS}: {reason}" in run.stderr.splitlines()[-1]


def test_a_name_that_no_repository_can_have(hub: FakeHub, tmp_path: Path) -> None:
    run = hub.run(tmp_path, "-m", "mlx_moebius.models", "download", "us/two--dashes")
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert run.stderr.splitlines()[-1].startswith("error: cannot get us/two--dashes")


@pytest.fixture
def cached(hub: FakeHub, tmp_path: Path) -> Path:
    """The client's own cache with everything that places2 is made of, as another program left it."""
    for repository, names in released().items():
        for name in names:
            code = "import sys, huggingface_hub as h; h.hf_hub_download(*sys.argv[1:3], revision=sys.argv[3])"
            assert hub.run(tmp_path, "-c", code, repository, name, commit_of(repository)).returncode == 0
    hub.log.clear()
    return tmp_path / "hf/hub"


def test_what_the_hubs_own_cache_holds_is_not_asked_for(hub: FakeHub, tmp_path: Path, cached: Path) -> None:
    before = {path: path.read_bytes() for path in cached.rglob("*") if path.is_file()}
    run = hub.run(tmp_path, *DOWNLOAD, HF_HUB_OFFLINE="1")
    assert run.returncode == 0, run.stderr
    assert f"hustvl/Moebius {WEIGHTS} is in the hub's own cache" in run.stderr
    assert hub.log == []
    assert hub.run(tmp_path, "-m", "mlx_moebius.models", "verify", "places2").returncode == 0
    assert {path: path.read_bytes() for path in cached.rglob("*") if path.is_file()} == before


def test_a_damaged_file_of_the_hubs_own_cache_is_downloaded(hub: FakeHub, tmp_path: Path, cached: Path) -> None:
    (weights,) = cached.glob(f"models--hustvl--Moebius/snapshots/*/{WEIGHTS}")
    weights.resolve().write_bytes(b"half of it")
    run = hub.run(tmp_path, *DOWNLOAD)
    assert run.returncode == 0, run.stderr
    assert len(hub.requests("GET", f"/hustvl/Moebius/{WEIGHTS}")) == 1
    assert hub.requests("GET", f"/hustvl/PixelHacker/{VAE_FILES[1]}") == []
