"""Recognises files that cannot be filled, by name and first bytes: camera raw files, and formats that are not read."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from mlx_moebius.photos import formats, infrared

RAW_NAMES = "3fr arw cr2 cr3 crw dcr dng erf fff iiq kdc mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f"
RAW_EXTENSIONS = frozenset(f".{name}" for name in RAW_NAMES.split())
RAW = "it is a camera raw file: develop it first (TIFF or JPEG)"
RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
OTHERS = {
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"GIF8": "GIF",
    b"8BPS": "Photoshop (PSD)",
    b"%PDF": "PDF",
    b"MM\0+": "big-endian BigTIFF",
}
REDUCED_IMAGE = 1  # bit of TIFF's NewSubfileType
NEW_SUBFILE_TYPE, SUB_IFDS, DNG_VERSION = 254, 330, 50706
START_OF_FRAME = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # ITU-T T.81, table B.1


def unreadable(path: Path, head: bytes) -> str | None:
    """Why a file cannot be read as a photo, as the end of a line; None if it may be one. `head`: its first bytes."""
    if path.suffix.lower() in RAW_EXTENSIONS or head.startswith(RAW_STARTS) or head[4:12] == b"ftypcrx ":
        return RAW
    if head[:4] in (b"II*\0", b"MM\0*") and head[8:10] == b"CR":
        return RAW
    for start, name in OTHERS.items():
        if head.startswith(start):
            return f"{name} is not supported: save it as JPEG, PNG or TIFF"
    if (bits := _jpeg_bits(head)) not in (None, 8):
        return f"JPEG with {bits} bits a channel is not supported: save it as 8-bit JPEG or TIFF"
    return None


def full_page(image: Image.Image) -> int | None:
    """The only page of a TIFF that is not a reduced copy of another; None if there are several, or none.

    An infrared picture behind it does not count (see `infrared.py`).
    """
    full = []
    for page in range(getattr(image, "n_frames", 1)):
        image.seek(page)
        if not _is_reduced(image):
            full.append(page)
    if len(full) == 2 and infrared.page(image, full[0]) == full[1]:
        full = full[:1]
    image.seek(0)
    return full[0] if len(full) == 1 else None


def is_raw_tiff(image: Image.Image) -> bool:
    """Whether a TIFF is a camera raw file: DNG, or a reduced picture first with the raw one in a sub-directory."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    return DNG_VERSION in tags or (_is_reduced(image) and SUB_IFDS in tags)


def _is_reduced(image: Image.Image) -> bool:
    """Whether the TIFF's page says that it is a reduced copy of another one."""
    kind = image.tag_v2.get(NEW_SUBFILE_TYPE, 0)  # type: ignore[attr-defined]
    return isinstance(kind, int) and bool(kind & REDUCED_IMAGE)


def _jpeg_bits(head: bytes) -> int | None:
    """Bits a channel of a JPEG, None when its frame does not begin in `head`."""
    if head.startswith(b"\xff\xd8\xff"):
        for marker, _, payload in formats.jpeg_segments(io.BytesIO(head)):
            if marker in START_OF_FRAME and payload:
                return payload[0]
    return None
