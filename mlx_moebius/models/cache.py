"""Which models are on this machine, and where: bundled models, folders of the user's, and downloaded models."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from mlx_moebius.convert.checkpoint import WEIGHT_NAMES
from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import expanded, lock
from mlx_moebius.networks.config import CONFIG_NAME, ModelConfig
from mlx_moebius.schema import build

BUNDLED = {"nano": Path(__file__).parents[1] / "nano"}
RELEASED = {"pretrained": "pretrained", "places2": "ft_places2", "celebahq": "ft_celebahq", "ffhq": "ft_ffhq"}
"""Name -> folder in the repository of the released weights."""
DEFAULT_MODEL = "places2"
ORIGIN_NAME = "origin.json"
CHECKPOINTS = (".bin", ".pt", ".pth", ".ckpt", ".safetensors")
REPOSITORY_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def locate(name: str) -> Path | None:
    """The folder of a model that is on this machine; None when the model must be downloaded.

    Raises MoebiusError when `name` cannot be a model.
    """
    if name in BUNDLED:
        return BUNDLED[name]
    base = name.partition("@")[0]
    if base not in RELEASED:
        path = expanded(name)
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
    """Whether a path is for `convert`: a weights file, or a folder with one that is not a model folder."""
    if path.is_file():
        return path.suffix.lower() in CHECKPOINTS
    return not (path / CONFIG_NAME).exists() and any((path / name).is_file() for name in WEIGHT_NAMES)


def installed() -> list[str]:
    """Names of the models on this machine, bundled ones first."""
    return [*BUNDLED, *(name_of(folder) for folder in kept("models") if is_complete(folder))]


def kept(kind: str) -> list[Path]:
    """Folders in the cache's "models" or "downloads" that are named after models. Other files there are left alone."""
    folder = home() / kind
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if path.is_dir() and path.name == slug(name_of(path)) and _is_name(name_of(path))]


def _is_name(name: str) -> bool:
    base = name.partition("@")[0]
    return base in RELEASED or REPOSITORY_NAME.fullmatch(base) is not None


def home() -> Path:
    """The folder of downloaded models: MLX_MOEBIUS_HOME, or else beside the cache of the hub's client."""
    if value := os.environ.get("MLX_MOEBIUS_HOME"):
        return expanded(value)
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE).parent / "mlx-moebius"


def slug(name: str) -> str:
    """A model's name as the name of a file or folder."""
    return quote(name, safe="@").replace(".", "%2E")


def name_of(folder: Path) -> str:
    """The inverse of `slug`, for a folder of the cache."""
    return unquote(folder.name)


def is_complete(folder: Path) -> bool:
    """Whether a model folder has its configuration and all its files, with the right sizes (`verify` reads them)."""
    try:
        files = ModelConfig.load(folder).files
    except MoebiusError:
        return False
    paths = [(folder / file.name, file.size) for file in files]
    return bool(files) and all(path.is_file() and path.stat().st_size == size for path, size in paths)


@dataclass(frozen=True, slots=True)
class OriginFile:
    """A file of the hub that a model was made from."""

    repository: str
    commit: str


@dataclass(frozen=True, slots=True)
class Origin:
    """What a model was made from: the licence of every repository (None where its card states none), and the files."""

    licences: dict[str, str | None]
    files: tuple[OriginFile, ...]


def read_origin(folder: Path) -> Origin | None:
    """What a cached model was made from; None where the file that says so is missing or damaged."""
    try:
        return build(Origin, json.loads((folder / ORIGIN_NAME).read_bytes()), extra=True)
    except (OSError, ValueError, RecursionError):
        return None


@contextmanager
def locked(name: str, report: Callable[[str], None] | None) -> Iterator[None]:
    """Hold a model's lock against other processes. A process that dies releases it.

    Where another process holds it, this one waits and tells `report`. Without `report`, it raises MoebiusError.
    """
    folder = home() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / name).open("w")
    except OSError as error:
        raise MoebiusError(f"cannot use {folder}: {error.strerror}; set MLX_MOEBIUS_HOME to another folder") from None
    with file:
        try:
            lock(file.fileno())  # where the file system has no locks, we go on without
        except BlockingIOError:
            if report is None:
                raise MoebiusError(f"another process is downloading {unquote(name)}: wait for it, or end it") from None
            report("another process is downloading this model; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
