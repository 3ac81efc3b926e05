"""EXIF, XMP and provenance of a photo, as bytes.

EXIF (CIPA DC-008) is a TIFF block: directories of tagged fields that point to values by absolute offset. Changes
are appended, and the header is pointed at the new directory. Nothing that was there moves, so that maker notes, which
hold offsets too, stay readable. A TIFF file is such a block itself and is edited the same way.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, Union

import numpy as np

ORIENTATION, SOFTWARE, XMP_PACKET = 0x0112, 0x0131, 0x02BC
RESOLUTION = (0x011A, 0x011B, 0x0128)  # across, down, unit
EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
USER_COMMENT, PIXEL_X, PIXEL_Y = 0x9286, 0xA002, 0xA003
BYTE, ASCII, SHORT, LONG, UNDEFINED = 1, 2, 3, 4, 7
UNIT = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}  # bytes a value, by type
WORD = {**UNIT, 5: 4, 10: 4}  # bytes that swap together: a rational is two words
BIG_TIFF = b"II+\0\x08\0\0\0"  # little-endian; Pillow reads no other
BIG_POINTERS = (16, 18)  # of BigTIFF only, 8 bytes: LONG8, IFD8

# Fields that describe how the pixels of one TIFF file are stored, or repeat the picture (previews, editor layers).
# The ICC profile is among them: Pillow's save options carry it.
STORAGE = frozenset(
    {*range(254, 267), 273, 274, *range(277, 282), 284, *range(288, 294), 301, 317, *range(320, 326)}
    | {*range(330, 348), *range(512, 533), XMP_PACKET, 34377, 34675, 37724}
)

MARK = "mlx-moebius: "
PROGRAM = b"mlx-moebius"
EMPTY_BLOCK = b"II*\0\0\0\0\0"
# Behind what `updated_exif` appends: a mark, where the appended bytes begin, where the first directory was, and a
# CRC-32 of the appended bytes.
TRAILER, TRAILER_MARK = struct.Struct(">8sIII"), b"appended"


class Field(NamedTuple):
    """A TIFF field: its type's number and its values, little-endian whatever the block's order."""

    type: int
    data: bytes


Fields: TypeAlias = dict[int, Union[Field, "Fields"]]
Changes: TypeAlias = Mapping[int, Union[Field, "Changes", None]]


class DamagedBlock(ValueError):
    """The bytes are not a readable TIFF block."""


def read_fields(block: Any) -> Fields:
    """Fields of the first directory of a TIFF or BigTIFF (bytes or mmap); sub-directories (EXIF, GPS, interop) are
    nested.

    Fields of unknown type or outside the block are left out. Raises DamagedBlock when there is no directory.
    """
    layout = _Layout("<", big=True) if block[:8] == BIG_TIFF else _Layout(_byte_order(block))
    budget = [max(len(block), 1 << 24)]  # bytes; in a hostile file values may overlap, and add up to gigabytes
    try:
        return _read_directory(block, layout, layout.pointer(block, 8 if layout.big else 4), budget, depth=0)
    except struct.error:
        raise DamagedBlock("its directory is outside the file") from None


def checked_block(exif: bytes) -> bytes:
    """The TIFF block in EXIF bytes (some containers put the letters Exif first), empty when it is damaged."""
    block = exif.removeprefix(b"Exif\0\0")
    try:
        read_fields(block)
        edit_fields(block, {EXIF_IFD: {}})  # what saving will do
    except DamagedBlock:
        return b""
    return block


def edit_fields(block: bytes, changes: Changes, keep_pages: bool = False) -> bytes:
    """The TIFF block with fields of its first directory set, merged (a nested mapping) or removed (None).

    Later directories (thumbnail, pages) are cut off, as they would show the picture as it was, unless `keep_pages`.
    """
    order = _byte_order(block)
    out = bytearray(block)
    try:
        first = struct.unpack_from(order + "I", out, 4)[0]
        start = _append_directory(out, order, first, changes)
        if keep_pages and first:
            old, new = (at + 2 + 12 * struct.unpack_from(order + "H", out, at)[0] for at in (first, start))
            out[new : new + 4] = out[old : old + 4]
    except struct.error:
        raise DamagedBlock("its directory is outside the file") from None
    struct.pack_into(order + "I", out, 4, start)
    return bytes(out)


def describing(fields: Fields) -> Fields:
    """Fields that describe the photo rather than how its pixels are stored."""
    return {tag: field for tag, field in fields.items() if tag not in STORAGE}


def updated_exif(
    exif: bytes, size: tuple[int, int], provenance: Mapping[str, Any] | None, orientation: bool = True
) -> bytes:
    """EXIF block for the finished photo: upright, without the old thumbnail, with `provenance` if given.

    `exif` may be empty, `size` is (width, height) in pixels. `orientation=False` removes the field instead of setting
    it to 1. `Software` names this project, the settings follow an existing `UserComment` as JSON. An earlier record is
    replaced, or taken out where there is no `provenance`.
    """
    exif = _without_record(without_additions(exif)) if exif else b""
    if exif == EMPTY_BLOCK:  # the record was all that it held
        exif = b""
    if not exif and provenance is None:
        return b""
    block = without_thumbnail(exif) if exif else EMPTY_BLOCK
    changes: dict[int, Any] = {ORIENTATION: Field(SHORT, struct.pack("<H", 1)) if orientation else None}
    inner = read_fields(block).get(EXIF_IFD) if exif else None
    details: dict[int, Field] = {}
    if isinstance(inner, dict):
        for tag, length in zip((PIXEL_X, PIXEL_Y), size, strict=True):
            if tag in inner:
                details[tag] = Field(LONG, struct.pack("<I", length))
    if provenance is not None:
        software = f"mlx-moebius {provenance.get('version', '')}".strip()
        changes[SOFTWARE] = Field(ASCII, software.encode("ascii", "replace") + b"\0")
        comment = _comment_text(block).partition(MARK)[0].rstrip()
        comment = f"{comment}\n{MARK}" if comment else MARK
        details[USER_COMMENT] = Field(UNDEFINED, _encode_comment(comment + json.dumps(provenance), block))
    if details:
        changes[EXIF_IFD] = details
    return _with_trailer(block, edit_fields(block, changes))


def without_additions(exif: bytes) -> bytes:
    """The block without what `updated_exif` appended last: a file that is filled again and again does not grow.

    Where another program has changed what was appended, the block stays as it is.
    """
    try:
        order = _byte_order(exif)
        mark, start, directory, checksum = TRAILER.unpack(exif[-TRAILER.size :])
    except (DamagedBlock, struct.error):
        return exif
    if mark != TRAILER_MARK or not 8 <= start <= len(exif) or zlib.crc32(exif[start : -TRAILER.size]) != checksum:
        return exif
    return exif[:4] + struct.pack(order + "I", directory) + exif[8:start]


def _with_trailer(block: bytes, edited: bytes) -> bytes:
    """An edited block, and behind it where the edits begin and where the block's first directory was."""
    (directory,) = struct.unpack_from(_byte_order(block) + "I", block, 4)
    start = len(block)
    return edited + TRAILER.pack(TRAILER_MARK, start, directory, zlib.crc32(edited[start:]))


