"""What the colours of a whole photo have in common is kept by what is filled, and by the file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mlx_moebius.photos.geometry import Mask, Pixels
from mlx_moebius.photos.kept_colours import kept_colours
from mlx_moebius.photos.photo import LUMA, Photo, photo_from_image, read_photo
from mlx_moebius.photos.save import write_photo

SIZE = (160, 120)
MASK = np.zeros(SIZE[::-1], bool)
MASK[40:80, 50:110] = True


def filled(photo: Photo, opaque: bool = False, mask: Mask = MASK) -> Photo:
    """The photo with a colourful fill that knows nothing of it, blended in at the edges."""
    random = np.random.default_rng(5)
    weights = mask.astype(np.float32)
    weights[39, 50:110] = weights[80, 50:110] = 0.3
    fill = random.uniform(0, 255, (*mask.shape, 3)).astype(np.float32)
    return photo.composite(fill, weights, opaque=opaque, keep=kept_colours(photo, ~mask))


def grey() -> Pixels:
    """A soft picture in grey, with a little grain."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    soft = 128 + 90 * np.sin(x / 23) * np.cos(y / 31) + np.random.default_rng(1).normal(0, 4, x.shape)
    return soft.clip(0, 255).astype(np.uint8)


def drawing(mode: str = "RGB") -> Image.Image:
    """A chart in few colours."""
    image = Image.new("RGB", SIZE, (250, 250, 240))
    draw = ImageDraw.Draw(image)
    draw.rectangle((10, 10, 60, 100), (200, 30, 40))
    draw.ellipse((80, 30, 150, 110), (20, 90, 200))
    draw.line((0, 0, 159, 119), (0, 0, 0), 3)
    draw.text((20, 60), "Sales", (255, 220, 0))
    return image.convert(mode) if mode != "P" else image.quantize(8)


def stored(image: Image.Image, path: Path, **options: Any) -> Photo:
    image.save(path, **options)
    return read_photo(path)


def colours(pixels: Pixels) -> set[tuple[int, ...]]:
    channels = pixels.shape[-1] if pixels.shape[-1] <= 4 else 1
    return {tuple(each) for each in pixels.reshape(-1, channels).tolist()}


def test_a_grey_photo_stored_in_colour_stays_grey(tmp_path: Path) -> None:
    for path in (tmp_path / "a.png", tmp_path / "a.jpg"):
        photo = stored(Image.fromarray(grey()).convert("RGB"), path)
        result = filled(photo)
        assert (result.pixels != photo.pixels)[MASK].any()
        assert np.ptp(result.pixels, axis=-1).max() == 0
        write_photo(result, path)
        assert np.ptp(np.asarray(Image.open(path)), axis=-1).max() == 0


def test_a_coloured_stamp_that_is_removed_does_not_make_a_photo_coloured() -> None:
    pixels = np.repeat(grey()[..., None], 3, axis=-1)
    pixels[50:70, 60:100] = (255, 140, 0)
    assert np.ptp(filled(photo_from_image(Image.fromarray(pixels))).pixels, axis=-1).max() == 0


def test_sixteen_bits_and_opacity_make_no_difference() -> None:
    deep = grey().astype(np.uint16) * 257 + np.random.default_rng(2).integers(0, 257, grey().shape).astype(np.uint16)
    coloured = np.repeat(deep.clip(0, 65535)[..., None], 3, axis=-1)
    assert np.ptp(filled(Photo(coloured, "RGB;16")).pixels, axis=-1).max() == 0
    alpha = np.full((*MASK.shape, 1), 255, np.uint8)
    alpha[:30] = 0
    hidden = np.concatenate([np.repeat(grey()[..., None], 3, axis=-1), alpha], axis=-1)
    hidden[:30, :, 0] = 200  # a colour that nobody sees
    result = filled(Photo(hidden, "RGBA")).pixels
    assert np.ptp(result[30:, :, :3], axis=-1).max() == 0
    np.testing.assert_array_equal(result[..., 3:], alpha)


