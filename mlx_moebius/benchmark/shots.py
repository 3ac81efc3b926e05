"""`--shots FOLDER`: how near a fill from other shots comes to the truth, with the bundled model for what they lack.

The folder holds series, a folder each: `0.jpg` is filled where `0_mask.png` is white, from `1.jpg`, `2.jpg` and so on
(with `1_mask.png`, where there is one); `truth.png` shows what is behind.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.alignment.shot import read_shot
from mlx_moebius.alignment.take import take_from
from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.pipeline import MoebiusPipeline
from mlx_moebius.photos.growth import grow
from mlx_moebius.photos.mask_files import load_mask
from mlx_moebius.photos.photo import read_photo

NEEDED = ("0.jpg", "0_mask.png", "1.jpg", "truth.png")


def shots_report(folder: Path) -> dict[str, Any]:
    """Figures by series, as JSON values.

    "psnr" is in dB, of the finished fill where the mask is white; "without" the same without other shots; "taken_psnr"
    that of what was taken, and "covered" its share of the mask. "seconds" is the processor's time to align and take,
    with reading and features, "shots" what each shot gave.

    Raises MoebiusError when the folder holds no series.
    """
    found = [series for series in sorted(folder.glob("*")) if all((series / name).is_file() for name in NEEDED)]
    if not found:
        raise MoebiusError(f"{folder} holds no series: give a folder of folders with {', '.join(NEEDED)}")
    pipeline = MoebiusPipeline.from_pretrained("nano")
    return {series.name: _figures(pipeline, series) for series in found}


def _figures(pipeline: MoebiusPipeline, series: Path) -> dict[str, Any]:
    photo = read_photo(series / "0.jpg")
    mask, _ = load_mask(photo, [series / "0_mask.png"])
    truth = read_photo(series / "truth.png").rgb()
    settings = pipeline.settings()
    start = time.process_time()
    others = sorted(
        (path for path in series.glob("[1-9]*.jpg") if path.stem.isdecimal()), key=lambda path: int(path.stem)
    )
    shots = [read_shot(path) for path in others]
    taken = take_from(photo, grow(mask, settings.dilate), shots)
    seconds = time.process_time() - start
    given = mask & taken.taken
    return {
        "psnr": _psnr(pipeline.inpaint(photo, mask, settings, others=shots).photo.rgb(), truth, mask),
        "without": _psnr(pipeline.inpaint(photo, mask, settings).photo.rgb(), truth, mask),
        "taken_psnr": _psnr(taken.photo.rgb(), truth, given) if given.any() else None,
        "covered": round(float(given.sum() / mask.sum()), 4),
        "seconds": round(seconds, 2),
        "shots": [use.figures() for use in taken.uses],
    }


def _psnr(picture: NDArray[np.uint8], truth: NDArray[np.uint8], where: NDArray[np.bool_]) -> float:
    error = picture[where].astype(np.float32) - truth[where]
    return round(float(10 * np.log10(255**2 / max(float((error**2).mean()), 1e-6))), 2)


def shots_table(report: dict[str, Any]) -> str:
    """The report as text, with means."""
    lines = [f"{'series':24} {'without':>8} {'PSNR':>6} {'covered':>8} {'of that':>8} {'seconds':>8}"]
    rows = list(report.items())
    if len(rows) > 1:
        keys = ("without", "psnr", "covered", "taken_psnr", "seconds")
        rows.append(("mean", {key: float(np.mean([row[key] or 0 for _, row in rows])) for key in keys}))
    for name, row in rows:
        given = f"{row['taken_psnr']:8.2f}" if row["taken_psnr"] else f"{'-':>8}"
        lines.append(
            f"{name:24.24} {row['without']:8.2f} {row['psnr']:6.2f} {row['covered']:8.3f} {given} {row['seconds']:8.2f}"
        )
    return "\n".join(lines)
