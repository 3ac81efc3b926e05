"""Attachments that a file's XMP announces: gain maps, a motion photo's video, extended XMP.

They may show the photo as it was. All but a JPEG's gain map (`gain_map.py`) are left out, and a note says so. Their
announcements are removed too: a viewer that trusts the metadata would look for them in vain.
"""

from __future__ import annotations

import re

from PIL import Image

# Names of XMP properties, as bytes of a regular expression.
GAIN_MAP = rb"(?:hdrgm|HDRGainMap):\w+"  # Adobe's and Android's (ISO 21496-1); Apple's
MOTION = rb"\w+:(?:MotionPhoto|MicroVideo)\w*"  # Android's Motion Photo format 1.0, and its forerunner
CONTAINER = rb"(?:G?Container):Directory"  # what follows the picture in the file
EXTENDED = rb"xmpNote:HasExtendedXMP"
TONE_MAP = re.compile(rb"infe.{8}tmap", re.DOTALL)  # an item that a gain map makes (ISO/IEC 23008-12)
EMPTY_DESCRIPTION = re.compile(rb"""<rdf:Description\s+rdf:about=""(?:\s+xmlns:\w+="[^"]*")*\s*></rdf:Description>""")
NO_GAIN_MAP = "its HDR gain map was left out; brightness is the plain picture's"
SAID = {
    GAIN_MAP: NO_GAIN_MAP,
    MOTION: "it is a motion photo; its video was left out",
    EXTENDED: "the part of its XMP that is over 64 kB (extended XMP) was left out",
}


def without_announcements(xmp: bytes) -> tuple[bytes, list[str]]:
    """The XMP packet without announcements of attachments, and notes on what was announced."""
    notes = []
    for name, said in SAID.items():
        shorter = _without(xmp, name)
        if shorter != xmp:
            notes.append(said)
        xmp = shorter
    xmp = _without(xmp, CONTAINER)
    if notes:
        xmp = EMPTY_DESCRIPTION.sub(b"", xmp)
    return re.sub(rb"""\s+xmlns:(?:hdrgm|HDRGainMap)\s*=\s*(?:"[^"]*"|'[^']*')""", b"", xmp), notes


def announced_by_container(image: Image.Image, head: bytes) -> list[str]:
    """Notes on the gain map of HEIC, AVIF or JPEG XL, which the container announces. `head`: the file's first bytes."""
    kinds = " ".join(str(kind) for kind in image.info.get("aux") or ()).lower()
    mapped = "hdrgainmap" in kinds or (image.format in ("HEIF", "AVIF") and TONE_MAP.search(head) is not None)
    return [NO_GAIN_MAP] if mapped or image.info.get("gain_map") else []


def _without(xmp: bytes, name: bytes) -> bytes:
    """The packet without properties of that name, written as attributes or as elements."""
    xmp = re.sub(rb"""\s+(?!xmlns:)%s\s*=\s*(?:"[^"]*"|'[^']*')""" % name, b"", xmp)
    return re.sub(rb"<(%s)\b(?:[^>]*/>|[^>]*>.*?</\1\s*>)" % name, b"", xmp, flags=re.DOTALL)
