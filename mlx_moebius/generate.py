"""The command line that fills photos: `mlx-moebius PHOTO --mask MASK`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import typer
from PIL import Image

from mlx_moebius.alignment.sources import read_shots
from mlx_moebius.cli.command import Program
from mlx_moebius.cli.flags import on_command_line
from mlx_moebius.cli.values import given
from mlx_moebius.console import Progress, report, warn
from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import printable
from mlx_moebius.folder.batch import Job
from mlx_moebius.folder.others import Others
from mlx_moebius.folder.report import Mode
from mlx_moebius.folder.run import default_folder, fill_folder, find_pairs, show_plan
from mlx_moebius.folder.watch import watch as watch_folder
from mlx_moebius.inpainting.contact_sheet import contact_sheet
from mlx_moebius.inpainting.extend import Extension, parse_aspect, parse_sides
from mlx_moebius.inpainting.record import read_record
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.model_choice import ModelChoice
from mlx_moebius.opencv import opencv
from mlx_moebius.options import common
from mlx_moebius.options import generate as options
from mlx_moebius.photos import limits
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.growth import grow
from mlx_moebius.photos.mask_files import ALPHA, check_share, load_mask
from mlx_moebius.photos.pairing import Pairing, mask_beside
from mlx_moebius.photos.patch import patch as make_patch
from mlx_moebius.photos.photo import Photo, photo_from_image, read_photo
from mlx_moebius.photos.save import check_output, write_photo
from mlx_moebius.selection.request import parse
from mlx_moebius.selection.request import select as selected
from mlx_moebius.selection.sensor import resolved
from mlx_moebius.writing import Writing, write_png

program = Program("mlx-moebius", options.ABOUT, options.EXAMPLES, options.OTHERS)
app, main = program.app, program.main


@program.command(options.MOST_USED)
def generate(
    images: options.Photos,
    mask: options.Masks = None,
    mask_from: options.Boxes = None,
    select: options.Select = None,
    invert: options.Invert = False,
    yes: options.Yes = False,
    dilate: options.Dilate = None,
    extend: options.Extend = None,
    aspect: options.Aspect = None,
    gravity: options.Gravity = None,
    others: options.From = None,
    model: options.Model = None,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    strength: options.Strength = None,
    noise_offset: options.NoiseOffset = None,
    seed: options.Seed = None,
    seeds: options.Seeds = None,
    pick: options.Pick = None,
    compensate: options.Compensate = None,
    detail: options.Detail = None,
    paste: options.Paste = None,
    context: options.Context = None,
    max_crop: options.MaxCrop = None,
    whole_image: options.WholeImage = False,
    reference: options.Reference = False,
    output: options.Output = None,
    overwrite: common.Overwrite = False,
    save_mask: options.SaveMask = None,
    patch: options.Patch = None,
    quality: options.Quality = None,
    from_metadata: options.FromMetadata = None,
    max_pixels: options.MaxPixels = None,
    keep_time: options.KeepTime = False,
    no_metadata: options.NoMetadata = False,
    preset: options.Preset = None,
    solver: options.Solver = None,
    guidance_until: options.GuidanceUntil = None,
    reuse_features: options.ReuseFeatures = None,
    memory_limit: options.MemoryLimit = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    recursive: options.Recursive = False,
    from_neighbours: options.FromNeighbours = False,
    force: options.Force = False,
    watch: options.Watch = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    verbose: options.Verbose = False,
    version: common.Version = False,
) -> None:
    """Fill photos, in five steps; a folder is handed over after the first."""
    # 1. Look at what was asked for, before any work.
    limits.allow(max_pixels)
    marks = Marks(mask or [], mask_from or [], invert, yes, [parse(text).text for text in select or []])
    settings_asked = given(
        num_steps=steps,
        guidance_scale=guidance,
        guidance_until=guidance_until,
        solver=solver,
        reuse_features=reuse_features,
        strength=strength,
        noise_offset=noise_offset,
        seed=seed,
        dilate=dilate,
        compensate=compensate,
        detail=detail,
        paste=paste,
        context=context,
        max_crop=max_crop,
        whole_image=whole_image or None,
        opaque=ALPHA in marks.masks or None,
        reference=reference or None,
    )
    Settings(**settings_asked)  # refuses what is out of bounds
    earlier = read_record(from_metadata) if from_metadata else None
    quality = earlier.quality if quality is None and earlier else quality
    if not marks and earlier and earlier.selected:
        marks = replace(marks, selected=list(earlier.selected))
    if patch and (output or extend or aspect or seeds or reference or len(images) > 1 or images[0].is_dir()):
        raise MoebiusError(
            "--patch is for one photo in its own frame, instead of -o: "
            "leave --extend, --aspect, --seeds and --reference out"
        )
    writing = Writing(patch or output, overwrite, quality, not no_metadata, keep_time, patch is not None)
    from_shots = others or []
    choice = ModelChoice(model, dtype, device, memory_limit, settings_asked, earlier, preset)
    folders = [path for path in images if path.is_dir()]
    if folders and not from_neighbours:
        from_shots = choice.shots(from_shots, folders[0], from_metadata)
    if folders:
        if len(images) > 1:
            raise MoebiusError(f"{folders[0]} is a folder: give one folder alone, or photos")
        if seeds or pick or extend or aspect or save_mask:
            raise MoebiusError("--seeds, --pick, --extend, --aspect and --save-mask are for one photo, not a folder")
        mode: Mode = "json" if as_json else "quiet" if quiet else "bar" if sys.stderr.isatty() else "lines"
        if watch and (force or dry_run):
            raise MoebiusError("--watch fills what is not done yet: leave --force and --dry-run out")
        raise typer.Exit(
            generate_folder(
                folders[0], marks, choice, writing, recursive, force, dry_run, watch, mode, from_shots, from_neighbours
            )
        )
    if from_neighbours:
        raise MoebiusError(f"--from-neighbours is for a folder; {images[0]} is none: give other shots with --from")
    if recursive or force or watch or dry_run or quiet or as_json:
        raise MoebiusError(
            f"--recursive, --force, --watch, --dry-run, --quiet and --json are for a folder; {images[0]} is none"
        )
    if seeds and (pick or extend or aspect or save_mask):
        raise MoebiusError(
            "--seeds only writes a sheet: leave --pick, --extend, --aspect and --save-mask for the next run"
        )
    if len(images) > 1 and (save_mask or pick):
        raise MoebiusError("--save-mask and --pick are for one photo")
    failed = 0
    for image in images:
        try:
            fill_photo(
                image,
                marks,
                choice,
                writing,
                len(images) > 1,
                extend,
                aspect,
                gravity,
                seeds,
                pick,
                save_mask,
                verbose,
                from_shots,
                from_metadata,
            )
        except MoebiusError as error:
            if len(images) == 1:
                raise
            typer.echo(printable(f"error: {error}"), err=True)
            failed += 1
    if failed:
        raise MoebiusError(f"{failed} of {len(images)} photos failed")


def fill_photo(
    image: Path,
    marks: Marks,
    choice: ModelChoice,
    writing: Writing,
    several: bool,
    extend: str | None,
    aspect: str | None,
    gravity: str | None,
    seeds: int | None,
    pick: int | None,
    save_mask: Path | None,
    verbose: bool,
    from_shots: Sequence[Path] = (),
    from_metadata: Path | None = None,
) -> None:
    """Fill one photo; `several`: there are more. Without marks or a wider frame, the mask beside the photo is used."""
    target = writing.target(image, save_mask, bool(seeds), several)
    if not marks and not (extend or aspect) and (beside := mask_beside(image)):
        marks = replace(marks, masks=[str(beside)])
    elif not marks and not (extend or aspect):
        raise MoebiusError(f"what should go from {image}? Give a mask, a box, or {image.stem}_mask.png beside it")

    # 2. Read photo and mask.
    photo = read_photo(image)
    extension = frame_extension(photo, extend, aspect, gravity or "center")
    across, down = (extension.left + extension.right, extension.top + extension.bottom) if extension else (0, 0)
    stand_in = photo_from_image(Image.new("RGB", (1, 1)))  # for a sheet, whatever the photo is
    if writing.as_patch:
        corner = replace(photo, pixels=photo.pixels[:1, :1])
        stand_in = make_patch(corner, corner, np.zeros((1, 1), np.uint16))
    check_output(
        stand_in if seeds or writing.as_patch else photo,
        target,
        None if seeds else (photo.width + across, photo.height + down),
    )
    wanted: Mask | None = None
    warnings: list[str] = []
    if marks or not (extend or aspect):
        found = selected(photo, marks.selected) if marks.selected else None
        if found is not None and not found.any():
            raise MoebiusError(f"there is no {' or '.join(marks.selected)} in {image}, nothing would be filled")
        wanted, warnings = load_mask(photo, marks.masks, marks.boxes, marks.invert, found)
        check_share(grow(wanted, choice.growth), wanted, marks.large, marks.invert)
    for line in [*photo.notes, *warnings]:
        warn(line)
    shots = read_shots(choice.shots(from_shots, image, from_metadata), image)
    if shots and wanted is None:
        raise MoebiusError(f"--from shows what a mask hides in {image}: give a mask too, or leave --from out")

    # 3. Load the model.
    taken = limits.bytes_taken(photo.width + across, photo.height + down, copies=photo.pixels.itemsize)
    pipeline, settings = choice.load(taken)
    settings = replace(settings, extend=extension or settings.extend, seed=settings.seed + (pick - 1 if pick else 0))

    # 4. Fill.
    with Progress() as progress:
        if seeds and wanted is not None:
            choices = range(settings.seed, settings.seed + seeds)
            results = list(pipeline.variations(photo, wanted, settings, choices, progress, shots))
        else:
            results = [pipeline.inpaint(photo, wanted, settings, progress, shots)]

    # 5. Write, and report.
    result = results[0]
    notes = list(result.warnings)
    if seeds:
        notes = [
            f"fill {number}: {line}"
            for number, result_of_seed in enumerate(results, 1)
            for line in result_of_seed.warnings
        ]
        write_png(contact_sheet(results), target, image, writing.overwrite)
    else:
        record = pipeline.provenance(settings, result, writing.quality, marks.selected) if writing.metadata else None
        written = result.photo
        if writing.as_patch and result.weights is not None:
            written = make_patch(photo, written, result.weights)
        notes += write_photo(written, target, writing.quality, record, image, writing.keep_time, writing.overwrite)
    if save_mask is not None:
        write_png(Image.fromarray(result.mask.astype(np.uint8) * 255), save_mask, image, writing.overwrite)
    for line in notes:
        warn(line)
    if verbose:
        report(pipeline, photo, result)
    typer.echo(printable(str(target)) if sys.stdout.isatty() else os.fsencode(target))


def generate_folder(
    folder: Path,
    marks: Marks,
    choice: ModelChoice,
    writing: Writing,
    recursive: bool,
    force: bool,
    dry_run: bool,
    watch: bool,
    mode: Mode,
    from_shots: Sequence[Path] = (),
    from_neighbours: bool = False,
) -> int:
    """Fill the photos of a folder, those that arrive too, or only list them; returns the exit code."""
    # 2. Find photos and masks.
    if from_shots or from_neighbours:
        opencv()
    output = writing.output or default_folder(folder)
    if watch and "sensor" in marks.selected:
        raise MoebiusError("--watch does not know the photos to come: leave --select sensor out")
    places = [*marks.boxes, *marks.selected]
    find = partial(find_pairs, folder, marks.masks, places, output, recursive, writing.overwrite)
    pairing = Pairing([], []) if watch else find()

    # 3. Load the model.
    pipeline, settings = choice.load(alone=False)
    job = Job(
        folder,
        output,
        settings,
        tuple(marks.boxes),
        marks.invert,
        marks.large,
        writing.quality,
        writing.metadata,
        writing.keep_time,
        Others(folder, find, from_shots, from_neighbours) if from_shots or from_neighbours else None,
        face=on_command_line,
        selected=tuple(marks.selected),
        dust=resolved(["sensor"], [folder / pair.name for pair in pairing.pairs]) if "sensor" in marks.selected else {},
    )

    # 4 and 5. Fill, write and report, photo by photo.
    if dry_run:
        lines, errors = show_plan(pipeline, job, pairing)
        typer.echo(os.fsencode("\n".join(lines)))
        return 1 if errors else 0
    if watch:
        if mode in ("bar", "lines"):
            typer.echo(printable(f"watching {folder}; Ctrl-C ends"), err=True)
        return watch_folder(pipeline, job, find, mode)
    return fill_folder(pipeline, job, pairing, force, mode)


@dataclass(frozen=True, slots=True)
class Marks:
    """Where to fill: mask files (or "alpha"), boxes and what is selected, or with `invert` all but these.

    `large`: it may be more than half of a photo.
    """

    masks: list[str]
    boxes: list[str]
    invert: bool
    large: bool
    selected: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.masks or self.boxes or self.selected)


def frame_extension(photo: Photo, extend: str | None, aspect: str | None, gravity: str) -> Extension | None:
    """What --extend or --aspect ask for."""
    if extend and aspect:
        raise MoebiusError("--extend and --aspect both widen the frame: give one")
    if extend:
        return parse_sides(extend, photo)
    return parse_aspect(aspect, gravity, photo) if aspect else None


if __name__ == "__main__":
    main()
