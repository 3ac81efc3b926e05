"""Which models are on this machine, and where: bundled ones, folders of the user's, and those kept after a download."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from mlx_moebius.convert.checkpoint import WEIGHT_NAMES
from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.config import CONFIG_NAME, ModelConfig

BUNDLED = {"nano": Path(__file__).parents[1] / "nano"}
RELEASED = {"pretrained": "pretrained", "places2": "ft_places2", "celebahq": "ft_celebahq", "ffhq": "ft_ffhq"}
"""Name -> folder in the repository of the released weights."""
DEFAULT_MODEL = "places2"
ORIGIN_NAME = "origin.json"
CHECKPOINTS = (".bin", ".pt", ".pth", ".ckpt", ".safetensors")
REPOSITORY_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def locate(name: str) -> Path | None:
    """The folder of a model that is on this machine; None when it is one to download.

    Raises MoebiusError when `name` cannot be a model.
    """
    if name in BUNDLED:
        return BUNDLED[name]
    base = name.partition("@")[0]
    if base not in RELEASED:
        path = Path(name).expanduser()
        if _is_checkpoint(path):
            raise MoebiusError(
                f"{name} is a checkpoint of PyTorch: convert it first (`mlx-moebius convert {name} MODEL`), "
                "and give the folder MODEL"
            )
        if name and path.is_dir():
            return path
        if not REPOSITORY_NAME.fullmatch(base):
            known = ", ".join([*BUNDLED, *RELEASED])
            raise MoebiusError(
                f"unknown model {name!r}: give one of {known}, a converted folder, "
                "or a repository of the hub (ORGANISATION/NAME)"
            )
    folder = home() / "models" / slug(name)
    return folder if is_complete(folder) else None


def _is_checkpoint(path: Path) -> bool:
    """Whether a path is what `convert` takes: a weights file, or a folder of one that is no model folder."""
    if path.is_file():
        return path.suffix.lower() in CHECKPOINTS
    return not (path / CONFIG_NAME).exists() and any((path / name).is_file() for name in WEIGHT_NAMES)


def installed() -> list[str]:
    """Names of the models on this machine, bundled ones first."""
    cached = (folder for folder in sorted((home() / "models").glob("*")) if is_complete(folder))
    return [*BUNDLED, *(name_of(folder) for folder in cached)]


def home() -> Path:
    """Where downloaded models live: MLX_MOEBIUS_HOME, else beside the hub's own cache."""
    if value := os.environ.get("MLX_MOEBIUS_HOME"):
        return Path(value).expanduser()
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE).parent / "mlx-moebius"


def slug(name: str) -> str:
    """`name` as one file name."""
    return quote(name, safe="@").replace(".", "%2E")


def name_of(folder: Path) -> str:
    """The inverse of `slug`, for a folder of the cache."""
    return unquote(folder.name)


def is_complete(folder: Path) -> bool:
    """Whether a model folder has a configuration and files of the sizes that it states (`verify` checks contents)."""
    try:
        files = ModelConfig.load(folder).files
    except MoebiusError:
        return False
    paths = [(folder / file.name, file.size) for file in files]
    return bool(files) and all(path.is_file() and path.stat().st_size == size for path, size in paths)


def read_origin(folder: Path) -> dict[str, Any] | None:
    """What a cached model was made from: {"licences": {repository: licence}, "files": [HubFile as dict]}."""
    path = folder / ORIGIN_NAME
    return json.loads(path.read_text()) if path.is_file() else None


@contextmanager
def locked(name: str, report: Callable[[str], None]) -> Iterator[None]:
    """Hold this model's lock between processes; a process that dies releases it."""
    folder = home() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / name).open("w")
    except OSError as error:
        raise MoebiusError(f"cannot use {folder}: {error.strerror}; set MLX_MOEBIUS_HOME to another folder") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            report("another process is downloading this model; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
