"""Marks by which this program recognises what it wrote, so that results are not taken for inputs.

Folders: results of a folder run hold a ledger, a training run its options, a model folder its configuration. Files: a
filled photo has a record in its EXIF, a sheet of several pictures names the program in a PNG text.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, PngImagePlugin

from mlx_moebius.photos import formats, metadata

LEDGER = "moebius.jsonl"
LEDGERS = (LEDGER, "moebius.rank*.jsonl")
TRAINING = "train.json"
CONFIG, MAX_CONFIG = "config.json", 2**20  # bytes
PROGRAM = "mlx-moebius"


def is_output_folder(folder: Path) -> bool:
    """Whether a folder run, a training run or the converter wrote into this folder."""
    if (folder / TRAINING).is_file() or any(path for name in LEDGERS for path in folder.glob(name)):
        return True
    try:
        with (folder / CONFIG).open("rb") as file:
            values = json.loads(file.read(MAX_CONFIG))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.get("model_type") == "moebius"


def is_output_file(file: BinaryIO, image: Image.Image) -> bool:
    """Whether a picture, opened by `photo.opened`, is a photo that was filled, or a sheet."""
    if str(image.info.get("Software", "")).startswith(PROGRAM):
        return True
    return metadata.provenance_in(formats.exif_block(file, image)) is not None


def png_options() -> dict[str, Any]:
    """Pillow's save options for a sheet: a PNG text that names the program."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", PROGRAM)
    return {"pnginfo": info}