def _without_record(exif: bytes) -> bytes:
    """The block without a record that another program has moved, or that an earlier version wrote."""
    comment, mark, _ = _comment_text(exif).partition(MARK)
    if not mark:
        return exif
    fields = read_fields(exif)
    details: Any = fields[EXIF_IFD]
    written = details[USER_COMMENT].data
    exif = exif.replace(written, bytes(len(written)))
    text = comment.rstrip()
    changes: dict[int, Any] = {
        EXIF_IFD: {USER_COMMENT: Field(UNDEFINED, _encode_comment(text, exif)) if text else None}
    }
    software = fields.get(SOFTWARE)
    if isinstance(software, Field) and software.data.startswith(PROGRAM):
        changes[SOFTWARE] = None
    return edit_fields(exif, changes)


def provenance_in(exif: bytes) -> dict[str, Any] | None:
    """The settings that `updated_exif` stored, or None."""
    _, mark, text = _comment_text(exif).partition(MARK)
    try:
        values = json.loads(text) if mark else None
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def upright_xmp(xmp: bytes) -> bytes:
    """The XMP packet with `tiff:Orientation` set to 1, where it has one."""
    return re.sub(rb"""(tiff:Orientation(?:\s*=\s*["']|>\s*))[2-8]""", rb"\g<1>1", xmp)


def _byte_order(block: Any) -> str:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(block[:4]))
    if order is None:
        raise DamagedBlock("it does not start like a TIFF block")
    return order


def _swapped(field_type: int, data: bytes, order: str) -> bytes:
    """Values turned from little-endian to the block's byte order, or back."""
    width = WORD[field_type]
    return data if order == "<" or width == 1 else np.frombuffer(data, f">u{width}").astype(f"<u{width}").tobytes()


@dataclass(frozen=True)
class _Layout:
    """How directories are laid out: byte order, and words of 4 bytes, or of 8 in BigTIFF (libtiff's BigTIFF design)."""

    order: str
    big: bool = False

    def pointer(self, block: Any, at: int) -> int:
        """The count or offset there."""
        return int(struct.unpack_from(self.order + ("Q" if self.big else "I"), block, at)[0])


