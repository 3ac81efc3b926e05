"""Several fills of one photo side by side, to choose from."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from mlx_moebius.inpainting.compose import Result
from mlx_moebius.photos.geometry import Box, around, bounding_box, union

SIDE = 512  # longest side of one picture on the sheet
GAP = 8
MARGIN = 64


def contact_sheet(results: Sequence[Result]) -> Image.Image:
    """An RGB picture with the filled area and its surroundings for every result, numbered from 1 in reading order."""
    box = _surroundings(results[0])
    scale = min(1.0, SIDE / max(box[2] - box[0], box[3] - box[1]))
    size = max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale))
    columns = math.ceil(math.sqrt(len(results)))
    rows = -(-len(results) // columns)
    sheet = Image.new("RGB", (columns * (size[0] + GAP) - GAP, rows * (size[1] + GAP) - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for index, result in enumerate(results):
        corner = index % columns * (size[0] + GAP), index // columns * (size[1] + GAP)
        crop = Image.fromarray(result.photo.rgb(box))
        sheet.paste(crop.resize(size, Image.Resampling.LANCZOS), corner)
        font = ImageFont.load_default(max(12, min(size) // 12))
        draw.text((corner[0] + 6, corner[1] + 4), str(index + 1), "white", font, stroke_width=2, stroke_fill="black")
    return sheet


def _surroundings(result: Result) -> Box:
    """The union of the crops inside the photo; without crops, what is filled and `MARGIN` pixels round it."""
    width, height = result.photo.width, result.photo.height
    if not result.crops:
        return around(bounding_box(result.mask) or (0, 0, width, height), MARGIN, width, height)
    return around(union([crop.frame for crop in result.crops]), 0, width, height)
