"""JPEG XL in and out: what the plug-in leaves out is read and kept by us. Files in tests/data/jxl: cjxl 0.7's."""

from __future__ import annotations

import io
import struct
import sys
from dataclasses import replace
from pathlib import Path

import brotli
import numpy as np
import pillow_jxl
import pytest
from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos import jxl, metadata, nclx
from mlx_moebius.photos.formats import EXTENSIONS
from mlx_moebius.photos.photo import photo_from_image, read_photo, read_provenance
from mlx_moebius.photos.save import check_output, write_photo
from tests.support.pictures import PROVENANCE, XMP, camera_exif, picture, saved, text

FILES = Path(__file__).parents[1] / "data/jxl"
P3 = nclx.profile(12, 13) or b""
BEACH = b"\0\0\0\0" + camera_exif(6)  # as it lies in its box: where it begins, then itself


def refusal(path: Path) -> str:
    with pytest.raises(MoebiusError) as error:
        read_photo(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def inside(path: Path) -> bytes | None:
    """The JPEG that is packed in the file."""
    is_jpeg, _, data, *_ = pillow_jxl.Decoder()(path.read_bytes())
    return bytes(data) if is_jpeg else None


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def in_boxes(codestream: bytes, *more: bytes) -> bytes:
    start = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    return start + b"".join(more) + box(b"jxlc", codestream)


def header(*fields: tuple[int, int]) -> bytes:
    """A codestream that ends behind its headers: numbers, each with its count of bits."""
    value = at = 0
    for number, count in fields:
        value, at = value | number << at, at + count
    return b"\xff\x0a" + value.to_bytes(16, "little")


def field(path: Path, tag: int) -> bytes:
    return text(metadata.read_fields(read_photo(path).metadata.exif), tag)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_lossless_stays_lossless(tmp_path: Path, mode: str) -> None:
    saved(tmp_path / "a.jxl", picture(mode), lossless=True)
    photo = read_photo(tmp_path / "a.jxl")
    assert (photo.format, photo.mode, photo.notes) == ("JXL", mode, ())
    assert (photo.pixels == np.asarray(picture(mode))).all()
    carried = replace(photo.metadata, exif=camera_exif(), xmp=XMP)
    write_photo(replace(photo, metadata=carried), tmp_path / "b.jxl", provenance=PROVENANCE)
    again = read_photo(tmp_path / "b.jxl")
    assert (again.pixels == photo.pixels).all()
    assert b"Beach" in again.metadata.xmp
    assert field(tmp_path / "b.jxl", 0x010F) == b"Camera maker"
    assert read_provenance(tmp_path / "b.jxl") == PROVENANCE


def test_lossy_stays_lossy_and_quality_is_heard(tmp_path: Path) -> None:
    saved(tmp_path / "a.jxl", picture("RGB", 320, 240), quality=80)
    photo = read_photo(tmp_path / "a.jxl")
    sizes = []
    for quality in (None, 60):
        write_photo(photo, tmp_path / "b.jxl", quality=quality)
        again = read_photo(tmp_path / "b.jxl")
        assert again.encoding == {"lossless": False}
        sizes.append((tmp_path / "b.jxl").stat().st_size)
        assert np.abs(again.pixels.astype(int) - photo.pixels).mean() < 3
    assert sizes[1] < sizes[0] < photo.pixels.nbytes / 4


def test_a_packed_jpeg_is_that_jpeg_in_and_out(tmp_path: Path) -> None:
    saved(
        tmp_path / "a.jpg", picture("RGB"), quality=83, exif=camera_exif(6), icc_profile=P3, xmp=XMP, comment=b"by hand"
    )
    (tmp_path / "a.jxl").write_bytes(jxl.packed((tmp_path / "a.jpg").read_bytes(), "RGB", (83, 61)))
    plain, packed = read_photo(tmp_path / "a.jpg"), read_photo(tmp_path / "a.jxl")
    assert (packed.pixels == plain.pixels).all()
    assert (packed.metadata, packed.encoding, packed.orientation) == (plain.metadata, plain.encoding, 6)
    write_photo(plain, tmp_path / "b.jpg", provenance=PROVENANCE)
    write_photo(packed, tmp_path / "b.jxl", provenance=PROVENANCE)
    assert inside(tmp_path / "b.jxl") == (tmp_path / "b.jpg").read_bytes()


@pytest.mark.parametrize("name", ["display_p3", "display_p3_lossy", "display_p3_opacity"])
def test_a_wide_profile_stays_or_the_file_is_refused(tmp_path: Path, name: str) -> None:
    photo = read_photo(FILES / f"{name}.jxl")
    assert not jxl.is_srgb(photo.metadata.icc, photo.mode)
    write_photo(photo, tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png").metadata.icc == photo.metadata.icc
    if name == "display_p3_lossy":
        write_photo(photo, tmp_path / "b.jxl")
        assert inside(tmp_path / "b.jxl") is not None
        again = read_photo(tmp_path / "b.jxl")
        assert again.metadata.icc == photo.metadata.icc
        assert np.abs(again.pixels.astype(int) - photo.pixels).mean() < 3
    else:
        with pytest.raises(MoebiusError, match=r"without a colour profile other than sRGB's: choose PNG or TIFF$"):
            check_output(photo, tmp_path / "b.jxl")


def test_what_srgb_is() -> None:
    for name in ("turned", "grey_12_bits"):
        photo = read_photo(FILES / f"{name}.jxl")
        assert photo.metadata.icc
        assert jxl.is_srgb(photo.metadata.icc, photo.mode)
    assert jxl.is_srgb(b"", "RGB")
    assert not jxl.is_srgb(b"no profile", "RGB")


@pytest.mark.parametrize(
    ("name", "mode", "note"), [("12_bits", "RGB", 1), ("16_bits", "RGB", 1), ("grey_12_bits", "I;16", 0)]
)
def test_depth(tmp_path: Path, name: str, mode: str, note: int) -> None:
    photo = read_photo(FILES / f"{name}.jxl")
    assert photo.mode == mode
    assert list(photo.notes) == [f"{FILES / name}.jxl has {name[:2]} bits a channel; they are reduced to 8"] * note
    assert photo.rgb()[3, 3, 0] == 60


@pytest.mark.parametrize("packing", ["plain", "brob"])
def test_upright_pixels_are_not_turned_again(tmp_path: Path, packing: str) -> None:
    """The codestream's orientation counts, and the decoder applies it; that of EXIF is out of date (18181-2)."""
    turned = (FILES / "turned.jxl").read_bytes()
    codestream = turned[turned.index(b"\xff\x0a") :]
    content = {b"Exif": BEACH, b"xml ": XMP}
    if packing == "plain":
        more = [box(kind, data) for kind, data in content.items()]
    else:
        more = [box(b"brob", kind + brotli.compress(data)) for kind, data in content.items()]
    (tmp_path / "a.jxl").write_bytes(in_boxes(codestream, *more))
    photo = read_photo(tmp_path / "a.jxl")
    upright = np.asarray(Image.open(FILES / "turned.jxl"))
    assert (photo.width, photo.height, photo.orientation) == (8, 12, 6)
    assert (photo.pixels == upright).all()
    assert photo.pixels[0, -1].sum() < 60  # the black corner was left, on top
    write_photo(photo, tmp_path / "b.jxl", provenance=PROVENANCE)
    assert (read_photo(tmp_path / "b.jxl").pixels == upright).all()
    assert field(tmp_path / "b.jxl", 0x010E) == b"On the beach"
    assert b"Beach" in read_photo(tmp_path / "b.jxl").metadata.xmp


def test_what_cannot_be_kept(tmp_path: Path) -> None:
    assert "animated: only single pictures" in refusal(FILES / "animated.jxl")
    assert "floating-point" in refusal(FILES / "floating_point.jxl")
    assert "HDR picture (PQ curve)" in refusal(FILES / "hdr_pq.jxl")
    codestream = (FILES / "display_p3.jxl").read_bytes()
    mapped = in_boxes(codestream[codestream.index(b"\xff\x0a") :], box(b"jhgm", b"\0 a picture of its own"))
    (tmp_path / "a.jxl").write_bytes(mapped)
    assert "HDR gain map was left out" in read_photo(tmp_path / "a.jxl").notes[0]


SMALL = ((1, 1), (0, 5), (1, 3))  # 8 x 8
USUAL_DEPTH = ((0, 1), (0, 2), (1, 1))


@pytest.mark.parametrize(
    "extra",
    [
        ((1, 2), (0, 1), (0, 2), (0, 1), (0, 2), (0, 2), (0, 2), (1, 1)),  # opacity, multiplied
        ((1, 2), (0, 1), (2, 2), (2, 4), (0, 1), (0, 2), (0, 2), (0, 2)),  # black
        ((2, 2), (0, 4)),  # two channels
    ],
)
def test_other_channels_are_refused(tmp_path: Path, extra: tuple[tuple[int, int], ...]) -> None:
    (tmp_path / "a.jxl").write_bytes(header(*SMALL, (0, 1), (0, 1), *USUAL_DEPTH, *extra))
    assert "channels beside colours and plain opacity: save it without" in refusal(tmp_path / "a.jxl")


@pytest.mark.parametrize(
    ("width", "height"), [(8, 8), (256, 256), (240, 200), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1), (600, 7), (7, 9000)]
)
@pytest.mark.parametrize("lossless", [True, False])
def test_the_size_is_read_before_anything_is_decoded(width: int, height: int, lossless: bool) -> None:
    Image.new("RGBA", (width, height)).save(buffer := io.BytesIO(), "JXL", lossless=lossless)
    read = jxl.read_header(buffer.getvalue())
    assert (read.width, read.height, read.bits, read.lossy) == (width, height, 8, not lossless)


def test_a_bomb_is_refused_by_its_size(tmp_path: Path) -> None:
    for side, message in ((900_000, "the limit is"), (2**30, "a side can have 1,000,000 at most")):
        (tmp_path / "a.jxl").write_bytes(header((0, 1), (3, 2), (side - 1, 30), (1, 3), (1, 1)))
        assert message in refusal(tmp_path / "a.jxl")


@pytest.mark.parametrize("name", ["turned", "display_p3", "16_bits", "jpeg"])
def test_damaged_files_are_one_line(tmp_path: Path, name: str) -> None:
    if name == "jpeg":
        content = jxl.packed(
            saved(tmp_path / "a.jpg", picture("RGB"), exif=camera_exif()).read_bytes(), "RGB", (83, 61)
        )
    else:
        content = (FILES / f"{name}.jxl").read_bytes()
    path = tmp_path / "a.jxl"
    rng = np.random.default_rng(0)
    messages = []
    for step in range(120):
        data = bytearray(content)
        for at in rng.integers(len(data), size=3):
            data[at] = rng.integers(256)
        path.write_bytes(data if step % 2 else content[: int(rng.integers(1, len(content)))])
        try:
            read_photo(path)
        except MoebiusError as error:
            messages.append(str(error))
    assert len(messages) > 60
    assert not any("\n" in message or "libjxl" in message for message in messages)


@pytest.mark.parametrize("package", ["pillow_jxl", "brotli"])
def test_without_its_packages_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    assert refusal(FILES / "turned.jxl").endswith('JPEG XL needs optional packages: pip install "mlx-moebius[jxl]"')
    with pytest.raises(MoebiusError, match=r"mlx-moebius\[jxl\]"):
        check_output(photo_from_image(picture("RGB")), tmp_path / "b.jxl")


def test_its_name_is_known() -> None:
    assert EXTENSIONS[".jxl"] == "JXL"


def test_16_bit_grey_goes_to_png(tmp_path: Path) -> None:
    photo = read_photo(FILES / "grey_12_bits.jxl")
    with pytest.raises(MoebiusError, match="JXL cannot hold the photo's 16-bit grey: choose PNG or TIFF"):
        check_output(photo, tmp_path / "b.jxl")
    write_photo(photo, tmp_path / "b.png")
    assert (read_photo(tmp_path / "b.png").pixels == photo.pixels).all()