def _read_directory(block: Any, layout: _Layout, start: int, budget: list[int], depth: int) -> Fields:
    fields: Fields = {}
    order, word = layout.order, 8 if layout.big else 4
    (entries,) = struct.unpack_from(order + ("Q" if layout.big else "H"), block, start)
    if entries > 0xFFFF:  # only BigTIFF can say so, and none means it
        raise struct.error
    first, entry = start + (8 if layout.big else 2), 4 + 2 * word
    for at in range(first, first + entry * entries, entry):
        tag, field_type = struct.unpack_from(order + "HH", block, at)
        if field_type not in UNIT and not (layout.big and field_type in BIG_POINTERS):
            continue
        size = UNIT.get(field_type, 8) * layout.pointer(block, at + 4)
        value = at + 4 + word
        offset = value if size <= word else layout.pointer(block, value)
        if offset + size > len(block):
            continue
        budget[0] -= size
        if budget[0] < 0:
            raise DamagedBlock("its fields overlap")
        if tag in (EXIF_IFD, GPS_IFD, INTEROP_IFD):
            if depth < 2 and size in (4, word):
                inner = (
                    layout.pointer(block, value) if size == word else struct.unpack_from(order + "I", block, value)[0]
                )
                with suppress(struct.error):  # it points outside
                    fields[tag] = _read_directory(block, layout, inner, budget, depth + 1)
        elif field_type in UNIT:
            fields[tag] = Field(field_type, _swapped(field_type, bytes(block[offset : offset + size]), order))
    return fields


def _append_directory(out: bytearray, order: str, start: int, changes: Changes) -> int:
    """Write the directory at `start` (0: none yet) anew at the end of `out`, with `changes`; returns its offset."""
    limit = len(out)
    entries: dict[int, bytes] = {}
    if start:
        for at in range(start + 2, start + 2 + 12 * struct.unpack_from(order + "H", out, start)[0], 12):
            tag, field_type, count, offset = struct.unpack_from(order + "HHII", out, at)
            size = UNIT.get(field_type, 0) * count
            if 0 < size <= 4 or (size and offset + size <= limit):  # what is outside now may not come to be inside
                entries[tag] = bytes(out[at : at + 12])
    for tag, change in changes.items():
        if change is None:
            entries.pop(tag, None)
        elif isinstance(change, Field):
            count = len(change.data) // UNIT[change.type]
            value = _swapped(change.type, change.data, order)
            if len(value) > 4:
                value = struct.pack(order + "I", _append(out, value))
            entries[tag] = struct.pack(order + "HHI4s", tag, change.type, count, value)
        else:
            _, field_type, count, nested = struct.unpack(order + "HHII", entries.get(tag, bytes(12)))
            nested = nested if UNIT.get(field_type, 0) * count == 4 else 0
            entries[tag] = struct.pack(order + "HHII", tag, LONG, 1, _append_directory(out, order, nested, change))
    table = b"".join(entries[tag] for tag in sorted(entries))
    return _append(out, struct.pack(order + "H", len(entries)) + table + bytes(4))


def _append(out: bytearray, data: bytes) -> int:
    out += bytes(len(out) % 2)  # values start at even offsets
    out += data
    return len(out) - len(data)


def without_thumbnail(exif: bytes) -> bytes:
    """The block with the thumbnail, which shows what was removed, set to zero (or cut off at the block's end)."""
    order = _byte_order(exif)
    try:
        (first,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, first)
        (second,) = struct.unpack_from(order + "I", exif, first + 2 + 12 * entries)
        fields = _read_directory(exif, _Layout(order), second, [len(exif)], depth=2) if second else {}
    except (struct.error, DamagedBlock):
        return exif
    blank = exif
    for offset_tag, length_tag in ((0x0201, 0x0202), (0x0111, 0x0117)):
        offset, length = (_number(fields.get(tag)) for tag in (offset_tag, length_tag))
        if 8 < offset < len(blank) and length:
            tail = blank[offset + length :]
            blank = blank[:offset] + (bytes(length) + tail if len(tail) > 1 else b"")
    return checked_block(blank) or exif  # a wrong offset must not cost the rest


def _number(field: Field | Fields | None) -> int:
    if not isinstance(field, Field) or field.type not in (SHORT, LONG):
        return 0
    return int.from_bytes(field.data[: UNIT[field.type]], "little")


def _comment_text(exif: bytes) -> str:
    """Text of the EXIF `UserComment`, whose first 8 bytes name the encoding."""
    try:
        inner = read_fields(exif).get(EXIF_IFD)
    except DamagedBlock:
        return ""
    field = inner.get(USER_COMMENT) if isinstance(inner, dict) else None
    if not isinstance(field, Field):
        return ""
    code, data = field.data[:8], field.data[8:]
    wide = "utf-16-le" if _byte_order(exif) == "<" else "utf-16-be"
    return data.decode(wide if code == b"UNICODE\0" else "utf-8", "replace").strip("\0 ")


def _encode_comment(text: str, exif: bytes) -> bytes:
    if text.isascii():
        return b"ASCII\0\0\0" + text.encode()
    return b"UNICODE\0" + text.encode("utf-16-le" if _byte_order(exif) == "<" else "utf-16-be")