def sepia(light: Pixels) -> Pixels:
    return np.stack([light * 0.9 + 25, light * 0.88, light * 0.7], axis=-1)


def duotone(light: Pixels) -> Pixels:
    share = (light / 255)[..., None]
    return np.array([20, 20, 90]) * (1 - share) + np.array([255, 200, 90]) * share


@pytest.mark.parametrize("tone", [sepia, duotone])
@pytest.mark.parametrize("quality", [None, 80, 95])
def test_one_tone_stays_one_tone(tone: Any, quality: int | None, tmp_path: Path) -> None:
    toned = Image.fromarray(tone(grey().astype(np.float64)).round().clip(0, 255).astype(np.uint8))
    photo = stored(toned, tmp_path / ("a.png" if quality is None else "a.jpg"), quality=quality or 75)
    inside = filled(photo).pixels[MASK].astype(np.float64)
    assert np.ptp(inside @ LUMA) > 100  # the fill's own light and shade

    def off(pixels: Pixels) -> float:
        expected = tone(np.arange(256.0))
        near = [np.interp(pixels @ LUMA, expected @ LUMA, expected[:, i]) for i in range(3)]
        return float(np.abs(pixels - np.stack(near, axis=-1)).max())

    assert off(inside) <= max(2, off(photo.pixels[~MASK]))  # no further than the rest, which JPEG has changed


