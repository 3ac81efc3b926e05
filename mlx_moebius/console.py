"""What the command line shows: progress, warnings, and what -v adds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import typer

from mlx_moebius.cli.flags import on_command_line
from mlx_moebius.errors import worded
from mlx_moebius.files import printable
from mlx_moebius.inpainting.bands import BANDS, flagged
from mlx_moebius.inpainting.compose import Result, widest_feather
from mlx_moebius.inpainting.pipeline import Event, MoebiusPipeline
from mlx_moebius.networks.diffusion import Step
from mlx_moebius.photos.masks import dilate
from mlx_moebius.photos.photo import Photo
from mlx_moebius.runtime import BLAS
from mlx_moebius.words import counted


class Progress:
    """A progress bar with the time left on standard error; silent where that is not a terminal."""

    def __init__(self) -> None:
        self.bar: Any = None

    def __enter__(self) -> Callable[[Event], None]:
        return self.show

    def show(self, event: Event) -> None:
        """Show that one step of the network, or the detail of one crop, is done."""
        if not sys.stderr.isatty():
            return
        label = "Filling" if isinstance(event, Step) else "Detail "
        if self.bar is None or self.bar.label != label:
            self.__exit__()
            self.bar = typer.progressbar(length=event.total, label=label, file=sys.stderr)
            self.bar.__enter__()
        self.bar.update(event.number - self.bar.pos)

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.__exit__(*(error or (None, None, None)))
            self.bar = None


def warn(line: str) -> None:
    """Print a warning to standard error."""
    typer.echo(printable(f"warning: {worded(line, on_command_line)}"), err=True)


def report(pipeline: MoebiusPipeline, photo: Photo, result: Result) -> None:
    """Print what -v shows: model, crops, seam, changed pixels, and time and memory by stage."""
    dtype = str(pipeline.diffusion.dtype).split(".")[-1]
    typer.echo(f"model {pipeline.name}, U-Net in {dtype} on {mx.default_device()}, BLAS: {BLAS}")
    for use in result.uses:
        typer.echo(printable(use.line()))
    if result.continued:
        typer.echo(f"{counted(result.continued, 'part')} filled from what is round it, without the network")
    for crop in result.crops:
        typer.echo(f"window {crop.side} x {crop.side} at {crop.left},{crop.top}, enlarged {crop.enlargement:.2f} times")
    for detail in result.details:
        trusted = f"trusted down to {detail.cell:.1f} pixels" if detail.cell else "not trusted"
        grown = (
            f"detail grown, gradients {detail.gain:.2f} times as strong" if detail.colours is not None else "as it is"
        )
        typer.echo(f"fill at {detail.box[0]},{detail.box[1]}: {trusted}; {grown}; {detail.seconds:.2f} s")
    if result.seam is not None:
        seam = result.seam
        typer.echo(
            f"seam: colour step {seam.colour_step:.1f} levels ({seam.colour_ratio:.2f} of the photo's own), "
            f"sharpness step {seam.gradient_step:.1f} ({seam.gradient_ratio:.2f}); "
            f"the fill is {seam.sharpness:.2f} times as sharp as what is round it"
        )
        off = flagged(seam.luma, seam.chroma)
        bands = (
            f"{name} {' '.join('-' if ratio is None else f'{ratio:.2f}' for ratio in ratios)}"
            for name, ratios in (("luma", seam.luma), ("chroma", seam.chroma))
        )
        sizes = ", ".join(str(band) for band in BANDS)
        typer.echo(f"grain of {sizes} pixels beside what is round it: {'; '.join(bands)}")
        if off:
            typer.echo(f"unlike what is round it: {', '.join(off)}")
    if result.photo.pixels.shape == photo.pixels.shape:
        changed = (result.photo.pixels != photo.pixels).reshape(photo.height, photo.width, -1).any(axis=-1)
        beyond = changed & ~dilate(result.mask, 2 * widest_feather(result.crops) + 1)
        typer.echo(f"pixels changed: {changed.sum():,} of {changed.size:,}; beyond mask and feather: {beyond.sum():,}")
    for name, stage in pipeline.stages.by_name.items():
        peak = f"   peak {stage.peak_bytes / 2**20:8.0f} MiB" if stage.peak_bytes else ""  # detail is not MLX's
        typer.echo(f"{name:8} {stage.seconds:8.2f} s{peak}")
