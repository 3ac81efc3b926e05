"""`--picture FOLDER`: how good fills look where the truth is known, with detail and without.

The folder holds photographs and `hole.png`, white where something is to be filled; `examples/windows` is such a folder.
The photographs are filled as users' photos are, with four kinds of fill: what an ideal network of the bundled model's
size would give (the truth at the network's resolution), the same with fewer cells, the smooth filling (no network at
all), and the bundled model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import replacing
from mlx_moebius.inpainting.compose import PreparedCrops
from mlx_moebius.inpainting.pipeline import MoebiusPipeline
from mlx_moebius.inpainting.prepare import prepare
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.inpainting.stitch import extract
from mlx_moebius.photos.geometry import Colours, Mask
from mlx_moebius.photos.photo import Photo, read_photo

HOLE = "hole.png"
COARSE = 48  # cells along a side of a fill that is coarser than the network's grid
RIM = 15  # side in pixels of the square that erodes the hole before gradients are compared
FIGURES = ("gradient", "psnr", "colour_step", "seconds")


def picture_report(folder: Path, keep: Path | None = None) -> dict[str, Any]:
    """Figures by kind of fill, "before" and "after" detail, and photograph, as JSON values.

    "gradient" is the gradient energy inside the hole, relative to the truth's (1: as sharp). "psnr" is in dB, inside
    the hole. "colour_step" is the step at the seam in 8-bit levels, "seconds" the time for the detail. "cell" is the
    size in pixels of the finest cells on which the fill was found reliable. The filled photographs are written to
    `keep`, in one folder per kind.

    Raises MoebiusError when the folder does not hold photographs and `hole.png`.
    """
    photos = sorted(file for file in folder.glob("*.jpg"))
    if not photos or not (folder / HOLE).is_file():
        raise MoebiusError(f"{folder} holds no photographs (*.jpg) with {HOLE}: give a folder such as examples/windows")
    drawing = Image.open(folder / HOLE).convert("L")
    hole = np.asarray(drawing) > 127
    inner = np.asarray(drawing.filter(ImageFilter.MinFilter(RIM))) > 127
    pipeline = MoebiusPipeline.from_pretrained("nano")
    fills: dict[str, Callable[[PreparedCrops, Settings], list[Colours]]] = {
        "ideal": lambda prepared, _: [_truth(prepared, index, pipeline.size) for index in range(len(prepared.crops))],
        f"ideal, {COARSE} cells": lambda prepared, _: [
            _truth(prepared, index, COARSE) for index in range(len(prepared.crops))
        ],
        "smooth": lambda prepared, _: [image / np.float32(255) for image in prepared.images],
        "bundled model": lambda prepared, settings: _network(pipeline, prepared, settings),
    }
    report: dict[str, Any] = {}
    for kind, fill in fills.items():
        for file in photos:
            photo = read_photo(file)
            if hole.shape != (photo.height, photo.width):
                raise MoebiusError(f"{file} has another size than {folder / HOLE}: give masks of the photographs' size")
            settings = pipeline.settings(dilate=0)
            prepared = prepare(photo, hole, pipeline.size, settings)
            matched = list(prepared.match_colours(fill(prepared, settings), settings))
            for name, wanted in (("before", False), ("after", True)):
                grown = list(prepared.grow_details(matched, replace(settings, detail=wanted)))
                result = prepared.finish(matched, grown, settings)
                row = _figures(photo, result.photo, hole, inner) | {
                    "colour_step": result.seam.colour_step if result.seam else 0.0,
                    "seconds": sum(detail.seconds for detail in grown),
                    "cell": [detail.cell for detail in grown],
                }
                report.setdefault(kind, {}).setdefault(name, {})[file.stem] = row
                if keep is not None:
                    _keep(
                        result.photo, keep / f"{kind.replace(', ', ' ').replace(' ', '_')}_{name}" / f"{file.stem}.png"
                    )
    return report


def picture_table(report: dict[str, Any]) -> str:
    """Means over the photographs, and the range of sharpness."""
    lines = [f"{'fill':16} {'detail':7} {'gradient':>8} {'(range)':>12} {'PSNR':>6} {'seam':>5} {'seconds':>7}"]
    for kind, parts in report.items():
        for name, rows in parts.items():
            mean = {figure: float(np.mean([row[figure] for row in rows.values()])) for figure in FIGURES}
            sharp = [row["gradient"] for row in rows.values()]
            lines.append(
                f"{kind:16} {name:7} {mean['gradient']:8.2f} {min(sharp):5.2f} - {max(sharp):4.2f} "
                f"{mean['psnr']:6.1f} {mean['colour_step']:5.1f} {mean['seconds']:7.2f}"
            )
    return "\n".join(lines)


def _truth(prepared: PreparedCrops, index: int, cells: int) -> Colours:
    """The true colours of a crop, averaged over a grid of `cells`, at the network's size, 0..1."""
    crop = prepared.crops[index]
    image, _ = extract(prepared.photo.rgb(), np.zeros_like(prepared.mask), crop)
    drawn = Image.fromarray(image)
    if cells < crop.size:
        small = drawn.resize((cells, cells), Image.Resampling.BOX)
        drawn = small.resize(drawn.size, Image.Resampling.BICUBIC)
    return np.asarray(drawn) / np.float32(255)


def _network(pipeline: MoebiusPipeline, prepared: PreparedCrops, settings: Settings) -> list[Colours]:
    noise = pipeline.draw_noise([prepared], settings)
    return list(pipeline.decode(pipeline.denoise(pipeline.encode([prepared], noise, settings), noise, settings)))


def _figures(truth: Photo, result: Photo, hole: Mask, inner: Mask) -> dict[str, float]:
    photo, filled = truth.rgb().astype(np.float32), result.rgb().astype(np.float32)
    error = float(((photo - filled)[hole] ** 2).mean())
    return {
        "gradient": _energy(filled, inner) / _energy(photo, inner),
        "psnr": 10 * float(np.log10(255**2 / max(error, 1e-9))),
    }


def _energy(image: NDArray[np.float32], inside: Mask) -> float:
    steps = [np.abs(np.diff(image, axis=axis)).mean(axis=-1) for axis in (0, 1)]
    return float((steps[0][:, :-1] + steps[1][:-1])[inside[:-1, :-1]].mean())


def _keep(photo: Photo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        Image.fromarray(photo.rgb()).save(file, "PNG")
