"""Ultra HDR JPEGs keep their gain map, filled where the photo is; libultrahdr judges what a bright screen shows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius import MoebiusPipeline
from mlx_moebius.inpainting.extend import Extension
from mlx_moebius.photos import gain_map
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.photos.save import write_photo
from tests.support.pictures import PROVENANCE, camera_exif, picture

WIDTH, HEIGHT = 332, 244
LAMP = np.s_[80:140, 120:200]
"""Four times as bright as white paper."""
ANDROID = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" '
    b'hdrgm:GainMapMin="0.0" hdrgm:GainMapMax="2.0" hdrgm:Gamma="1.0" hdrgm:OffsetSDR="0.015625" '
    b'hdrgm:OffsetHDR="0.015625" hdrgm:HDRCapacityMin="0.0" hdrgm:HDRCapacityMax="2.0" '
    b'hdrgm:BaseRenditionIsHDR="False"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


@pytest.fixture(scope="module")
def nano() -> MoebiusPipeline:
    return MoebiusPipeline.from_pretrained("nano", "float32")


def light(path: Path) -> NDArray[np.float32]:
    """Linear light [H, W, 3] on a bright screen, 1 = white paper, as libultrahdr decodes a file."""
    return np.asarray(imagecodecs.ultrahdr_decode(path.read_bytes()), np.float32)[..., :3]


def iso_file(path: Path) -> Path:
    """A photo with a lamp in it, as libultrahdr writes it: by ISO 21496-1, the map in colour."""
    linear = (np.asarray(picture("RGB", WIDTH, HEIGHT), np.float32) / 255) ** 2.2
    linear[LAMP] = 4
    rgba = np.ones((HEIGHT, WIDTH, 4), np.float16)
    rgba[..., :3] = linear
    path.write_bytes(imagecodecs.ultrahdr_encode(rgba))
    return path


def android_file(path: Path, exif: bytes = b"", **options: Any) -> Path:
    """The same as telephones write it: announced by XMP, the map grey and a quarter of the size."""
    gains = np.zeros((HEIGHT // 4, WIDTH // 4), np.uint8)
    gains[LAMP[0].start // 4 : LAMP[0].stop // 4, LAMP[1].start // 4 : LAMP[1].stop // 4] = 255
    image = np.array(picture("RGB", WIDTH, HEIGHT))
    image[LAMP] = 255
    stored = gain_map.GainMap(gains, ANDROID, b"", {"quality": 95})
    buffer, file = io.BytesIO(), gain_map.encoded(stored)
    xmp = gain_map.announced(b"", stored, len(file))
    Image.fromarray(image).save(buffer, "JPEG", quality=95, xmp=xmp, exif=exif, **options)
    path.write_bytes(gain_map.attached(buffer.getvalue(), stored, file))
    return path


@pytest.mark.parametrize("write", [iso_file, android_file])
def test_light_stays_as_it_was(tmp_path: Path, write: Any) -> None:
    source = write(tmp_path / "a.jpg")
    before = light(source)
    assert before[LAMP].mean() > 3.5
    photo = read_photo(source)
    assert photo.notes == ()
    assert write_photo(photo, tmp_path / "b.jpg", provenance=PROVENANCE) == []
    assert np.abs(light(tmp_path / "b.jpg") - before).mean() < 0.02
    again = read_photo(tmp_path / "b.jpg")
    assert (again.notes, again.metadata.xmp) == ((), photo.metadata.xmp)  # announced once, however often it is saved


def test_the_announcement_tells_the_maps_length(tmp_path: Path) -> None:
    photo = read_photo(android_file(tmp_path / "a.jpg"))
    write_photo(photo, tmp_path / "b.jpg")
    written = (tmp_path / "b.jpg").read_bytes()
    length = int(written.partition(b'Item:Length="')[2].partition(b'"')[0])
    assert Image.open(io.BytesIO(written[-length:])).size == (WIDTH // 4, HEIGHT // 4)
    assert written.count(b"hdrgm:Version") == 2  # of the picture and of the map


@pytest.mark.parametrize("write", [iso_file, android_file])
def test_where_the_lamp_was_nothing_shines(nano: MoebiusPipeline, tmp_path: Path, write: Any) -> None:
    source = write(tmp_path / "a.jpg")
    photo, hole = read_photo(source), np.zeros((HEIGHT, WIDTH), bool)
    assert photo.gains is not None
    own = photo.gains.pixels.copy()
    hole[68:152, 108:212] = True
    result = nano.inpaint(photo, hole, nano.settings())
    write_photo(result.photo, tmp_path / "b.jpg")
    before, after = light(source), light(tmp_path / "b.jpg")
    assert after[LAMP].max() < 1.5
    away = np.s_[:, 260:]
    assert np.abs(after[away] - before[away]).mean() < 0.02
    assert np.array_equal(photo.gains.pixels, own)


@pytest.mark.parametrize("write", [iso_file, android_file])
def test_where_all_is_redrawn_the_gains_are_one(nano: MoebiusPipeline, tmp_path: Path, write: Any) -> None:
    photo, hole = read_photo(write(tmp_path / "a.jpg")), np.zeros((HEIGHT, WIDTH), bool)
    hole[10:-10, 10:-10] = True
    gains = nano.inpaint(photo, hole, nano.settings(num_steps=1, paste=False, dilate=0)).photo.gains
    assert gains is not None
    assert (np.ptp(gains.pixels, axis=(0, 1)) == 0).all()


def test_the_map_is_turned_and_extended_with_the_photo(nano: MoebiusPipeline, tmp_path: Path) -> None:
    upright = read_photo(android_file(tmp_path / "upright.jpg"))
    turned = read_photo(android_file(tmp_path / "a.jpg", exif=b"Exif\0\0" + camera_exif(6)))
    assert upright.gains is not None
    assert turned.gains is not None
    np.testing.assert_array_equal(turned.gains.pixels, np.rot90(upright.gains.pixels, -1))
    settings = nano.settings(extend=Extension(left=60), num_steps=1)
    wider = nano.inpaint(upright, None, settings).photo
    write_photo(wider, tmp_path / "b.jpg")
    shown = light(tmp_path / "b.jpg")
    assert shown.shape == (HEIGHT, WIDTH + 60, 3)
    assert shown[LAMP[0], 60 + LAMP[1].start + 5 : 60 + LAMP[1].stop - 5].mean() > 3
    assert shown[:, :60].max() < 1.5


def test_other_formats_say_that_it_is_left_out(tmp_path: Path) -> None:
    photo = read_photo(android_file(tmp_path / "a.jpg"))
    said = "its HDR gain map was left out; brightness is the plain picture's"
    assert write_photo(photo, tmp_path / "b.png") == [f"{tmp_path}/b.png: {said}"]
    assert b"hdrgm" not in (tmp_path / "b.png").read_bytes()


def test_a_damaged_map_does_not_cost_the_photo(tmp_path: Path) -> None:
    source = android_file(tmp_path / "a.jpg")
    whole = source.read_bytes()
    start = whole.rindex(b"\xff\xd8\xff")
    for damaged in (whole[:start], whole[: start + 40], whole.replace(b"MPF\0II", b"MPF\0XX")):
        source.write_bytes(damaged)
        photo = read_photo(source)
        assert photo.gains is None
        assert photo.notes == (f"{source}: its HDR gain map was left out; brightness is the plain picture's",)
