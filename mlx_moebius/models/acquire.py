"""Get a model at its first use: download it, convert it, verify it, keep it in the cache."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlx_moebius.convert.checkpoint import WEIGHT_NAMES
from mlx_moebius.convert.folder import convert_checkpoint, verify
from mlx_moebius.convert.settings import SCHEDULER_SETTINGS, UNET_SETTINGS
from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import sync_files, sync_folder
from mlx_moebius.models.cache import ORIGIN_NAME, RELEASED, home, locate, locked, slug
from mlx_moebius.networks.config import CONFIG_NAME, UNET_NAME, VAE_NAME, VAEConfig

if TYPE_CHECKING:
    from mlx_moebius.hub import HubFile, Repository

UNET_REPOSITORY, VAE_REPOSITORY = "hustvl/Moebius", "hustvl/PixelHacker"
CARDS = "https://huggingface.co"
VAE_FILES = ("vae/config.json", "vae/diffusion_pytorch_model.bin")
REVISIONS = {
    UNET_REPOSITORY: "cd01f47fb648219d3fa605806c5ce00b713faa5e",
    VAE_REPOSITORY: "012fd343158936a265b8a0ee38a791a7a2841f45",
}
"""The commits that released models come from, unless the user asks for another ("places2@main")."""
OURS = (CONFIG_NAME, UNET_NAME, VAE_NAME)


def find_model(name: str, report: Callable[[str], None] | None = None, keep_source: bool = False) -> Path:
    """The model folder for a name, downloaded and converted at its first use.

    Args:
        name: "nano" (bundled), a released model ("pretrained", "places2", "celebahq", "ffhq"), a folder, or a
            repository of the hub ("organisation/name"); released models and repositories also with "@revision".
        report: called with one line per step of a download; None prints the lines to standard error.
        keep_source: keep the downloaded checkpoint after its conversion.

    Raises MoebiusError when there is no such model, or when its weights cannot be had.
    """
    if (folder := locate(name)) is not None:
        return folder
    from mlx_moebius.hub import UnavailableError  # with the hub's client, which only downloads need

    report = report or _to_standard_error
    with locked(slug(name), report):
        if (folder := locate(name)) is not None:  # another process was faster
            return folder
        try:
            return _acquire(name, report, keep_source)
        except UnavailableError as error:
            _remove_empty(home() / "downloads")
            raise MoebiusError(
                f"cannot get {error.what}: {error.reason}; the bundled model, nano, is here, and "
                "the help of `mlx-moebius models download` tells other ways"
            ) from None
        except OSError as error:
            raise MoebiusError(f"cannot keep {name} in {home()}: {error.strerror or error}") from None


@dataclass(frozen=True, slots=True)
class Source:
    """The files to download, and the names of the files that hold the U-Net's and the VAE's weights."""

    files: tuple[tuple[Repository, str], ...]
    unet: str
    vae: str
    converted: bool = False


def _acquire(name: str, report: Callable[[str], None], keep_source: bool) -> Path:
    """Download, convert and verify a model. It is moved to its place in the cache only when all of that went well."""
    from mlx_moebius import hub

    target, downloads = home() / "models" / slug(name), home() / "downloads" / slug(name)
    source = _source(name, downloads, report)
    report(f"{name} is not on this machine yet; it will be kept in {target}")
    downloads.mkdir(parents=True, exist_ok=True)
    fetched = [hub.fetch(repository, file, downloads, report) for repository, file in source.files]
    staged = downloads / "converted"
    shutil.rmtree(staged, ignore_errors=True)
    if source.converted:
        staged.mkdir()
        for file in OURS:
            shutil.copy(downloads / file, staged / file)
    else:
        report("converting")
        settings = downloads / "vae/config.json"
        if not settings.exists():  # another tool's conversion may leave it out: use the released VAE's settings
            settings.parent.mkdir(exist_ok=True)
            settings.write_text(
                json.dumps({name: getattr(VAEConfig(), name) for name in ("norm_num_groups", "scaling_factor")})
            )
        convert_checkpoint(downloads / source.unet, downloads / source.vae, staged, vae_settings=settings)
    report("verifying")
    verify(staged)
    _write_origin(staged, source, fetched)
    sync_files(staged)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)  # incomplete, or we would not be here
    staged.replace(target)
    sync_folder(target.parent)
    if not keep_source:
        shutil.rmtree(downloads)
    report(f"{name} is ready")
    return target


def _source(name: str, downloads: Path, report: Callable[[str], None]) -> Source:
    """What to download for a released model or a repository."""
    from mlx_moebius import hub

    base, _, revision = name.partition("@")
    if base in RELEASED:
        weights = f"{RELEASED[base]}/{WEIGHT_NAMES[0]}"
        unet = hub.look_up(UNET_REPOSITORY, revision or REVISIONS[UNET_REPOSITORY], report, (weights,))
        return Source(((unet, weights), *_released_vae(report)), weights, VAE_FILES[1])
    repository = hub.look_up(base, revision or "main", report)
    if {UNET_NAME, VAE_NAME} <= repository.files:
        if CONFIG_NAME in repository.files:
            hub.fetch(repository, CONFIG_NAME, downloads, report)
            if _is_ours(downloads / CONFIG_NAME):
                return Source(tuple((repository, file) for file in OURS), UNET_NAME, VAE_NAME, converted=True)
        settings = [VAE_FILES[0]] if VAE_FILES[0] in repository.files else []
        files = tuple((repository, file) for file in (UNET_NAME, VAE_NAME, *settings))
        return Source(files, UNET_NAME, VAE_NAME)
    for weights in WEIGHT_NAMES:
        if weights in repository.files:
            vae_weights = [f"vae/{name}" for name in WEIGHT_NAMES if f"vae/{name}" in repository.files]
            has_vae = vae_weights and VAE_FILES[0] in repository.files
            vae = ((repository, VAE_FILES[0]), (repository, vae_weights[0])) if has_vae else _released_vae(report)
            beside = [name for name in (UNET_SETTINGS, SCHEDULER_SETTINGS) if name in repository.files]
            files = ((repository, weights), *vae, *((repository, name) for name in beside))
            return Source(files, weights, vae[1][1])
    wanted = f"neither {UNET_NAME} and {VAE_NAME} nor {' or '.join(WEIGHT_NAMES)}"
    raise hub.UnavailableError(base, f"no Moebius model: it has {wanted} at its top level")


def _released_vae(report: Callable[[str], None]) -> tuple[tuple[Repository, str], ...]:
    from mlx_moebius import hub

    repository = hub.look_up(VAE_REPOSITORY, REVISIONS[VAE_REPOSITORY], report, VAE_FILES)
    return tuple((repository, file) for file in VAE_FILES)


def _is_ours(path: Path) -> bool:
    """Whether a `config.json` is that of a model folder, not one that another tool wrote."""
    try:
        values = json.loads(path.read_text())
    except (ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.get("model_type") == "moebius"


def _write_origin(folder: Path, source: Source, files: list[HubFile]) -> None:
    licences = {repository.name: repository.licence for repository, _ in source.files}
    text = json.dumps({"licences": licences, "files": [asdict(file) for file in files]}, indent=2)
    (folder / ORIGIN_NAME).write_text(text + "\n")


def _remove_empty(folder: Path) -> None:
    """Remove all empty folders inside a folder, and the folder itself if it is then empty."""
    inside = [path for path in folder.rglob("*") if path.is_dir()]
    for path in [*sorted(inside, reverse=True), folder]:
        with suppress(OSError):  # it is not empty, or not there
            path.rmdir()


def _to_standard_error(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
