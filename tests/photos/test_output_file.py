"""The file that is written, beside what is in it: permissions, time, links, read-only files."""

from __future__ import annotations

import os
import subprocess
import sys
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


def set_attribute(path: Path, name: str, value: bytes) -> None:
    """An extended attribute, set without the project's code."""
    if sys.platform == "darwin":
        subprocess.run(["xattr", "-wx", name, value.hex(), str(path)], check=True)
    else:
        os.setxattr(path, name, value)


def attribute(path: Path, name: str) -> bytes | None:
    if sys.platform == "darwin":
        run = subprocess.run(["xattr", "-px", name, str(path)], capture_output=True, text=True)
        return bytes.fromhex(run.stdout) if run.returncode == 0 else None
    return os.getxattr(path, name) if name in os.listxattr(path) else None


def test_the_finders_tags_go_along_and_pictures_among_them_do_not(tmp_path: Path) -> None:
    kind = "com.apple.metadata:" if sys.platform == "darwin" else "user."
    tags, icon = f"{kind}_kMDItemUserTags", f"{kind}preview"
    source = saved(tmp_path / "a.png", picture("RGB"))
    set_attribute(source, tags, b"bplist00 red\0wedding")
    set_attribute(source, icon, b"icon: \xff\xd8\xff\xe0")
    photo = read_photo(source)
    source.chmod(0o400)
    write_photo(photo, tmp_path / "b.png", source=source)
    assert attribute(tmp_path / "b.png", tags) == b"bplist00 red\0wedding"
    assert attribute(tmp_path / "b.png", icon) is None
    write_photo(photo, tmp_path / "c.png")
    assert attribute(tmp_path / "c.png", tags) is None