def test_a_colour_photo_stays_free() -> None:
    image = Image.effect_noise(SIZE, 60).convert("RGB")
    pixels = np.asarray(image).copy()
    pixels[:, 80:, 0] //= 2
    noise = np.random.default_rng(0).integers(0, 30, pixels.shape).astype(np.uint8)
    photo = photo_from_image(Image.fromarray(pixels // 2 + noise))
    assert kept_colours(photo, ~MASK) is None


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_drawing_gets_no_new_colours(mode: str) -> None:
    photo = photo_from_image(drawing(mode))
    result = filled(photo)
    assert colours(result.pixels) <= colours(photo.pixels[~MASK])
    assert (result.pixels != photo.pixels).any()


def test_black_ink_alone_stays_alone_and_as_dark() -> None:
    ink = np.zeros((*MASK.shape, 4), np.uint8)
    ink[..., 3] = grey()
    photo = Photo(ink, "CMYK")
    result = photo.composite(
        np.full((*MASK.shape, 3), (90, 100, 95), np.float32),
        MASK.astype(np.float32),
        keep=kept_colours(photo, ~MASK),
    )
    assert result.pixels[..., :3].max() == 0
    assert np.abs(result.rgb()[MASK].astype(int) - 97).max() <= 6


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_a_palette_stays_a_palette(name: str, tmp_path: Path) -> None:
    photo = stored(drawing("P"), tmp_path / name)
    assert write_photo(filled(photo), tmp_path / f"out_{name}") == []
    before, after = Image.open(tmp_path / name), Image.open(tmp_path / f"out_{name}")
    assert (before.mode, after.mode) == ("P", "P")
    assert colours(np.asarray(after.convert("RGB"))) <= colours(np.asarray(before.convert("RGB"))[~MASK])
    np.testing.assert_array_equal(np.asarray(after.convert("RGB"))[:30], np.asarray(before.convert("RGB"))[:30])


def cut_out() -> Image.Image:
    """A palette with opacity, as tools that shrink PNG files write it: soft edges are colours of their own."""
    image = drawing().convert("RGBA")
    alpha = Image.new("L", SIZE, 0)
    ImageDraw.Draw(alpha).ellipse((10, 10, 150, 110), 255)
    alpha.paste(90, (0, 0, 160, 30))
    image.putalpha(alpha)
    return image.quantize(64)


@pytest.mark.parametrize("opaque", [False, True])
def test_a_palette_with_opacity_stays_one(opaque: bool, tmp_path: Path) -> None:
    photo = stored(cut_out(), tmp_path / "a.png")
    assert photo.mode == "RGBA"
    result = filled(photo, opaque)
    assert write_photo(result, tmp_path / "out.png") == []
    after = Image.open(tmp_path / "out.png")
    assert after.mode == "P"
    np.testing.assert_array_equal(np.asarray(after.convert("RGBA")), result.pixels)
    np.testing.assert_array_equal(result.pixels[:35], photo.pixels[:35])
    if not opaque:
        np.testing.assert_array_equal(result.pixels[..., 3], photo.pixels[..., 3])


def scan() -> Image.Image:
    image = Image.new("L", SIZE, 255)
    draw = ImageDraw.Draw(image)
    for y in range(5, 115, 14):
        draw.text((5, y), "The quick brown fox jumps", 0)
    return image.convert("1", dither=Image.Dither.NONE)


@pytest.mark.parametrize(
    ("name", "options", "compression"),
    [
        ("a.png", {}, None),
        ("a.bmp", {}, 0),
        ("a.tif", {"compression": "group4"}, "group4"),
        ("b.tif", {"compression": "group3"}, "group3"),
        ("c.tif", {"compression": "tiff_lzw"}, "tiff_lzw"),
        ("d.tif", {"compression": "tiff_adobe_deflate"}, "tiff_adobe_deflate"),
        ("e.tif", {"compression": "raw"}, "raw"),
        ("f.tif", {"compression": "group4", "tiffinfo": {262: 0}}, "group4"),
    ],
)
def test_one_bit_stays_one_bit(name: str, options: dict[str, Any], compression: Any, tmp_path: Path) -> None:
    photo = stored(scan(), tmp_path / name, **options)
    before, mode = (tmp_path / name).stat().st_size, Image.open(tmp_path / name).mode
    provenance = {"version": "1", "seed": 3}
    assert [
        note for note in write_photo(filled(photo), tmp_path / name, provenance=provenance) if "BMP" not in note
    ] == []
    after = Image.open(tmp_path / name)
    assert after.mode == mode
    assert after.info.get("compression") == compression
    if name.endswith("tif"):
        tags: Any = after.tag_v2  # type: ignore[attr-defined]
        assert (tags.get(258, (1,)), tags[262]) == ((1,), options.get("tiffinfo", {}).get(262, 1))
    shown = np.asarray(after.convert("L"))
    assert colours(shown) == {(0,), (255,)}
    np.testing.assert_array_equal(shown[:30], np.asarray(scan().convert("L"))[:30])
    assert (tmp_path / name).stat().st_size < before + 2500  # a fill of noise in it, and how it was made


def test_one_bit_goes_along_to_another_format_that_has_it(tmp_path: Path) -> None:
    photo = stored(scan(), tmp_path / "a.png")
    assert write_photo(photo, tmp_path / "a.tif") == []
    assert Image.open(tmp_path / "a.tif").mode == "1"
    assert write_photo(photo, tmp_path / "b.jpg") == [
        f"{tmp_path / 'b.jpg'}: one bit a pixel could not be kept; it has 8 bits a channel"
    ]


def test_a_palette_that_cannot_be_kept_is_said(tmp_path: Path) -> None:
    photo = stored(cut_out(), tmp_path / "a.png")
    assert write_photo(photo, tmp_path / "a.tif") == [
        f"{tmp_path / 'a.tif'}: the palette could not be kept; it has 8 bits a channel"
    ]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.tif")), photo.pixels)


def test_a_palette_of_black_and_white_keeps_its_size() -> None:
    file = io.BytesIO()
    scan().convert("P").quantize(2).save(file, "PNG")
    photo = photo_from_image(Image.open(file))
    assert colours(filled(photo).pixels) == colours(photo.pixels)
