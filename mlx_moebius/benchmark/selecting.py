"""`--select FOLDER`: how well selections find what is known to be there.

The folder holds photographs. Beside some lies `NAME_mask.png`, painted by hand: what it covers is selected by its box.
Over all others wires are painted, and selected by two clicks; and specks, which dust is. Dust of a sensor is painted
over all of these that have the same size, if they are enough.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.alignment.carry import carried
from mlx_moebius.benchmark.painted import (
    PaintedHairs,
    PaintedSpecks,
    PaintedWire,
    dust_layer,
    paint_hairs,
    paint_specks,
    paint_wire,
)
from mlx_moebius.errors import MoebiusError
from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Box, Mask, slices
from mlx_moebius.photos.mask_files import white
from mlx_moebius.photos.masks import components
from mlx_moebius.photos.photo import Photo, photo_from_image, read_photo
from mlx_moebius.selection.dust import find_spots
from mlx_moebius.selection.hairs import find_hairs
from mlx_moebius.selection.object import ObjectCut
from mlx_moebius.selection.sensor import FEWEST, Learnt
from mlx_moebius.selection.spot import Spot
from mlx_moebius.selection.wire import follow_wire

WIDTHS = (1, 2, 3, 4, 6)  # pixels of the painted wires
NEAR = 2.0  # pixels: a wire is found where the selected line is as near
RIMS = (0, 2, 4, 7, 10, 15, 20, 25, 30)  # pixels by which a selection is grown to compare it with a mask that has a rim
CLICKS = (0.15, 0.85)  # of the visible length of a wire
SLIP = 2.0  # pixels by which clicks miss a wire
SPECKS = 30  # painted over a photo
HAIRS = 12
CAMERA = np.array([[1.01, 0.02, -26], [-0.015, 1.0, -8], [1e-6, 0, 1]])  # how a camera moves between two shots
LESS_LIGHT = 0.85
SEED = 0


def select_report(folder: Path) -> dict[str, Any]:
    """Figures by kind of selection and photograph, as JSON values. Times are of the processor, in seconds.

    "objects": "iou" is the overlap with the painted mask, intersection over union; "iou_with_rim" the same once the
    selection has grown by the "rim" (pixels) that fits best, as hand-painted masks have one; "inside" is the share of
    the selection that lies in the mask. "wires", by width in pixels: "found" is the share of the wire's visible length
    that the selected line has within 2 pixels, "beyond" the length of what was selected elsewhere, relative to it.
    "dust" and "sensor": "recall" is the share of the specks that are found, "of_visible" that of the specks that differ
    from their surroundings by three times as much as those differ in themselves, "false" the number of other spots.
    "hairs": the same of lines of which at least half is found, "of_visible" of those in calm surroundings. "carried":
    the overlap of a painted mask, moved along with a camera, with where it went; 0 where it was given up.

    Raises MoebiusError when the folder holds no photographs.
    """
    files = [file for file in sorted(folder.glob("*.jpg")) + sorted(folder.glob("*.png")) if "_mask" not in file.stem]
    if not files:
        raise MoebiusError(f"{folder} holds no photographs: give a folder such as examples")
    report: dict[str, Any] = {"objects": {}, "carried": {}, "wires": {}, "dust": {}, "hairs": {}, "sensor": {}}
    sizes: dict[tuple[int, ...], list[NDArray[np.uint8]]] = {}
    for file in files:
        photo = read_photo(file)
        painted = file.with_name(f"{file.stem}_mask.png")
        if painted.is_file():
            mask = white(read_photo(painted))
            if mask is not None and mask.shape == (photo.height, photo.width):
                report["objects"][file.stem] = _object(photo, mask)
                report["carried"][file.stem] = _carried(photo, mask)
        else:
            sizes.setdefault(photo.rgb().shape, []).append(photo.rgb())
            report["dust"][file.stem] = _dust(photo.rgb())
            report["hairs"][file.stem] = _hairs(photo.rgb())
            report["wires"][file.stem] = {str(width): _wire(photo.rgb(), width) for width in WIDTHS}
    for shape, photos in sizes.items():
        if len(photos) >= FEWEST:
            report["sensor"][f"{len(photos)} photos, {shape[1]} x {shape[0]}"] = _sensor(photos)
    return report


def select_table(report: dict[str, Any]) -> str:
    """The report as text, with means."""
    lines = [f"{'object':24} {'IoU':>6} {'with rim':>9} {'inside':>7} {'seconds':>8} {'a stroke':>9}"]
    for name, row in report["objects"].items():
        rim = f"{row['iou_with_rim']:.3f}/{row['rim']}"
        lines.append(
            f"{name:24.24} {row['iou']:6.3f} {rim:>9} {row['inside']:7.3f} {row['seconds']:8.2f} {row['stroke']:9.2f}"
        )
    lines.append(f"{'carried to another shot':24} {'IoU':>6} {'seconds':>8}")
    lines += [f"{name:24.24} {row['iou']:6.3f} {row['seconds']:8.2f}" for name, row in report["carried"].items()]
    lines.append(f"{'wires over':24} {'found':>6} {'beyond':>9} {'seconds':>8}  by width")
    for name, rows in report["wires"].items():
        mean = {key: float(np.mean([row[key] for row in rows.values()])) for key in ("found", "beyond", "seconds")}
        widths = ", ".join(f"{width}: {row['found']:.2f}" for width, row in rows.items())
        lines.append(f"{name:24.24} {mean['found']:6.3f} {mean['beyond']:9.3f} {mean['seconds']:8.2f}  {widths}")
    for title, rows in (("dust of", report["dust"] | report["sensor"]), ("hairs of", report["hairs"])):
        lines.append(f"{title:24} {'recall':>6} {'visible':>9} {'false':>7} {'seconds':>8}")
        for name, row in rows.items():
            lines.append(
                f"{name:24.24} {row['recall']:6.3f} {row['of_visible']:9.3f} {row['false']:7} {row['seconds']:8.2f}"
            )
    return "\n".join(lines)


def _object(photo: Photo, mask: Mask) -> dict[str, Any]:
    rgb = photo.rgb()
    box: Box = max(components(mask), key=lambda part: part.area).box
    start = time.process_time()
    cut = ObjectCut(rgb, box)
    found = cut.mask()
    first = time.process_time()
    wrong = np.argwhere(found != mask)
    y, x = wrong[len(wrong) // 2] if len(wrong) else (box[1], box[0])
    (cut.add if mask[y, x] else cut.remove)([(float(x), float(y))], width=10)
    cut.mask()
    stroke = time.process_time() - first
    overlaps = {rim: _overlap(_grown(found, rim), mask) for rim in RIMS}
    best = max(RIMS, key=lambda rim: overlaps[rim])
    return {
        "iou": round(overlaps[0], 4),
        "iou_with_rim": round(overlaps[best], 4),
        "rim": best,
        "inside": round(float((found & mask).sum() / max(1, found.sum())), 4),
        "seconds": round(first - start, 3),
        "stroke": round(stroke, 3),
    }


def _carried(photo: Photo, mask: Mask) -> dict[str, float]:
    """A mask moved to the photo as a camera sees it that has moved a little, in less light."""
    cv2 = opencv()
    size = photo.width, photo.height
    moved = cv2.warpPerspective(photo.rgb(), CAMERA, size, borderMode=cv2.BORDER_REFLECT)
    other = photo_from_image(Image.fromarray((moved * LESS_LIGHT).astype(np.uint8)))
    start = time.process_time()
    found = carried(photo, mask, other)
    seconds = time.process_time() - start
    wanted = cv2.warpPerspective(mask.astype(np.uint8) * np.uint8(255), CAMERA, size) > 127
    return {
        "iou": 0.0 if isinstance(found, str) else round(_overlap(found, wanted), 4),
        "seconds": round(seconds, 3),
    }


def _overlap(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def _grown(mask: Mask, rim: int) -> Mask:
    cv2 = opencv()
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc)) > 0


def _wire(rgb: NDArray[np.uint8], width: int) -> dict[str, float]:
    generator = np.random.default_rng([SEED, width])
    painted = paint_wire(rgb, width, generator)
    seen = painted.points[painted.seen]
    clicks = seen[[int(share * len(seen)) for share in CLICKS]] + generator.uniform(-SLIP, SLIP, (2, 2))
    clicks = clicks.clip(0, np.array(rgb.shape[1::-1]) - 1)
    start = time.process_time()
    try:
        points = follow_wire(painted.rgb, [(float(x), float(y)) for x, y in clicks]).points
    except MoebiusError:
        points = np.zeros((0, 2))
    seconds = time.process_time() - start
    return score_wire(painted, points) | {"seconds": round(seconds, 3)}


def score_wire(painted: PaintedWire, points: NDArray[np.float64]) -> dict[str, float]:
    """How much of a painted wire's visible length is found, and how much lies elsewhere, relative to its length."""
    seen = painted.points[painted.seen]
    found = (_distance(seen[::8], points) <= NEAR).mean() if len(points) else 0.0
    length = np.linalg.norm(np.diff(painted.points, axis=0), axis=1).sum()
    beyond = (_distance(points[::4], painted.points) > 2 * NEAR).sum() * 4 / length if len(points) else 0.0
    return {"found": round(float(found), 4), "beyond": round(float(beyond), 4)}


