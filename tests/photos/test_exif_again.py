"""Photos that are filled again and again: one record, EXIF of one size, and nothing of the camera's is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mlx_moebius.photos import metadata
from mlx_moebius.photos.photo import read_photo, read_provenance
from mlx_moebius.photos.save import write_photo
from tests.support.pictures import camera_exif, fields_of, picture

MARK = metadata.MARK.encode()


def record(number: int) -> dict[str, Any]:
    return {"version": "0.1.0", "seed": number, "detail": [{"cell": 1.23, "gain": 1.234}] * 124}


def filled(source: Path, path: Path, provenance: dict[str, Any] | None) -> Path:
    assert write_photo(read_photo(source), path, provenance=provenance) == []
    return path


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("exif", [b"", camera_exif(orientation=6)], ids=["without EXIF", "of a camera"])
def test_a_photo_filled_again_has_one_record_and_does_not_grow(tmp_path: Path, extension: str, exif: bytes) -> None:
    source = tmp_path / f"0.{extension}"
    picture("RGB").save(source, exif=b"Exif\0\0" + exif if exif else b"")
    before, sizes = fields_of(source) if exif else {}, set()
    for number in range(10, 21):
        source = filled(source, tmp_path / f"{number}.{extension}", record(number))
        sizes.add(len(read_photo(source).metadata.exif))
        assert read_provenance(source) == record(number)
        assert source.read_bytes().count(MARK) == 1
    assert len(sizes) == 1
    after = fields_of(source)
    assert set(before) - {metadata.ORIENTATION} <= set(after)
    if exif and extension != "tif":
        details: Any = after[metadata.EXIF_IFD]
        assert details[0x927C].data == b"maker note with offsets of its own"
    plain = filled(source, tmp_path / f"plain.{extension}", None)
    assert read_provenance(plain) is None
    assert b"mlx-moebius" not in plain.read_bytes()
    again = filled(plain, tmp_path / f"again.{extension}", None)
    assert len(read_photo(again).metadata.exif) == len(read_photo(plain).metadata.exif)


def test_what_another_program_changed_stays(tmp_path: Path) -> None:
    block = metadata.updated_exif(camera_exif(), (83, 61), record(1))
    rated = metadata.edit_fields(block, {0x4746: metadata.Field(metadata.SHORT, b"\5\0")})
    assert metadata.without_additions(rated) == rated
    again = metadata.updated_exif(rated, (83, 61), record(2))
    fields = metadata.read_fields(again)
    assert 0x4746 in fields
    assert again.count(MARK) == 1
    assert metadata.provenance_in(again) == record(2)
    third = metadata.updated_exif(again, (83, 61), record(3))
    assert len(third) == len(again)
    assert metadata.provenance_in(metadata.updated_exif(third, (83, 61), None)) is None


def test_a_comment_of_the_users_outlives_the_record() -> None:
    comment = metadata.Field(metadata.UNDEFINED, b"ASCII\0\0\0On the beach")
    block = metadata.edit_fields(camera_exif(), {metadata.EXIF_IFD: {metadata.USER_COMMENT: comment}})
    moved = metadata.edit_fields(metadata.updated_exif(block, (83, 61), record(1)), {})
    for exif in (metadata.updated_exif(moved, (83, 61), None), metadata.updated_exif(block, (83, 61), None)):
        details: Any = metadata.read_fields(exif)[metadata.EXIF_IFD]
        assert details[metadata.USER_COMMENT].data == b"ASCII\0\0\0On the beach"


@pytest.mark.parametrize("trailer", [b"", b"appended", b"appended" + b"\xff" * 12, b"appended" + bytes(12)])
def test_trailers_of_others_are_not_taken_for_ours(trailer: bytes) -> None:
    assert metadata.without_additions(camera_exif() + trailer) == camera_exif() + trailer
    assert metadata.without_additions(trailer) == trailer


def test_a_photo_keeps_camera_and_date_for_ever(tmp_path: Path) -> None:
    image = Image.new("RGB", (64, 48), (90, 120, 150))
    exif = Image.Exif()
    exif[0x0110] = "TestCam X1"
    exif.get_ifd(0x8769)[0x927C] = b"M" * 40000
    image.save(source := tmp_path / "0.jpg", exif=exif)
    for number in range(1, 6):
        source = filled(source, tmp_path / f"{number}.jpg", record(number))
    assert Image.open(source).getexif()[0x0110] == "TestCam X1"
