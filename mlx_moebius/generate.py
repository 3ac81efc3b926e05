"""The command line: `python -m mlx_moebius.generate IMAGE --mask MASK`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields, replace
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import mlx.core as mx
import numpy as np
import typer
from PIL import Image

from mlx_moebius.errors import MoebiusError, one_line_errors
from mlx_moebius.folder.batch import Job
from mlx_moebius.folder.report import Mode
from mlx_moebius.folder.run import default_folder, fill_folder, find_pairs, show_plan
from mlx_moebius.inpainting.compose import Result, Settings, widest_feather
from mlx_moebius.inpainting.contact_sheet import contact_sheet
from mlx_moebius.inpainting.extend import Extension, parse_aspect, parse_sides
from mlx_moebius.inpainting.pipeline import MoebiusPipeline
from mlx_moebius.models import DEFAULT_MODEL, find_model
from mlx_moebius.networks.blas import BLAS
from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.networks.diffusion import Step
from mlx_moebius.networks.memory import parse_size, windows_within
from mlx_moebius.photos.mask_files import ALPHA, load_mask
from mlx_moebius.photos.masks import Mask
from mlx_moebius.photos.masks import dilate as dilate_mask
from mlx_moebius.photos.photo import Photo, photo_from_image, read_photo, read_provenance
from mlx_moebius.photos.save import check_output, default_output, replacing, write_photo
from mlx_moebius.version import __version__

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


class Dtype(str, Enum):
    """What the U-Net computes in."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


class SolverName(str, Enum):
    """How the sampler steps."""

    ddim = "ddim"
    dpm = "dpm++"


class Device(str, Enum):
    """Where MLX computes."""

    cpu = "cpu"
    gpu = "gpu"


def show_version(wanted: bool) -> None:
    """Print versions and stop."""
    if wanted:
        typer.echo(f"mlx-moebius {__version__} (mlx {metadata.version('mlx')})")
        raise typer.Exit