def _distance(points: NDArray[np.float64], line: NDArray[np.float64]) -> NDArray[np.float64]:
    pieces = [points[first : first + 200] for first in range(0, len(points), 200)]
    return np.concatenate([np.sqrt(((piece[:, None] - line[::2]) ** 2).sum(axis=-1).min(axis=1)) for piece in pieces])


def _dust(rgb: NDArray[np.uint8]) -> dict[str, Any]:
    painted = paint_specks(rgb, SPECKS, np.random.default_rng(SEED))
    start = time.process_time()
    found = find_spots(painted.rgb)
    return score_specks(painted, found) | {"seconds": round(time.process_time() - start, 3)}


def _hairs(rgb: NDArray[np.uint8]) -> dict[str, Any]:
    painted = paint_hairs(rgb, HAIRS, np.random.default_rng(SEED))
    start = time.process_time()
    found = find_hairs(painted.rgb)
    return score_hairs(painted, found) | {"seconds": round(time.process_time() - start, 3)}


def score_hairs(painted: PaintedHairs, found: Mask) -> dict[str, Any]:
    """How many painted hairs are found by half at least, and how many other lines."""
    hit = np.array([found[line].mean() >= 0.5 for line in painted.lines])
    known = _grown(np.logical_or.reduce(painted.lines), 6)
    others = [part for part in components(found) if not known[slices(part.box)][part.mask()].any()]
    return {
        "recall": round(float(hit.mean()), 4),
        "of_visible": round(float(hit[painted.calm].mean()) if painted.calm.any() else 1.0, 4),
        "false": len(others),
    }


def _sensor(photos: list[NDArray[np.uint8]]) -> dict[str, Any]:
    painted = dust_layer(photos[0].shape[:2], SPECKS, np.random.default_rng(SEED))
    start = time.process_time()
    learnt = Learnt()
    for rgb in photos:
        learnt.add(np.rint(rgb * painted.rgb).clip(0, 255).astype(np.uint8))
    found = learnt.spots()
    return score_specks(painted, found) | {"seconds": round((time.process_time() - start) / len(photos), 3)}


def score_specks(painted: PaintedSpecks, found: list[Spot]) -> dict[str, Any]:
    """How many painted specks are found, and how many spots are none of them."""
    hits = painted.found_by(found)
    hit = np.logical_or.reduce(hits)
    return {
        "recall": round(float(hit.mean()), 4),
        "of_visible": round(float(hit[painted.seen].mean()) if painted.seen.any() else 1.0, 4),
        "false": int((~hits.any(axis=1)).sum()),
    }
