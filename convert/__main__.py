"""Command line: `python -m mlx_moebius.convert SOURCE OUT`."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from mlx_moebius.convert.card import Card
from mlx_moebius.convert.folder import convert_checkpoint, verify
from mlx_moebius.convert.to_pytorch import write_released
from mlx_moebius.errors import MoebiusError, one_line_errors
from mlx_moebius.networks.config import SamplingConfig
from mlx_moebius.networks.quantize import quantization_config
from mlx_moebius.schema import check

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def command(
    source: Annotated[
        Path | None,
        typer.Argument(help="U-Net checkpoint (.bin, .pt, .pth, .safetensors), or the folder that holds it."),
    ] = None,
    out: Annotated[Path | None, typer.Argument(help="Model folder to write.")] = None,
    vae: Annotated[
        Path | None, typer.Option(help="VAE weights with config.json beside them.", show_default="vae/ beside SOURCE")
    ] = None,
    dtype: Annotated[str, typer.Option(help="Stored weights: float16, bfloat16 or float32.")] = "float16",
    quantize: Annotated[
        int | None, typer.Option(metavar="8|4", help="Store the U-Net's matrices in this many bits (a smaller file).")
    ] = None,
    q_group_size: Annotated[
        int | None, typer.Option(help="Weights that share a scale.", show_default="64 for 8 bits, 32 for 4")
    ] = None,
    q_mode: Annotated[
        str | None, typer.Option(help="affine, mxfp8 (8 bits), mxfp4 or nvfp4 (4 bits).", show_default="affine")
    ] = None,
    sampling: Annotated[
        str, typer.Option(help='Sampling defaults of the folder, like "guidance_scale=1.5,compensate=true".')
    ] = "",
    note: Annotated[str, typer.Option(help="A sentence for the model card.")] = "",
    upload_repo: Annotated[
        str, typer.Option(metavar="ORG/NAME", help="Upload OUT to this repository of the hub, with its model card.")
    ] = "",
    base_model: Annotated[str, typer.Option(help="The card's base model, for an upload.")] = "hustvl/Moebius",
    license: Annotated[
        str, typer.Option(help="The card's licence, for an upload.", show_default="what the base model's card states")
    ] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model folder OUT.")] = False,
    to_pytorch: Annotated[
        bool, typer.Option("--to-pytorch", help="The way back: SOURCE is a model folder, OUT a .safetensors file.")
    ] = False,
    check: Annotated[
        Path | None, typer.Option("--verify", metavar="FOLDER", help="Check a model folder; convert nothing.")
    ] = None,
) -> None:
    """Convert a PyTorch checkpoint of Moebius into a model folder for MLX.

    PyTorch is not needed, and nothing in the checkpoint is executed.
    """
    with one_line_errors():
        if to_pytorch:
            if source is None or out is None or check is not None or upload_repo or quantize is not None:
                raise MoebiusError("--to-pytorch takes a model folder and a .safetensors file, and nothing else")
            typer.echo(f"{out}: {write_released(source, out)} tensors under the released names")
            return
        if check is not None:
            if source is not None or upload_repo:
                raise MoebiusError("--verify FOLDER takes no SOURCE and OUT and no --upload-repo")
            folder = check
        elif source is None or out is None:
            raise MoebiusError("give SOURCE and OUT, or --verify FOLDER (--help explains)")
        elif quantize is None and (q_group_size or q_mode):
            raise MoebiusError("--q-group-size and --q-mode need --quantize 8 or 4")
        else:
            folder = out
            card = Card(note)
            if upload_repo:
                from mlx_moebius.convert.upload import card_for_upload, upload_folder  # with the hub's client

                card = card_for_upload(upload_repo, base_model, license, note, lambda line: typer.echo(line, err=True))
            beside = source if source.is_dir() else source.parent
            convert_checkpoint(
                source,
                vae or beside / "vae",
                out,
                dtype=dtype,
                quantization=quantization_config(quantize, q_group_size, q_mode) if quantize is not None else None,
                sampling=parse_sampling(sampling),
                card=card,
                overwrite=overwrite,
            )
        for file in verify(folder):
            typer.echo(
                f"{file.name:18} {file.tensors:5} tensors {file.parameters:12,} parameters {file.size:12,} bytes  ok"
            )
        if upload_repo:
            typer.echo(upload_folder(folder, upload_repo))


def parse_sampling(text: str) -> SamplingConfig:
    """`name=value,name=value` -> sampling defaults, each value of its field's type."""
    defaults = SamplingConfig()
    known: dict[str, Any] = {field.name: getattr(defaults, field.name) for field in fields(defaults)}
    values: dict[str, Any] = {}
    for item in filter(None, text.split(",")):
        name, _, value = (part.strip() for part in item.partition("="))
        if name not in known:
            raise MoebiusError(f"unknown sampling default {name!r}; known: {', '.join(known)}")
        try:
            if isinstance(known[name], bool):
                values[name] = {"true": True, "false": False}[value.lower()]
            else:
                values[name] = type(known[name])(value)
        except (ValueError, KeyError):
            raise MoebiusError(f"{value!r} is no value for {name}, which is {known[name]!r} by default") from None
    sampling = SamplingConfig(**values)
    check(sampling)
    return sampling


def main() -> None:
    """Entry point of the console script."""
    app(prog_name="mlx_moebius.convert")


if __name__ == "__main__":
    main()
