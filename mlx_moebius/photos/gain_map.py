"""The gain map of an Ultra HDR JPEG: how much brighter a bright screen may show each part of the picture.

It is a smaller JPEG behind the main one. Sources: Android's "Ultra HDR Image Format", ISO 21496-1, and for where the
second JPEG lies, CIPA DC-007 (multi-picture format).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.photos import formats, limits, metadata
from mlx_moebius.photos.metadata import Field
from mlx_moebius.photos.privacy import without_previews

APP2, LAST_APP = 0xE2, 0xEF
MPF, ISO, XMP = b"MPF\0", b"urn:iso:std:iso:ts:21496:-1\0", b"http://ns.adobe.com/xap/1.0/\0"
VERSION, COUNT, ENTRIES = 0xB000, 0xB001, 0xB002  # fields of the multi-picture index
PRIMARY = 0x030000  # attribute of the main picture: baseline, not one of a pair
LARGEST = 64 << 20  # bytes of a map's JPEG

ANNOUNCEMENT = (
    '<rdf:Description rdf:about="" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" '
    'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    'xmlns:Item="http://ns.google.com/photos/1.0/container/item/" hdrgm:Version="1.0"><Container:Directory><rdf:Seq>'
    '<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/></rdf:li>'
    '<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" Item:Mime="image/jpeg" '
    'Item:Length="{}"/></rdf:li></rdf:Seq></Container:Directory></rdf:Description>'
)
PACKET = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF \
xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


@dataclass(frozen=True, eq=False)
class GainMap:
    """Gains as `pixels`, uint8 [h, w] or [h, w, 3], upright. They cover the whole frame, whatever its size.

    `xmp` and `iso` (ISO 21496-1) say how gains are applied; one of them may be empty. `encoding` holds Pillow's save
    options.
    """

    pixels: NDArray[np.uint8]
    xmp: bytes
    iso: bytes
    encoding: Mapping[str, Any]


def read(file: BinaryIO) -> GainMap | None:
    """The gain map of a JPEG file, as stored; None if there is none that can be read."""
    try:
        for jpeg in _other_pictures(file):
            parts = [payload for _, _, payload in formats.jpeg_segments(io.BytesIO(jpeg))]
            iso = next((part for part in parts if part.startswith(ISO)), b"")
            xmp = next((part.removeprefix(XMP) for part in parts if part.startswith(XMP) and b"hdrgm:" in part), b"")
            if iso or xmp:
                with limits.without_pillow_limit():
                    image = Image.open(io.BytesIO(jpeg), formats=["JPEG"])
                limits.check_size(*image.size)
                encoding = formats.source_encoding(io.BytesIO(jpeg), image)
                if icc := formats.block(image, "icc_profile"):
                    encoding["icc_profile"] = icc
                if image.mode in ("L", "RGB"):
                    return GainMap(np.asarray(image), without_previews(xmp), iso, encoding)
    except Exception:  # decoders raise anything on damaged files
        return None
    return None


def encoded(gain_map: GainMap) -> bytes:
    """The gain map as a JPEG file."""
    buffer = io.BytesIO()
    options: dict[str, Any] = {
        **gain_map.encoding,
        "extra": formats.jpeg_segment(APP2, gain_map.iso) if gain_map.iso else b"",
    }
    if gain_map.xmp:
        options["xmp"] = gain_map.xmp
    Image.fromarray(gain_map.pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def announced(xmp: bytes, gain_map: GainMap, length: int) -> bytes:
    """The main picture's XMP packet with an announcement of the map, whose file has `length` bytes.

    A map without XMP, which follows ISO 21496-1 alone, is not announced there.
    """
    if not gain_map.xmp:
        return xmp
    before, end, after = (xmp or PACKET).rpartition(b"</rdf:RDF>")
    return before + ANNOUNCEMENT.format(length).encode() + end + after if end else xmp


def attached(jpeg: bytes, gain_map: GainMap, map_file: bytes) -> bytes:
    """The main picture's JPEG file with the map's file behind it, and the index that says where it lies."""
    place = max((end for marker, end, _ in formats.jpeg_segments(io.BytesIO(jpeg)) if marker <= LAST_APP), default=2)
    versions = gain_map.iso[len(ISO) : len(ISO) + 4]  # the main picture has these alone
    before = jpeg[:place] + (formats.jpeg_segment(APP2, ISO + versions) if versions else b"")
    index = len(_index(0, 0, 0))
    length = len(before) + index + len(jpeg) - place
    offset = length - len(before) - 4 - len(MPF)  # counted from the index's first byte
    return before + _index(length, len(map_file), offset) + jpeg[place:] + map_file


def _index(length: int, map_length: int, offset: int) -> bytes:
    """The segment that says how long the main picture and the map are, and where the map begins."""
    entries = struct.pack("<IIIHHIIIHH", PRIMARY, length, 0, 0, 0, 0, map_length, offset, 0, 0)
    fields = {
        VERSION: Field(metadata.UNDEFINED, b"0100"),
        COUNT: Field(metadata.LONG, struct.pack("<I", 2)),
        ENTRIES: Field(metadata.UNDEFINED, entries),
    }
    return formats.jpeg_segment(APP2, MPF + metadata.edit_fields(metadata.EMPTY_BLOCK, fields))


def _other_pictures(file: BinaryIO) -> Iterator[bytes]:
    """The JPEG files behind the main one, found by its index."""
    for marker, end, payload in formats.jpeg_segments(file):
        if marker == APP2 and payload.startswith(MPF):
            block = payload.removeprefix(MPF)
            entries = metadata.read_fields(block)[ENTRIES]
            assert isinstance(entries, Field)
            order = "<" if block.startswith(b"II") else ">"
            for at in range(16, len(entries.data), 16):
                _, length, offset = struct.unpack_from(order + "III", entries.data, at)
                if length <= LARGEST:
                    yield formats.bytes_at(file, end - len(block) + offset, length)
