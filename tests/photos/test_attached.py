"""Gain maps, motion photos and extended XMP: named, and no longer announced."""

from __future__ import annotations

from pathlib import Path

import pillow_heif
import pytest

from mlx_moebius.photos.attached import announced_by_container
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.photos.save import write_photo
from tests.support.pictures import picture, saved

pillow_heif.register_heif_opener()

DIRECTORY = (
    '<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary"/></rdf:li>'
    '<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="{}" Item:Length="900"/></rdf:li></rdf:Seq>'
    "</Container:Directory>"
)
ULTRA_HDR = (
    'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"',
    "<hdrgm:GainMapMax><rdf:Seq><rdf:li>2.1</rdf:li></rdf:Seq></hdrgm:GainMapMax>" + DIRECTORY.format("GainMap"),
)
MOTION = (
    'GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1" GCamera:MotionPhotoPresentationTimestampUs="750000"',
    DIRECTORY.format("MotionPhoto"),
)
MICRO_VIDEO = (
    "GCamera:MicroVideo='1' GCamera:MicroVideoOffset='900'",
    "<GCamera:MicroVideoVersion>1</GCamera:MicroVideoVersion>",
)
EXTENDED = ('xmpNote:HasExtendedXMP="0123456789ABCDEF0123456789ABCDEF"', "")


def packet(attributes: str, elements: str) -> bytes:
    text = f'<rdf:Description dc:title="Beach" {attributes} xmp:Rating="5">{elements}<dc:rights>mine</dc:rights>'
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{text}</rdf:Description></x:xmpmeta>'.encode()


@pytest.mark.parametrize("extension", ["jpg", "heic"])
@pytest.mark.parametrize(
    ("attributes", "elements", "said"),
    [
        (*ULTRA_HDR, "HDR gain map was left out"),
        (*MOTION, "motion photo; its video was left out"),
        (*MICRO_VIDEO, "motion photo; its video was left out"),
        (*EXTENDED, "extended XMP"),
    ],
)
def test_what_is_left_out_is_said_and_not_announced(
    tmp_path: Path, extension: str, attributes: str, elements: str, said: str
) -> None:
    source = saved(tmp_path / f"a.{extension}", picture("RGB"), xmp=packet(attributes, elements))
    photo = read_photo(source)
    assert [said in note for note in photo.notes] == [True]
    write_photo(photo, tmp_path / f"b.{extension}")
    again = read_photo(tmp_path / f"b.{extension}")
    assert again.notes == ()
    written = (tmp_path / f"b.{extension}").read_bytes()
    for name in (b"hdrgm", b"MotionPhoto", b"MicroVideo", b"Container", b"HasExtendedXMP"):
        assert name not in written
    assert again.metadata.xmp == packet("", "").replace(b"  xmp:", b" xmp:")


def test_gain_maps_of_containers_are_named() -> None:
    image = picture("RGB")
    image.format = "HEIF"
    assert announced_by_container(image, b"") == []
    image.info["aux"] = {"urn:com:apple:photo:2020:aux:hdrgainmap": [3]}  # as pillow_heif tells of an iPhone's
    assert "HDR gain map" in announced_by_container(image, b"")[0]
    image.format, image.info = "AVIF", {}
    assert "HDR gain map" in announced_by_container(image, b"....infe\2\0\0\0\0\4\0\0tmap")[0]


def test_other_xmp_is_the_same_to_the_last_byte(tmp_path: Path) -> None:
    xmp = packet('Container="mine" MotionPhotographer="me"', "<dc:subject>hdrgm: and GCamera:MotionPhoto</dc:subject>")
    saved(tmp_path / "a.jpg", picture("RGB"), xmp=xmp)
    photo = read_photo(tmp_path / "a.jpg")
    assert (photo.metadata.xmp, photo.notes) == (xmp, ())
