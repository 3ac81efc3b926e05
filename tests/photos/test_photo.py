"""Photos in memory: pixels outside the fill untouched, and one line for every file that cannot be used."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos import metadata
from mlx_moebius.photos.metadata import Field
from mlx_moebius.photos.photo import photo_from_image, read_photo
from mlx_moebius.photos.save import check_output
from tests.support.pictures import MODES, picture, saved


@pytest.mark.parametrize("mode", MODES)
def test_pixels_of_weight_zero_are_untouched(mode: str) -> None:
    rng = np.random.default_rng(5)
    for _ in range(12):
        width, height = (int(n) for n in rng.integers(1, 90, 2))
        photo = photo_from_image(picture(mode, width, height, seed=int(rng.integers(99))))
        before = photo.pixels.copy()
        left, top = int(rng.integers(width)), int(rng.integers(height))
        right, bottom = int(rng.integers(left, width)) + 1, int(rng.integers(top, height)) + 1
        weight = (rng.random((bottom - top, right - left)) * (rng.random((bottom - top, right - left)) < 0.5)).astype(
            "f4"
        )
        fill = rng.integers(0, 256, (*weight.shape, 3), np.uint8)
        filled = photo.composite(fill, weight, (left, top, right, bottom))

        whole = np.zeros((height, width), bool)
        whole[top:bottom, left:right] = weight > 0
        np.testing.assert_array_equal(filled.pixels[~whole], before[~whole])
        np.testing.assert_array_equal(photo.pixels, before)  # the source itself is never written to
        assert filled.pixels.dtype == before.dtype
        if photo.alpha() is not None:
            np.testing.assert_array_equal(filled.pixels[..., -1], before[..., -1])


@pytest.mark.parametrize("mode", MODES)
def test_fill_arrives_in_the_photos_own_mode(mode: str) -> None:
    photo = photo_from_image(picture(mode))
    grey = np.full((61, 83, 3), 77, np.uint8)
    weight = np.ones((61, 83), np.float32)
    weight[:, :40] = 0.5
    filled = photo.composite(grey, weight)
    assert (filled.rgb()[:, 40:] == 77).all()
    halfway = (photo.rgb()[:, :40].astype(int) + 77) / 2
    assert np.abs(filled.rgb()[:, :40] - halfway).max() <= 1.01


def test_sixteen_bits_are_blended_in_sixteen_bits() -> None:
    photo = photo_from_image(Image.fromarray(np.full((4, 4), 1000, np.uint16)))
    filled = photo.composite(np.full((4, 4, 3), 100.5, np.float32), np.full((4, 4), 0.25, np.float32))
    assert filled.pixels[0, 0] == round(1000 + 0.25 * (100.5 * 257 - 1000))
    assert photo.rgb()[0, 0].tolist() == [4, 4, 4]


def test_window_of_rgb_equals_the_whole(tmp_path: Path) -> None:
    for mode in MODES:
        photo = photo_from_image(picture(mode))
        np.testing.assert_array_equal(photo.rgb((10, 20, 50, 60)), photo.rgb()[20:60, 10:50])


def test_filling_transparent_parts_can_make_them_opaque() -> None:
    photo = photo_from_image(Image.new("RGBA", (8, 8), (10, 20, 30, 0)))
    weight = np.zeros((8, 8), np.float32)
    weight[2:4] = 1
    filled = photo.composite(np.full((8, 8, 3), 200, np.uint8), weight, opaque=True)
    assert (filled.pixels[2:4] == [200, 200, 200, 255]).all()
    assert (filled.pixels[4:] == [10, 20, 30, 0]).all()


def cmyk_profile() -> bytes:
    """A small ICC profile of inks that print lighter than the plain formula says (lut8 tables; ICC.1:2004-10, 10.9)."""

    def lut(inputs: int, outputs: int, grid: int, table: np.ndarray) -> bytes:
        matrix = struct.pack(">9i", *(65536 * (i in (0, 4, 8)) for i in range(9)))
        ramp = bytes(range(256))
        head = b"mft1\0\0\0\0" + bytes([inputs, outputs, grid, 0])
        return head + matrix + ramp * inputs + np.rint(table).clip(0, 255).astype(np.uint8).tobytes() + ramp * outputs

    inks = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(-1, 4)
    light = (255 - 100 * inks[:, 3] - 40 * inks[:, :3].sum(-1)).clip(0, 255)
    to_lab = np.stack([light, np.full(16, 128), np.full(16, 128)], -1)
    lab = np.stack(np.meshgrid(*[np.linspace(0, 255, 9)] * 3, indexing="ij"), -1).reshape(-1, 3)
    black = ((255 - lab[:, 0]) * 2.55).clip(0, 255)
    to_cmyk = np.stack([np.maximum(0, (155 - lab[:, 0]) * 255 / 120)] * 3 + [black], -1)
    tags = {b"A2B0": lut(4, 3, 2, to_lab), b"B2A0": lut(3, 4, 9, to_cmyk)}
    tags[b"wtpt"] = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    start, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    rest = b"\x02\x10\0\0prtrCMYKLab " + bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return (
        (struct.pack(">I4s", start + len(body), b"\0\0\0\0") + rest).ljust(128, b"\0")
        + struct.pack(">I", 3)
        + table
        + body
    )


def test_cmyk_is_seen_and_filled_through_its_profile() -> None:
    image = Image.new("CMYK", (16, 16), (0, 0, 0, 128))
    image.info["icc_profile"] = cmyk_profile()
    photo = photo_from_image(image)
    plain = photo_from_image(Image.new("CMYK", (16, 16), (0, 0, 0, 128)))
    assert int(photo.rgb()[0, 0, 0]) > int(plain.rgb()[0, 0, 0]) + 30
    filled = photo.composite(photo.rgb(), np.ones((16, 16), np.float32))  # what is seen there, filled in
    assert np.abs(filled.rgb().astype(int) - photo.rgb()).max() <= 3
    assert np.abs(filled.pixels.astype(int) - photo.pixels).max() <= 6


def test_palettes_and_transparent_colours_are_resolved(tmp_path: Path) -> None:
    colours = picture("RGB").quantize(12)
    photo = read_photo(saved(tmp_path / "p.png", colours))
    assert photo.mode == "RGB"
    np.testing.assert_array_equal(photo.pixels, np.asarray(colours.convert("RGB")))
    photo = read_photo(saved(tmp_path / "t.png", colours, transparency=3))
    assert photo.mode == "RGBA"
    np.testing.assert_array_equal(photo.pixels[..., 3] == 0, np.asarray(colours) == 3)
    grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    photo = read_photo(saved(tmp_path / "g.png", grey, transparency=7))
    assert photo.mode == "LA"
    assert (photo.pixels[..., 1] == 0).sum() == 1
    assert read_photo(saved(tmp_path / "1.png", picture("L").convert("1"))).mode == "L"


def error(path: Path) -> str:
    with pytest.raises(MoebiusError) as caught:
        read_photo(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("extension", ["jpg", "png", "tif", "webp", "avif", "bmp"])
def test_truncated_files_are_refused(tmp_path: Path, extension: str) -> None:
    path = saved(tmp_path / f"a.{extension}", picture("RGB", 320, 240))
    data = path.read_bytes()
    for length in (len(data) // 2, len(data) - len(data) // 8, 20, 3):
        path.write_bytes(data[:length])
        assert "damaged" in error(path)


def test_missing_empty_foreign_and_folders(tmp_path: Path) -> None:
    assert "does not exist" in error(tmp_path / "none.jpg")
    assert "is a folder" in error(tmp_path)
    (tmp_path / "empty.jpg").touch()
    assert "empty (0 bytes)" in error(tmp_path / "empty.jpg")
    (tmp_path / "text.jpg").write_text("this is no picture")
    assert "is not a JPEG" in error(tmp_path / "text.jpg")


def png(width: int, height: int, depth: int, colour: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = zlib.compress(bytes(10_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_depth_that_would_be_lost_is_refused(tmp_path: Path) -> None:
    saved(tmp_path / "white.tif", picture("I;16"))
    reverse = metadata.edit_fields((tmp_path / "white.tif").read_bytes(), {262: Field(metadata.SHORT, b"\0\0")})
    (tmp_path / "white.tif").write_bytes(reverse)
    assert "bits a channel" in error(tmp_path / "white.tif")


@pytest.mark.parametrize("extension", ["png", "webp", "avif", "tif"])
def test_animations_and_pages_are_refused(tmp_path: Path, extension: str) -> None:
    frames = [picture("RGB", seed=seed) for seed in range(3)]
    saved(tmp_path / f"a.{extension}", frames[0], save_all=True, append_images=frames[1:])
    assert "animated" in error(tmp_path / f"a.{extension}")


def test_modes_without_a_way_back_are_refused(tmp_path: Path) -> None:
    assert "32 bits a channel" in error(saved(tmp_path / "f.tif", Image.new("F", (8, 8))))
    assert "mode LAB are not supported" in error(saved(tmp_path / "lab.tif", Image.new("LAB", (8, 8))))


def test_heic_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    assert 'pip install "mlx-moebius[heic]"' in error(tmp_path / "a.heic")
    with pytest.raises(MoebiusError, match="heic"):
        check_output(photo_from_image(picture("RGB")), tmp_path / "b.heic")
