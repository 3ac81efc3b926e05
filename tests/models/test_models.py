"""Names to folders: the whole way from a name to a network once, and never the network again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from mlx_moebius.convert.checkpoint import read_tensors
from mlx_moebius.convert.settings import SCHEDULER_SETTINGS, UNET_SETTINGS
from mlx_moebius.errors import MoebiusError
from mlx_moebius.models import BUNDLED, DEFAULT_MODEL, RELEASED, find_model, home, name_of, slug
from mlx_moebius.networks.config import ModelConfig
from tests.models.test_hub import DOWNLOAD, NANO, VAE_FILES, WEIGHTS, nothing_is_there, released
from tests.support.fake_hub import CHECKOUT, FakeHub, commit_of

MODELS = ("-m", "mlx_moebius.models")
MOEBIUS, PIXELHACKER = commit_of("hustvl/Moebius"), commit_of("hustvl/PixelHacker")


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    hub = FakeHub(released())
    yield hub
    hub.close()


@pytest.fixture
def ready(hub: FakeHub, tmp_path: Path) -> Path:
    """The folder of places2, downloaded."""
    run = hub.run(tmp_path, *DOWNLOAD)
    assert run.returncode == 0, run.stderr
    return Path(run.stdout.strip())


def same_weights(folder: Path) -> bool:
    names = ("unet.safetensors", "vae.safetensors")
    return all((folder / name).read_bytes() == (BUNDLED["nano"] / name).read_bytes() for name in names)


def content(path: Path, tmp_path: Path) -> bytes:
    """A torch checkpoint's tensors as a safetensors file, names and layouts unchanged."""
    arrays = {name: np.ascontiguousarray(tensor.raw) for name, tensor in read_tensors(path).items()}
    save_file(arrays, tmp_path / "file.safetensors")
    return (tmp_path / "file.safetensors").read_bytes()


def test_downloaded_model_is_the_converted_checkpoint(ready: Path) -> None:
    assert same_weights(ready)
    origin = json.loads((ready / "origin.json").read_text())
    assert origin["licences"] == {"hustvl/Moebius": "apache-2.0", "hustvl/PixelHacker": "apache-2.0"}
    assert [(file["repository"], file["name"], file["commit"]) for file in origin["files"]] == [
        ("hustvl/Moebius", WEIGHTS, MOEBIUS),
        *(("hustvl/PixelHacker", name, PIXELHACKER) for name in VAE_FILES),
    ]
    sources = {source["sha256"] for source in json.loads((BUNDLED["nano"] / "config.json").read_text())["sources"]}
    assert {file["sha256"] for file in origin["files"]} < sources  # the released ones have no scheduler's file


def test_afterwards_no_network_is_touched(hub: FakeHub, ready: Path, tmp_path: Path) -> None:
    hub.close()
    code = (
        "import socket\n"
        "def refuse(*_): raise SystemExit('the network was touched')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import mlx_moebius, sys\n"
        "from mlx_moebius.models import find_model\n"
        "from mlx_moebius.networks.weights import load_diffusion\n"
        "print(load_diffusion(find_model('places2')).config.image_size)\n"
        "assert 'huggingface_hub.file_download' not in sys.modules"
    )
    run = hub.run(tmp_path, "-c", code)
    assert (run.returncode, run.stdout, run.stderr) == (0, "128\n", "")
    run = hub.run(tmp_path, *DOWNLOAD)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{ready}\n", "")


def test_a_new_commit_changes_nothing(hub: FakeHub, ready: Path, tmp_path: Path) -> None:
    before = len(hub.log)
    hub.repositories["hustvl/Moebius"][WEIGHTS] = b"another one" * 9999
    assert hub.run(tmp_path, *DOWNLOAD).returncode == 0
    assert len(hub.log) == before


