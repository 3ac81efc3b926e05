"""A patch over the photo is the filled photo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from mlx_moebius.__main__ import main
from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.patch import patch
from mlx_moebius.photos.photo import photo_from_image, read_photo
from mlx_moebius.photos.save import write_photo
from tests.support.pictures import picture


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_composited_by_pillow_it_gives_the_filled_photo(mode: str) -> None:
    photo = photo_from_image(picture(mode, 120, 90))
    weights = np.zeros((90, 120), np.float32)
    weights[20:60, 30:80] = 1
    weights[:, 80:100] = np.linspace(1, 0, 20, dtype=np.float32)
    other = photo_from_image(picture("RGB", 120, 90, seed=1)).pixels
    filled = photo.composite(other, weights)
    layer = patch(photo, filled, np.rint(weights * 65535).astype(np.uint16))
    assert layer.mode == {"L": "LA", "RGB": "RGBA"}[mode]
    assert not layer.pixels[(filled.pixels == photo.pixels).reshape(90, 120, -1).all(axis=-1)].any()
    assert len(np.unique(layer.pixels[..., -1])) > 10  # the feather
    below, above = (Image.fromarray(each.pixels).convert("RGBA") for each in (photo, layer))
    shown = np.asarray(Image.alpha_composite(below, above).convert(mode)).astype(int)
    assert np.abs(shown - filled.pixels).max() <= 1


def test_sixteen_bits_are_kept() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65536, (40, 50, 3), dtype=np.uint16)
    photo = replace(photo_from_image(Image.new("RGB", (50, 40))), pixels=pixels, mode="RGB;16")
    weights = np.zeros((40, 50), np.float32)
    weights[:, 10:40] = np.linspace(0, 1, 30, dtype=np.float32)
    filled = photo.composite(rng.integers(0, 256, (40, 50, 3)).astype(np.uint8), weights)
    layer = patch(photo, filled, np.rint(weights * 65535).astype(np.uint16)).pixels.astype(float)
    share = layer[..., 3:] / 65535
    assert np.abs(pixels + (layer[..., :3] - pixels) * share - filled.pixels).max() <= 1


def test_other_modes_and_sizes_are_refused() -> None:
    none = np.zeros((90, 120), np.uint16)
    ink = photo_from_image(picture("CMYK", 120, 90))
    with pytest.raises(MoebiusError, match="CMYK"):
        patch(ink, ink, none)
    small, large = (photo_from_image(Image.new("RGB", (size, 90))) for size in (120, 130))
    with pytest.raises(MoebiusError, match="size"):
        patch(small, large, none)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_the_command_writes_the_patch_instead_of_the_photo(tmp_path: Path, suffix: str) -> None:
    source, layer, whole = tmp_path / "a.png", tmp_path / f"patch{suffix}", tmp_path / "whole.png"
    picture("RGB", 120, 90).save(source)
    common = [str(source), "--mask-from", "40,30,40,30", "--model", "nano"]
    for more in (["--patch", str(layer)], ["-o", str(whole)]):
        with pytest.raises(SystemExit) as ended:
            main([*common, *more])
        assert not ended.value.code
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.png", layer.name, "whole.png"])
    shown = Image.alpha_composite(Image.open(source).convert("RGBA"), Image.open(layer))
    off = np.abs(np.asarray(shown.convert("RGB")).astype(int) - read_photo(whole).pixels)
    assert off.max() <= 1
    assert (read_photo(layer).pixels[..., 3] == 0).mean() > 0.5


@pytest.mark.slow
def test_of_a_sixteen_bit_tiff_it_keeps_bits_and_profile(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source, layer, whole = (tmp_path / name for name in ("a.tif", "patch.tif", "whole.tif"))
    pixels = np.random.default_rng(0).integers(0, 65536, (90, 120, 3), dtype=np.uint16)
    photo = replace(photo_from_image(Image.new("RGB", (120, 90))), pixels=pixels, mode="RGB;16")
    write_photo(replace(photo, metadata=replace(photo.metadata, icc=profile)), source)
    for more in (["--patch", str(layer)], ["-o", str(whole)]):
        with pytest.raises(SystemExit) as ended:
            main([str(source), "--mask-from", "40,30,40,30", "--model", "nano", *more])
        assert not ended.value.code
    above = read_photo(layer)
    assert (above.mode, above.metadata.icc) == ("RGBA;16", profile)
    share = above.pixels[..., 3:] / 65535
    shown = pixels + (above.pixels[..., :3].astype(float) - pixels) * share
    assert np.abs(shown - read_photo(whole).pixels).max() <= 1
    assert (share == 0).mean() > 0.5


@pytest.mark.parametrize("more", [["-o", "b.png"], ["--extend", "10%"], ["--seeds", "2"]])
def test_a_patch_of_something_else_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    picture("RGB", 40, 30).save(tmp_path / "a.png")
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "a.png"), "--mask-from", "4,3,9,9", "--patch", str(tmp_path / "p.png"), *more])
    assert ended.value.code
    assert "--patch is for one photo" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(tmp_path / "a.png"), "--mask-from", "4,3,9,9", "--patch", str(tmp_path / "p.jpg")])
    assert "JPEG cannot hold the photo's transparency" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