@app.command(no_args_is_help=True)
def generate(
    image: Annotated[Path, typer.Argument(help="The photo (JPEG, PNG, WebP, TIFF, AVIF, BMP, HEIC), or a folder.")],
    mask: Annotated[
        list[str] | None,
        typer.Option(
            "--mask",
            "-m",
            help='Mask file, white = fill; or "alpha": what is transparent. For a folder, a folder too.',
        ),
    ] = None,
    mask_from: Annotated[
        list[str] | None, typer.Option(metavar="X,Y,W,H", help="A box to fill, in pixels. May be repeated.")
    ] = None,
    invert: Annotated[bool, typer.Option("--invert", help="Fill what the masks leave out.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write; beside the photo by default.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="places2, pretrained, celebahq or ffhq (released weights, downloaded at first use), nano (bundled: a "
            "demonstration trained on drawings), a converted folder, or a repository of the hub. [default: places2]"
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Sampling steps. [default: the model's, 20 if it has none]")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Guidance scale; 1 is twice as fast. [default: the model's, 2.5]")
    ] = None,
    guidance_until: Annotated[
        float | None, typer.Option(min=0, max=1, help="Faster, not exact: guide only this share of the steps, say 0.6.")
    ] = None,
    solver: Annotated[
        SolverName | None,
        typer.Option(help="Faster, not exact: dpm++ needs half the steps, so give --steps 10 with it. [default: ddim]"),
    ] = None,
    reuse_features: Annotated[
        int | None,
        typer.Option(
            min=1, help="Faster, not exact: compute the network's lower resolutions only every N-th step, say 2."
        ),
    ] = None,
    strength: Annotated[
        float | None, typer.Option(min=0, max=1, help="1 starts from pure noise. [default: 0.99]")
    ] = None,
    noise_offset: Annotated[float | None, typer.Option(min=0, help="[default: 0.0357]")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed gives another fill. [default: 0]")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=2, max=64, help="Only write a numbered sheet of this many fills to choose from.")
    ] = None,
    pick: Annotated[int | None, typer.Option(min=1, help="Apply the fill of this number on the sheet.")] = None,
    extend: Annotated[
        str | None, typer.Option(metavar="SIDES", help="Widen the frame: left=256,top=10% (pixels or per cent).")
    ] = None,
    aspect: Annotated[
        str | None, typer.Option(metavar="W:H", help="Widen the frame to an aspect such as 16:9.")
    ] = None,
    gravity: Annotated[
        str, typer.Option(help="Where the photo stays in the wider frame: center, left, right, top or bottom.")
    ] = "center",
    dilate: Annotated[
        str | None,
        typer.Option(metavar="auto|N", help="Grow the mask: by each part's size, or by a square of N pixels (0: not)."),
    ] = None,
    compensate: Annotated[
        bool | None,
        typer.Option("--compensate/--no-compensate", help="Level the fill's colours with what is around it."),
    ] = None,
    paste: Annotated[
        bool,
        typer.Option("--paste/--no-paste", help="Blend the fill into the photo, or show the network's whole squares."),
    ] = True,
    context: Annotated[
        float | None, typer.Option(help="How much the network sees, in extents of the part. [default: 2]")
    ] = None,
    max_crop: Annotated[int | None, typer.Option(help="Largest window, in pixels.")] = None,
    whole_image: Annotated[bool, typer.Option("--whole-image", help="One window for everything.")] = False,
    reference: Annotated[
        bool,
        typer.Option(
            "--reference", help="Exactly what the official pipeline does: square photos, the model's size out."
        ),
    ] = False,
    memory_limit: Annotated[
        str | None, typer.Option(metavar="SIZE", help="What the network may take, such as 8GB. [default: 60 %]")
    ] = None,
    save_mask: Annotated[Path | None, typer.Option(help="Also write what was really filled.")] = None,
    quality: Annotated[
        int | None, typer.Option(min=1, max=100, help="Of JPEG, WebP, AVIF, HEIC. [default: the photo's own]")
    ] = None,
    from_metadata: Annotated[
        Path | None, typer.Option(help="Repeat the run that made this file: its model and settings, unless given here.")
    ] = None,
    no_metadata: Annotated[
        bool, typer.Option("--no-metadata", help="Do not record model and settings in the file.")
    ] = False,
    recursive: Annotated[bool, typer.Option("--recursive", help="Folders: also those inside.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Folders: also what an earlier run has done.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Folders: only list photos, masks and time.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Folders: only errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Folders: events as JSON lines.")] = False,
    dtype: Annotated[Dtype | None, typer.Option(help="[default: float16 on a GPU, float32 on a CPU]")] = None,
    device: Annotated[Device | None, typer.Option(help="[default: the GPU where MLX has one]")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Windows, seam, time and memory.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True)] = False,
) -> None:
    """Remove what a mask covers from a photo, at the photo's own resolution; the rest stays as it is.

    The released weights are downloaded at their first use; afterwards no network is touched. The bundled model, nano,
    is a demonstration trained on drawings: it works offline, but photos want the released weights.
    """
    settings_asked: dict[str, Any] = {
        "num_steps": steps,
        "guidance_scale": guidance,
        "guidance_until": guidance_until,
        "solver": solver.value if solver else None,
        "reuse_features": reuse_features,
        "strength": strength,
        "noise_offset": noise_offset,
        "seed": seed,
        "dilate": parse_dilate(dilate),
        "compensate": compensate,
        "paste": paste,
        "context": context,
        "max_crop": max_crop,
        "whole_image": whole_image or None,
        "opaque": ALPHA in (mask or []) or None,
        "reference": reference or None,
    }
    if image.is_dir():
        if seeds or pick or extend or aspect or save_mask:
            raise MoebiusError("--seeds, --pick, --extend, --aspect and --save-mask are for one photo, not a folder")
        folder = output or default_folder(image)
        pairing = find_pairs(image, mask or [], mask_from or [], folder, recursive, overwrite)
        earlier = recorded(from_metadata)
        pipeline = load(model or earlier.get("model", DEFAULT_MODEL), dtype, device, memory_limit)
        settings = pipeline.settings(**earlier.get("settings", {}) | given(settings_asked))
        job = Job(image, folder, settings, tuple(mask_from or ()), invert, quality, not no_metadata)
        if dry_run:
            typer.echo("\n".join(show_plan(pipeline, job, pairing)))
            return
        mode: Mode = "json" if as_json else "quiet" if quiet else "bar" if sys.stderr.isatty() else "lines"
        raise typer.Exit(fill_folder(pipeline, job, pairing, force, mode))
    if recursive or force or dry_run or quiet or as_json:
        raise MoebiusError(f"--recursive, --force, --dry-run, --quiet and --json are for a folder; {image} is none")

    # 1. Look at everything that was asked for before any work.
    if seeds is not None and (pick or extend or aspect or save_mask):
        raise MoebiusError(
            "--seeds only writes a sheet: leave --pick, --extend, --aspect and --save-mask for the next run"
        )
    output = output or (default_output(image) if seeds is None else image.with_name(f"{image.stem}_seeds.png"))
    for path in (output, save_mask):
        if path is not None and path.exists() and not overwrite:
            raise MoebiusError(f"{path} exists: give another name, or --overwrite")
    for path in (save_mask, output if seeds else None):
        if path is not None and path.suffix.lower() != ".png":
            raise MoebiusError(f"{path} is written as PNG, so its name must end in .png")
    photo = read_photo(image)
    check_output(photo_from_image(Image.new("RGB", (1, 1))) if seeds else photo, output)
    wanted: Mask | None = None
    warnings: list[str] = []
    if mask or mask_from or not (extend or aspect):
        wanted, warnings = load_mask(photo, mask or [], mask_from or [], invert)
    extension = frame_extension(photo, extend, aspect, gravity)
    earlier = recorded(from_metadata)
    for line in [*photo.notes, *warnings]:
        warn(line)

    # 2. Load the model.
    pipeline = load(model or earlier.get("model", DEFAULT_MODEL), dtype, device, memory_limit)
    settings = pipeline.settings(**earlier.get("settings", {}) | given(settings_asked | {"extend": extension}))
    if pick is not None:
        settings = replace(settings, seed=settings.seed + pick - 1)

    # 3. Fill, and write.
    with Progress() as progress:
        if seeds is not None and wanted is not None:
            choices = range(settings.seed, settings.seed + seeds)
            results = list(pipeline.variations(photo, wanted, settings, choices, progress))
            result = results[0]
        else:
            result = pipeline.inpaint(photo, wanted, settings, progress)
    notes = list(result.warnings)
    if seeds is not None:
        with replacing(output) as file:
            contact_sheet(results).save(file, "PNG")
    else:
        record = None if no_metadata else pipeline.provenance(settings, result)
        notes += write_photo(result.photo, output, quality, record)
    if save_mask is not None:
        with replacing(save_mask) as file:
            Image.fromarray(result.mask.astype(np.uint8) * 255).save(file, "PNG")
    for line in notes:
        warn(line)
    if verbose:
        report(pipeline, photo, result)
    typer.echo(output)


class Progress:
    """A progress bar with the time left on standard error; silent where that is not a terminal."""

    def __init__(self) -> None:
        self.bar: Any = None

    def __enter__(self) -> Callable[[Step], None]:
        return self.show

    def show(self, step: Step) -> None:
        """One step is done."""
        if not sys.stderr.isatty():
            return
        if self.bar is None:
            self.bar = typer.progressbar(length=step.total, label="Filling", file=sys.stderr)
            self.bar.__enter__()
        self.bar.update(step.number - self.bar.pos)

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.__exit__(*error)


def given(asked: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, without what was left open."""
    return {name: value for name, value in asked.items() if value is not None}


def load(model: str, dtype: Dtype | None, device: Device | None, memory_limit: str | None) -> MoebiusPipeline:
    """A model that fills as many windows at once as memory allows; see first whether it allows any."""
    if device is not None:
        choose_device(device.value)
    limit = parse_size(memory_limit) if memory_limit else None
    windows = windows_within(ModelConfig.load(find_model(model)), limit)
    pipeline = MoebiusPipeline.from_pretrained(model, dtype.value if dtype else None)
    pipeline.max_windows = windows
    return pipeline


def frame_extension(photo: Photo, extend: str | None, aspect: str | None, gravity: str) -> Extension | None:
    """What --extend or --aspect ask for."""
    if extend and aspect:
        raise MoebiusError("--extend and --aspect both widen the frame: give one")
    if extend:
        return parse_sides(extend, photo)
    return parse_aspect(aspect, gravity, photo) if aspect else None


def recorded(path: Path | None) -> dict[str, Any]:
    """Model and settings that a file was filled with."""
    if path is None:
        return {}
    if not (provenance := read_provenance(path)) or "settings" not in provenance:
        raise MoebiusError(f"{path} does not say how it was filled: it was written with --no-metadata or elsewhere")
    if unknown := set(provenance["settings"]) - {each.name for each in fields(Settings)}:
        raise MoebiusError(f"{path} was filled by another version, with the unknown setting {min(unknown)}")
    return provenance


def parse_dilate(text: str | None) -> Any:
    """None, "auto", or a whole number of pixels."""
    if text is None or text == "auto":
        return text
    if not text.isdecimal():
        raise MoebiusError(f'--dilate "{text}" is neither auto nor a number of pixels such as 9')
    return int(text)


def choose_device(name: str) -> None:
    """Make MLX compute on "cpu" or "gpu"."""
    try:
        mx.set_default_device(mx.gpu if name == "gpu" else mx.cpu)
    except ValueError:
        raise MoebiusError("MLX has no GPU here: leave --device gpu out") from None


def warn(line: str) -> None:
    """To standard error."""
    typer.echo(f"warning: {line}", err=True)


def report(pipeline: MoebiusPipeline, photo: Photo, result: Result) -> None:
    """What -v shows."""
    diffusion = pipeline.diffusion
    typer.echo(
        f"model {pipeline.name}, U-Net in {str(diffusion.dtype).split('.')[-1]} on {mx.default_device()}, BLAS: {BLAS}"
    )
    for window in result.windows:
        left, top = window.left, window.top
        typer.echo(f"window {window.side} x {window.side} at {left},{top}, enlarged {window.enlargement:.2f} times")
    if result.seam is not None:
        seam = result.seam
        typer.echo(
            f"seam: colour step {seam.colour_step:.1f} levels ({seam.colour_ratio:.2f} of the photo's own), "
            f"sharpness step {seam.gradient_step:.1f} ({seam.gradient_ratio:.2f})"
        )
    if result.photo.pixels.shape == photo.pixels.shape:
        changed = (result.photo.pixels != photo.pixels).reshape(photo.height, photo.width, -1).any(axis=-1)
        beyond = changed & ~dilate_mask(result.mask, 2 * widest_feather(result.windows) + 1)
        typer.echo(f"pixels changed: {changed.sum():,} of {changed.size:,}; beyond mask and feather: {beyond.sum():,}")
    for name, stage in pipeline.stages.by_name.items():
        typer.echo(f"{name:8} {stage.seconds:8.2f} s   peak {stage.peak_bytes / 2**20:8.0f} MiB")


def main() -> None:
    """Run the command line; an error is one line and exit code 1."""
    with one_line_errors():
        app()


if __name__ == "__main__":
    main()
