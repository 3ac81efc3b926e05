"""Pictures that are too large, for this machine or for a format: one line, before any of it is decoded."""

from __future__ import annotations

import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from mlx_moebius import memory
from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.extend import parse_sides
from mlx_moebius.photos import limits
from mlx_moebius.photos.photo import photo_from_image, read_photo
from mlx_moebius.photos.save import check_output
from tests.support.pictures import picture, saved


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    limits.allow(None)


def bomb(path: Path, width: int, height: int) -> Path:
    """A small PNG file of a large black picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compressobj(9)
    body = b"".join(rows.compress(bytes(1 + (width + 7) // 8)) for _ in range(height)) + rows.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [
        (16_000, 11_125, "are 178 megapixels; the limit is 44.7 (half of this machine's memory at 24 bytes a pixel)"),
        (178_000_000, 1, "a side can have 1,000,000 at most"),
        (1, 2_000_000, "a side can have 1,000,000 at most"),
    ],
)
def test_a_bomb_is_one_line_within_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, height: int, said: str
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 2**31)
    path = bomb(tmp_path / "bomb.png", width, height)
    tracemalloc.start()
    with pytest.raises(MoebiusError) as caught:
        read_photo(path)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_the_machine_s_memory_is_the_limit_and_can_be_overruled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.png", picture("RGB", 100, 80))
    monkeypatch.setattr(memory, "available", lambda: 2 * 24 * 8000)
    assert read_photo(path).width == 100
    monkeypatch.setattr(memory, "available", lambda: 2 * 24 * 7999)
    with pytest.raises(MoebiusError, match="raise max_pixels"):
        read_photo(path)
    limits.allow(8000)
    assert read_photo(path).width == 100
    limits.allow(7999)
    with pytest.raises(MoebiusError, match="as asked for"):
        read_photo(path)


def test_a_picture_beyond_pillows_own_limit_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", picture("RGB", 100, 80))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert read_photo(path).width == 100
    assert Image.MAX_IMAGE_PIXELS == 1000  # for others it stays as it was


@pytest.mark.parametrize(
    ("extension", "size", "said"),
    [
        ("webp", (16_384, 1), "a side has 16,383 at most"),
        ("jpg", (1, 65_536), "a side has 65,535 at most"),
        ("avif", (32_769, 1), "a side has 32,768 at most"),
        ("avif", (16_385, 16_384), "268 megapixels at most"),
    ],
)
def test_what_a_format_cannot_hold_is_said_before_the_work(
    tmp_path: Path, extension: str, size: tuple[int, int], said: str
) -> None:
    photo = photo_from_image(picture("RGB"))
    with pytest.raises(MoebiusError, match=f"{size[0]} x {size[1]} pixels.*{said}: choose PNG or TIFF"):
        check_output(photo, tmp_path / f"a.{extension}", size)
    assert check_output(photo, tmp_path / "a.png", size) == "PNG"


def test_an_extension_beyond_the_limit_or_the_format_is_said_before_the_work(tmp_path: Path) -> None:
    limits.allow(6000)
    with pytest.raises(MoebiusError, match=r"the limit is 0\.0"):
        parse_sides("left=50", photo_from_image(picture("RGB", 83, 61)))
    saved(tmp_path / "a.webp", Image.new("RGB", (10_000, 8), (90, 120, 150)))
    command = [sys.executable, "-m", "mlx_moebius.generate", str(tmp_path / "a.webp"), "--extend", "left=9000"]
    run = subprocess.run([*command, "--model", "unknown"], capture_output=True, text=True)
    assert (run.returncode, len(run.stderr.splitlines())) == (1, 1)
    assert "WEBP cannot hold 19000 x 8 pixels" in run.stderr
