"""Command line: `mlx-moebius models list|download|path|remove|verify`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from mlx_moebius import models
from mlx_moebius.cli.command import Program
from mlx_moebius.cli.values import argument, flag
from mlx_moebius.convert.folder import verify as verify_folder
from mlx_moebius.errors import MoebiusError
from mlx_moebius.models import acquire, cache

program = Program(
    "mlx-moebius models",
    "Models on this machine and on the hub.",
    ("mlx-moebius models list", "mlx-moebius models download places2", "mlx-moebius models verify"),
)
app, main = program.app, program.main

NAMES = "pretrained, places2, celebahq, ffhq, ORGANISATION/NAME; with @REVISION."
Name = Annotated[str, argument("NAME", kind=str, help=NAMES)]
AnyName = Annotated[str, argument("NAME", kind=str, help="A model; every one on this machine if left out.")]
KeepSource = Annotated[bool, flag("--keep-source", help="Keep the downloaded checkpoint.")]


@program.command(name="list", alone=True, examples=["mlx-moebius models list"])
def list_models() -> None:
    """Show every model: what is on disk, its size, source and licence."""
    typer.echo(f"cache: {models.home()}")
    for name, folder in models.BUNDLED.items():
        typer.echo(f"{name:12} {_size(folder):>9}  bundled")
    for name in dict.fromkeys([*models.RELEASED, *map(models.name_of, cache.kept("models"))]):
        folder = models.home() / "models" / models.slug(name)
        line = f"{_size(folder):>9}  {_origin(folder)}" if cache.is_complete(folder) else _absent(name)
        typer.echo(f"{name:12} {line}")
    cards = [f"{acquire.CARDS}/{name}" for name in (models.UNET_REPOSITORY, models.VAE_REPOSITORY)]
    typer.echo(f"licences of the released weights: the cards at {' (U-Net) and '.join(cards)} (VAE)")
    for folder in cache.kept("downloads"):
        name = models.name_of(folder)
        typer.echo(f"{name:12} {_size(folder):>9}  downloaded source in {folder}")


@program.command(name="download", alone=True, examples=["mlx-moebius models download places2"])
def download(
    name: Name = models.DEFAULT_MODEL,
    keep_source: KeepSource = False,
) -> None:
    """Download a model, unless it is here already; print its folder.

    A broken download goes on where it stopped. Where the hub cannot be reached, set HF_ENDPOINT to a mirror of it. Or
    get ft_places2/diffusion_pytorch_model.bin of hustvl/Moebius, vae/config.json and vae/diffusion_pytorch_model.bin of
    hustvl/PixelHacker by hand, and run `mlx-moebius convert ft_places2/diffusion_pytorch_model.bin MODEL --vae vae`:
    the folder MODEL is then a model.
    """
    typer.echo(models.find_model(name, keep_source=keep_source))


@program.command(name="path", examples=["mlx-moebius models path nano"])
def path(name: Name) -> None:
    """Print a model's folder; an error if it is not on this machine."""
    typer.echo(_present(name))


@program.command(name="remove", examples=["mlx-moebius models remove places2"])
def remove(name: Name) -> None:
    """Delete a downloaded model and what an interrupted download left."""
    folders = [models.home() / kind / models.slug(name) for kind in ("models", "downloads")]
    there = [folder for folder in folders if folder.is_dir()]
    if not there:
        raise MoebiusError(f"{name} is not in {models.home()}: there is nothing to remove")
    with cache.locked(models.slug(name), None):
        for folder in there:
            typer.echo(f"removing {folder} ({_size(folder)})")
            try:
                shutil.rmtree(folder)
            except OSError as error:
                raise MoebiusError(f"cannot remove {error.filename}: {error.strerror}") from None


@program.command(name="verify", alone=True, examples=["mlx-moebius models verify"])
def verify(name: AnyName = "") -> None:
    """Read models in full and compare them with their checksums."""
    for model in [name] if name else [*models.BUNDLED, *map(models.name_of, cache.kept("models"))]:
        for file in verify_folder(_present(model)):
            typer.echo(f"{model:12} {file.name:18} {file.size:12,} bytes  ok")


def _present(name: str) -> Path:
    folder = models.locate(name)
    if folder is None:
        raise MoebiusError(f"{name} is not on this machine; `mlx-moebius models download {name}` gets it")
    return folder


def _size(folder: Path) -> str:
    return f"{sum(file.stat().st_size for file in folder.rglob('*') if file.is_file()) / 1e6:.1f} MB"


def _origin(folder: Path) -> str:
    origin = cache.read_origin(folder)
    if origin is None:
        return "origin unknown"
    commits = {file.repository: file.commit[:12] for file in origin.files}
    return ", ".join(
        f"{repository}@{commit} (licence {origin.licences.get(repository) or 'not known'})"
        for repository, commit in commits.items()
    )


def _absent(name: str) -> str:
    if name not in models.RELEASED:
        return f"{'-':>9}  incomplete: `download {name}` repairs it"
    return f"{'-':>9}  not downloaded; 1.1 GB with the VAE, from {models.UNET_REPOSITORY} {models.RELEASED[name]}/"


if __name__ == "__main__":
    main()
