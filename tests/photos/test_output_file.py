"""The file that is written, beside what is in it: permissions, time, links, read-only files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.photo import photo_from_image, read_photo
from mlx_moebius.photos.save import write_photo
from tests.support.pictures import picture, saved


def test_permissions_and_time_are_the_sources(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.png", picture("RGB"))
    photo = read_photo(source)
    os.utime(source, (1_000_000_000, 1_000_000_000))
    for mode, expected in ((0o600, 0o600), (0o664, 0o664), (0o444, 0o644)):
        source.chmod(mode)
        write_photo(photo, tmp_path / "b.png", source=source)
        assert (tmp_path / "b.png").stat().st_mode & 0o777 == expected
    assert (tmp_path / "b.png").stat().st_mtime > 1_000_000_000
    write_photo(photo, tmp_path / "b.png", source=source, keep_time=True)
    assert (tmp_path / "b.png").stat().st_mtime == 1_000_000_000


def test_a_link_stays_and_a_read_only_file_too(tmp_path: Path) -> None:
    photo = photo_from_image(picture("RGB"))
    (tmp_path / "elsewhere").mkdir()
    target = saved(tmp_path / "elsewhere" / "real.png", Image.new("RGB", (2, 2)))
    (tmp_path / "link.png").symlink_to(target)
    write_photo(photo, tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    assert read_photo(target).width == 83
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["elsewhere", "link.png", "real.png"]
    before = target.read_bytes()
    target.chmod(0o444)
    for path in (target, tmp_path / "link.png"):
        with pytest.raises(MoebiusError, match="read-only: give another name"):
            write_photo(photo, path)
    assert target.read_bytes() == before
