"""Metadata that may still show what was removed: pictures of the old state, and the regions of faces.

Previews are blanked in place (their length stays, so that offsets of other software stay right) or, where the format
is text, removed. Regions (Metadata Working Group 2010, 5.9; Microsoft People Tagging) are turned with the pixels.
"""

from __future__ import annotations

import re
from collections.abc import Callable

JPEG_START = b"\xff\xd8\xff"
NO_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})  # markers that stand alone (ITU-T T.81, table B.1)

Region = tuple[float, float, float, float]
"""Middle x and y, width and height, as shares of the frame."""

THUMBNAILS = re.compile(rb"<([\w-]+:Thumbnails)\b(?:[^>]*/>|.*?</\1\s*>)", re.DOTALL)
BASE64_JPEG = re.compile(rb"/9j/(?:[A-Za-z0-9+/=\s]|&#(?:xA|10|xD|13);){40,}")
REGION_LISTS = re.compile(rb"<((?:mwg-rs:RegionList|MPRI:Regions))\b[^>]*>.*?</\1\s*>", re.DOTALL)
ITEM = re.compile(rb"<rdf:li\b[^>]*/>|<rdf:li\b[^>]*>|</rdf:li\s*>")
AREA = {
    name: re.compile(rb"""(stArea:%s(?:\s*=\s*["']|>))\s*([-+\d.eE]+)""" % name.encode())
    for name in ("x", "y", "w", "h")
}
RECTANGLE = re.compile(rb"""(MPReg:Rectangle(?:\s*=\s*["']|>))\s*([-+\d.eE,\s]+)""")


def without_streams(block: bytes) -> bytes:
    """The bytes with every JPEG stream in them set to zero. The length stays."""
    at = block.find(JPEG_START)
    if at < 0:
        return block
    out = bytearray(block)
    while at >= 0:
        end = _stream_end(block, at)
        out[at:end] = bytes(end - at)
        at = block.find(JPEG_START, end)
    return bytes(out)


def without_previews(xmp: bytes) -> bytes:
    """The XMP packet without `xmp:Thumbnails` and without any other JPEG written in base 64."""
    return BASE64_JPEG.sub(b"", THUMBNAILS.sub(b"", xmp))


def map_regions(xmp: bytes, change: Callable[[Region], Region | None]) -> bytes:
    """The XMP packet with `change` applied to every region of a face or thing; None removes it, with its name."""
    return REGION_LISTS.sub(lambda found: _map_items(found.group(), change), xmp)


def turned(orientation: int) -> Callable[[Region], Region]:
    """A function that turns a region as an EXIF orientation (1 to 8) turns the pixels upright."""

    def turn(region: Region) -> Region:
        x, y, width, height = region
        if orientation >= 5:
            x, y, width, height = y, x, height, width
        if orientation in (2, 3, 6, 7):
            x = 1 - x
        if orientation in (3, 4, 7, 8):
            y = 1 - y
        return x, y, width, height

    return turn


def _stream_end(block: bytes, start: int) -> int:
    """Where the JPEG stream at `start` ends; if it is none, where its three bytes end that looked like a beginning."""
    at = start + 2
    while at + 4 <= len(block):
        if block[at] != 0xFF:
            return at if at > start + 2 else start + 3
        marker = block[at + 1]
        if marker == 0xD9:
            return at + 2
        if marker == 0xFF:
            at += 1
            continue
        if marker in NO_LENGTH:
            at += 2
            continue
        length = int.from_bytes(block[at + 2 : at + 4], "big")
        if marker < 0xC0 or length < 2 or at + 2 + length > len(block):
            return max(at, start + 3)
        at += 2 + length
        if marker == 0xDA:  # entropy-coded data, up to the next marker that is not part of it
            while (at := block.find(b"\xff", at)) >= 0 and at + 1 < len(block):
                if block[at + 1] != 0 and not 0xD0 <= block[at + 1] <= 0xD7:
                    break
                at += 2
            if at < 0 or at + 1 >= len(block):
                return len(block)
    return len(block)


def _map_items(text: bytes, change: Callable[[Region], Region | None]) -> bytes:
    """A list of regions with `change` applied to each outermost `rdf:li`."""
    out, kept, depth, start = [], 0, 0, 0
    for tag in ITEM.finditer(text):
        opens = not tag.group().startswith(b"</")
        alone = opens and tag.group().endswith(b"/>")
        if opens and depth == 0:
            start = tag.start()
        depth += 0 if alone else 1 if opens else -1
        if depth == 0:
            out += [text[kept:start], _map_item(text[start : tag.end()], change)]
            kept = tag.end()
    return b"".join([*out, text[kept:]])


def _map_item(item: bytes, change: Callable[[Region], Region | None]) -> bytes:
    try:
        if rectangle := RECTANGLE.search(item):  # left, top, width, height
            left, top, width, height = (float(number) for number in rectangle[2].split(b","))
            old = left + width / 2, top + height / 2, width, height
            if (region := change(old)) is None or region == old:
                return b"" if region is None else item
            x, y, width, height = region
            text = ", ".join(f"{value:.6f}" for value in (x - width / 2, y - height / 2, width, height))
            return item[: rectangle.start(2)] + text.encode() + item[rectangle.end(2) :]
        numbers = {name: float(found[2]) for name, area in AREA.items() if (found := area.search(item))}
    except ValueError:
        return b""  # a region that cannot be read cannot be put in its place either
    if not {"x", "y"} <= numbers.keys():
        return item
    old = numbers["x"], numbers["y"], numbers.get("w", 0.0), numbers.get("h", 0.0)
    if (region := change(old)) is None or region == old:
        return b"" if region is None else item
    for name, value in zip(("x", "y", "w", "h"), region, strict=True):
        item = AREA[name].sub(lambda found, value=value: b"%s%.6f" % (found[1], value), item)  # type: ignore[misc]
    return item
