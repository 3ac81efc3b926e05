"""Command line: `mlx-moebius convert SOURCE OUT`."""

from __future__ import annotations

import typer

from mlx_moebius.cli.command import Program
from mlx_moebius.convert.card import Card
from mlx_moebius.convert.folder import convert_checkpoint, verify
from mlx_moebius.convert.to_pytorch import write_released
from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.quantize import quantization_config
from mlx_moebius.options import common
from mlx_moebius.options import convert as options

program = Program("mlx-moebius convert", options.ABOUT, options.EXAMPLES)
app, main = program.app, program.main


@program.command(options.MOST_USED)
def convert(
    source: options.Source = None,
    out: options.Out = None,
    vae: options.Vae = None,
    dtype: options.Dtype = "float16",
    quantize: options.Quantize = None,
    q_group_size: options.QGroupSize = None,
    q_mode: options.QMode = None,
    sampling: options.Sampling = None,
    note: options.Note = "",
    upload_repo: options.UploadRepo = "",
    base_model: options.BaseModel = "hustvl/Moebius",
    license: options.License = "",
    overwrite: common.Overwrite = False,
    to_pytorch: options.ToPytorch = False,
    check: options.Check = None,
) -> None:
    """Convert a PyTorch checkpoint of Moebius into a model folder for MLX."""
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
            quantization=quantization_config(int(quantize), q_group_size, q_mode) if quantize is not None else None,
            sampling=sampling,
            card=card,
            overwrite=overwrite,
        )
    for file in verify(folder):
        typer.echo(
            f"{file.name:18} {file.tensors:5} tensors {file.parameters:12,} parameters {file.size:12,} bytes  ok"
        )
    if upload_repo:
        typer.echo(upload_folder(folder, upload_repo))


if __name__ == "__main__":
    main()