def test_two_processes_convert_once(hub: FakeHub, tmp_path: Path) -> None:
    command = [sys.executable, *DOWNLOAD]
    both = [
        subprocess.Popen(
            command, env=hub.environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    assert sorted("converting" in err for _, err in outputs) == [False, True]
    assert len(hub.requests("GET", f"/hustvl/Moebius/{WEIGHTS}")) == 1


@pytest.mark.slow
def test_a_killed_conversion_counts_for_nothing(hub: FakeHub, tmp_path: Path) -> None:
    code = (
        "import os, signal\n"
        "import mlx_moebius\n"
        "from mlx_moebius.convert import folder\n"
        "write = folder.write_safetensors\n"
        "def killed(path, *rest):\n"
        "    if path.name == 'vae.safetensors': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return write(path, *rest)\n"
        "folder.write_safetensors = killed\n"
        "from mlx_moebius.models import find_model\n"
        "find_model('places2')"
    )
    assert hub.run(tmp_path, "-c", code).returncode == -9
    assert list((tmp_path / "models").rglob("unet.safetensors"))
    assert nothing_is_there(hub, tmp_path)
    run = hub.run(tmp_path, *DOWNLOAD)
    assert run.returncode == 0, run.stderr
    assert same_weights(Path(run.stdout.strip()))
    assert len(hub.requests("GET", f"/hustvl/Moebius/{WEIGHTS}")) == 1  # what was there was used
    assert not (tmp_path / "models/downloads/places2").exists()


@pytest.mark.parametrize("damage", ["cut", "missing", "no configuration"])
def test_an_incomplete_folder_is_made_again(hub: FakeHub, ready: Path, tmp_path: Path, damage: str) -> None:
    if damage == "cut":
        (ready / "vae.safetensors").write_bytes((ready / "vae.safetensors").read_bytes()[:-1])
    elif damage == "missing":
        (ready / "unet.safetensors").unlink()
    else:
        (ready / "config.json").write_text("{")
    assert hub.run(tmp_path, *MODELS, "path", "places2").returncode == 1
    run = hub.run(tmp_path, *DOWNLOAD)
    assert run.returncode == 0, run.stderr
    assert same_weights(ready)


def test_source_is_dropped_unless_kept(hub: FakeHub, ready: Path, tmp_path: Path) -> None:
    assert not list((tmp_path / "models").rglob("*.bin"))
    shutil.rmtree(ready)
    assert hub.run(tmp_path, *DOWNLOAD, "--keep-source").returncode == 0
    assert len(list((tmp_path / "models/downloads").rglob("*.bin"))) == 2
    assert "downloaded source" in hub.run(tmp_path, *MODELS, "list").stdout


@pytest.mark.slow
def test_list_verify_remove(hub: FakeHub, ready: Path, tmp_path: Path) -> None:
    listed = hub.run(tmp_path, *MODELS, "list").stdout
    assert all(name in listed for name in (*BUNDLED, *RELEASED))
    line = next(line for line in listed.splitlines() if line.startswith("places2"))
    assert "13.0 MB" in line
    assert f"hustvl/Moebius@{MOEBIUS[:12]} (licence apache-2.0)" in line
    assert hub.run(tmp_path, *MODELS, "verify").stdout.count(" ok") == 4

    damaged = bytearray((ready / "unet.safetensors").read_bytes())
    damaged[-1] ^= 1
    (ready / "unet.safetensors").write_bytes(damaged)
    run = hub.run(tmp_path, *MODELS, "verify", "places2")
    assert run.returncode == 1
    assert "SHA-256" in run.stderr

    assert hub.run(tmp_path, *MODELS, "remove", "places2").returncode == 0
    assert nothing_is_there(hub, tmp_path)
    assert hub.run(tmp_path, *MODELS, "remove", "places2").returncode == 1


def layouts(tmp_path: Path) -> dict[str, dict[str, bytes]]:
    """Repositories as people publish them, all of the same small model."""
    unet, vae = NANO / "diffusion_pytorch_model.bin", NANO / VAE_FILES[1]
    settings = (NANO / VAE_FILES[0]).read_bytes()
    ours = {path.name: path.read_bytes() for path in BUNDLED["nano"].iterdir()}
    names = {"unet.safetensors": content(unet, tmp_path), "vae.safetensors": content(vae, tmp_path)}
    return {
        "us/converted": ours,
        "them/PyTorch-names": {**names, "vae/config.json": settings, "config.json": b'{"scale": 1}'},
        "them/diffusers": {unet.name: unet.read_bytes(), **{name: (NANO / name).read_bytes() for name in VAE_FILES}},
        "them/scheduler": {
            unet.name: unet.read_bytes(),
            **{name: (NANO / name).read_bytes() for name in (*VAE_FILES, UNET_SETTINGS, SCHEDULER_SETTINGS)},
        },
        "them/only-unet": {unet.name: unet.read_bytes(), "README.md": b"fine-tuned"},
    }


@pytest.mark.slow
def test_repositories_of_every_layout(hub: FakeHub, tmp_path: Path) -> None:
    repositories = layouts(tmp_path)
    hub.repositories |= repositories
    for name in repositories:
        run = hub.run(tmp_path, *MODELS, "download", name)
        assert run.returncode == 0, run.stderr
        folder = Path(run.stdout.strip())
        assert same_weights(folder), name
        stated = ModelConfig.load(folder).scheduler.prediction_type
        assert stated == ("v_prediction" if name in ("us/converted", "them/scheduler") else "epsilon"), name
    verified = hub.run(tmp_path, *MODELS, "verify")
    assert (verified.returncode, verified.stdout.count(" ok")) == (0, 2 * (len(repositories) + len(BUNDLED)))
    listed = hub.run(tmp_path, *MODELS, "list").stdout
    assert all(name in listed for name in repositories)


def test_repository_without_vae_settings_gets_the_released_ones(hub: FakeHub, tmp_path: Path) -> None:
    files = layouts(tmp_path)["them/PyTorch-names"]
    del files["vae/config.json"]
    hub.repositories["mlx-community/copy"] = files
    run = hub.run(tmp_path, *MODELS, "download", "mlx-community/copy")
    assert run.returncode == 0, run.stderr
    vae = json.loads((Path(run.stdout.strip()) / "config.json").read_text())["vae"]
    assert (vae["norm_num_groups"], vae["scaling_factor"]) == (32, 0.13025)


def test_repository_that_is_no_model(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["them/other"] = {"model.safetensors": b"x", "config.json": b"{}"}
    run = hub.run(tmp_path, *MODELS, "download", "them/other")
    assert run.returncode == 1
    assert "them/other: no Moebius model" in run.stderr
    run = hub.run(tmp_path, *MODELS, "download", "them/absent")
    assert run.returncode == 1
    assert "no such repository, or a private one (HTTP 401)" in run.stderr


def test_hostile_download_is_refused_and_not_kept_as_a_model(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["hustvl/Moebius"][WEIGHTS] = (NANO.parent / "torch_files/whole_module.pt").read_bytes() * 3
    run = hub.run(tmp_path, *DOWNLOAD)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("error: cannot read tensors from ")
    assert nothing_is_there(hub, tmp_path)


def test_revisions_are_models_of_their_own(hub: FakeHub, ready: Path, tmp_path: Path) -> None:
    assert not any("main" in path for _, path, _ in hub.log), "without a revision, the pinned commits are asked for"
    run = hub.run(tmp_path, *MODELS, "download", "places2@main")
    assert run.returncode == 0, run.stderr
    assert hub.requests("GET", "/api/models/hustvl/Moebius/revision/main")
    folder = Path(run.stdout.strip())
    assert folder != ready
    assert same_weights(folder)
    assert "places2@main" in hub.run(tmp_path, *MODELS, "list").stdout


def test_names_that_need_no_download(tmp_path: Path) -> None:
    assert DEFAULT_MODEL in RELEASED
    assert find_model("nano") == BUNDLED["nano"]
    assert find_model(str(tmp_path)) == tmp_path


@pytest.mark.parametrize(
    "name", ["", "nanoo", "./absent", "/absent/folder", "a/b/c", "../x", "a b/c", "-", "nano@main"]
)
def test_names_that_mean_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLX_MOEBIUS_HOME", str(tmp_path / "cache"))
    with pytest.raises(MoebiusError, match="unknown model") as caught:
        find_model(name)
    assert "nano, pretrained, places2, celebahq, ffhq" in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_a_checkpoint_of_pytorch_is_to_be_converted_first(tmp_path: Path) -> None:
    for path in (CHECKOUT / "tests/data/nano", CHECKOUT / "tests/data/nano/diffusion_pytorch_model.bin"):
        with pytest.raises(MoebiusError, match="is a checkpoint of PyTorch: convert it first") as caught:
            find_model(str(path))
        assert f"`mlx-moebius convert {path} MODEL`" in str(caught.value)


def test_cache_lies_beside_the_hubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_MOEBIUS_HOME", str(tmp_path / "cache"))
    assert home() == tmp_path / "cache"
    monkeypatch.delenv("MLX_MOEBIUS_HOME")
    code = "import mlx_moebius.models as m; print(m.home())"
    hub_home = FakeHub({})
    try:
        run = hub_home.run(tmp_path, "-c", code, HF_HUB_CACHE=str(tmp_path / "hf/hub"), MLX_MOEBIUS_HOME="")
    finally:
        hub_home.close()
    assert run.stdout.strip() == str(tmp_path / "hf/mlx-moebius")


@pytest.mark.parametrize("name", ["places2", "a/b", "a/b@refs/pr/1", "a/..", "a/b@../../x", "ü/ö"])
def test_a_name_stays_one_folder_of_the_cache(name: str, tmp_path: Path) -> None:
    folder = tmp_path / slug(name)
    assert folder.parent == tmp_path
    assert folder.resolve().parent == tmp_path.resolve()
    assert name_of(folder) == name


@pytest.mark.slow
def test_from_nothing_to_a_picture_and_again_offline(hub: FakeHub, tmp_path: Path) -> None:
    examples = CHECKOUT / "examples"

    def picture(model: str, name: str) -> tuple[np.ndarray, str]:
        files = (str(examples / "landscape.png"), "--mask-from", "150,180,24,24", "--no-detail", "-o", name)
        run = hub.run(tmp_path, "-m", "mlx_moebius.generate", *files, "--model", model, "--steps", "2")
        assert run.returncode == 0, run.stderr
        return np.asarray(Image.open(tmp_path / name)), run.stderr

    first, messages = picture("places2", "first.png")
    assert "places2 is ready" in messages
    hub.close()
    again, messages = picture("places2", "again.png")
    assert "downloading" not in messages
    np.testing.assert_array_equal(first, again)


def test_no_weights_no_picture(hub: FakeHub, tmp_path: Path) -> None:
    hub.close()
    files = (str(CHECKOUT / "examples/landscape.png"), "--mask", str(CHECKOUT / "examples/landscape_mask.png"))
    run = hub.run(tmp_path, "-m", "mlx_moebius.generate", *files, "-o", "out.png", "--model", "places2")
    assert run.returncode == 1
    line = run.stderr.splitlines()[-1]
    assert f"cannot get hustvl/Moebius {WEIGHTS}: offline" in line
    assert "nano" in line
    assert not (tmp_path / "out.png").exists()
