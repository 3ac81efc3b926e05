"""Masks: OpenCV's morphology, connected parts, and what a user means by a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.mask_files import load_mask
from mlx_moebius.photos.masks import close, components, dilate, latent_mask
from mlx_moebius.photos.photo import Photo, photo_from_image, read_photo
from tests.support.pictures import picture

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("kernel", [3, 5, 8])
def test_morphology_equals_opencv(name: str, kernel: int) -> None:
    with np.load(DATA / "imaging.npz") as golden:
        mask = golden[f"{name}/mask"] > 0
        np.testing.assert_array_equal(dilate(mask, kernel), golden[f"{name}/dilate{kernel}"] > 0)
        np.testing.assert_array_equal(close(mask, kernel), golden[f"{name}/close{kernel}"] > 0)


def test_dilation_is_the_maximum_over_the_kernel() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        height, width, kernel = (int(n) for n in rng.integers(1, 24, 3))
        mask = rng.random((height, width)) < 0.1
        expected = np.zeros_like(mask)
        for y, x in np.argwhere(mask):  # a pixel reaches the kernel turned about its anchor
            top, left = y - (kernel - 1 - kernel // 2), x - (kernel - 1 - kernel // 2)
            expected[max(0, top) : top + kernel, max(0, left) : left + kernel] = True
        np.testing.assert_array_equal(dilate(mask, kernel), expected)


def flood(mask: np.ndarray) -> list[frozenset[tuple[int, int]]]:
    """Parts by the plainest method there is."""
    todo = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    parts = []
    while todo:
        stack, part = [todo.pop()], set()
        while stack:
            y, x = stack.pop()
            part.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & todo
            todo -= near
            stack += near
        parts.append(frozenset(part))
    return parts


def test_components_equal_a_flood_fill() -> None:
    rng = np.random.default_rng(2)
    for density in (0.0, 0.1, 0.3, 0.45, 0.7, 1.0):
        for _ in range(8):
            mask = rng.random(rng.integers(1, 30, 2)) < density
            found = set()
            for part in components(mask):
                left, top, right, bottom = part.box
                pixels = {(int(y) + top, int(x) + left) for y, x in np.argwhere(part.mask())}
                ys, xs = zip(*pixels, strict=True)
                assert (min(xs), min(ys), max(xs) + 1, max(ys) + 1) == (left, top, right, bottom)
                assert part.area == len(pixels)
                found.add(frozenset(pixels))
            assert found == set(flood(mask))


def test_a_part_in_a_box_is_what_lies_there_of_it() -> None:
    rng = np.random.default_rng(3)
    for _ in range(40):
        mask = rng.random((18, 23)) < 0.4
        left, right = sorted(rng.choice(24, 2, replace=False).tolist())
        top, bottom = sorted(rng.choice(19, 2, replace=False).tolist())
        parts = [part.mask((left, top, right, bottom)) for part in components(mask)]
        np.testing.assert_array_equal(np.sum(parts, axis=0), mask[top:bottom, left:right])


def test_components_follow_a_spiral() -> None:
    spiral = Image.new("L", (200, 200))
    draw, x, y = ImageDraw.Draw(spiral), 100, 100
    for step in range(1, 48):
        dx, dy = [(1, 0), (0, 1), (-1, 0), (0, -1)][step % 4]
        draw.line((x, y, x + 4 * step * dx, y + 4 * step * dy), 255)
        x, y = x + 4 * step * dx, y + 4 * step * dy
    assert len(components(np.asarray(spiral) > 0)) == 1


def test_thin_lines_survive_in_the_latent_mask() -> None:
    mask = np.zeros((64, 64), bool)
    mask[13] = True
    mask[40, 24] = True
    cells = latent_mask(mask)
    assert cells.shape == (8, 8)
    assert cells.dtype == np.float32
    assert cells[1].tolist() == [1] * 8
    assert cells[5, 3] == 1
    assert cells.sum() == 9
    official = latent_mask(mask, reference=True)
    assert official[5, 3] == 1
    assert official.sum() == 1  # 40 and 24 are multiples of 8; the line is lost


@pytest.fixture
def photo() -> Photo:
    return photo_from_image(Image.effect_noise((90, 60), 40).convert("RGB"))


def drawn(mode: str, size: tuple[int, int], background: object, stroke: object) -> Image.Image:
    """A mask with a stroke over columns 20..39, rows 10..29 of 90 x 60."""
    image = Image.new(mode, size, background)  # type: ignore[arg-type]
    scale = size[0] / 90
    box = [round(v * scale) for v in (20, 10, 40, 30)]
    image.paste(stroke, box)  # type: ignore[arg-type]
    return image


STROKE = np.zeros((60, 90), bool)
STROKE[10:30, 20:40] = True


@pytest.mark.parametrize(
    ("mode", "background", "stroke"),
    [
        ("L", 0, 255),
        ("1", 0, 1),
        ("L", 127, 128),
        ("L", 0, 1),
        ("L", 0, 100),
        ("I;16", 0, 1),
        ("RGB", (0, 0, 0), (255, 0, 0)),
        ("RGB", (255, 255, 255), (255, 0, 0)),
        ("RGB", (40, 40, 40), (250, 255, 240)),
        ("I;16", 0, 65535),
        ("RGBA", (0, 0, 0, 255), (255, 255, 255, 255)),  # opacity the same everywhere: luma
        ("RGBA", (0, 0, 0, 7), (255, 255, 255, 7)),
        ("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)),  # a painted layer in black, in red, in white
        ("RGBA", (0, 0, 0, 0), (200, 30, 30, 255)),
        ("RGBA", (255, 255, 255, 0), (255, 255, 255, 180)),
        ("LA", (0, 0), (255, 255)),
    ],
)
def test_what_is_white_or_painted_is_filled(
    tmp_path: Path, photo: Photo, mode: str, background: object, stroke: object
) -> None:
    path = tmp_path / "mask.png"
    drawn(mode, (90, 60), background, stroke).save(path)
    mask, warnings = load_mask(photo, [path])
    np.testing.assert_array_equal(mask, STROKE)
    assert warnings == []


@pytest.mark.parametrize("colours", [(0, 255), (0, 100), ((0, 0, 0), (255, 0, 0)), ((255, 255, 255), (0, 0, 255))])
@pytest.mark.parametrize("blur", [0, 4])
def test_lossy_and_soft_masks_have_two_tones(
    tmp_path: Path, photo: Photo, colours: tuple[object, object], blur: int
) -> None:
    drawing = drawn("L" if isinstance(colours[0], int) else "RGB", (90, 60), *colours)
    drawing.filter(ImageFilter.GaussianBlur(blur)).save(tmp_path / "mask.jpg", quality=70)
    mask, warnings = load_mask(photo, [tmp_path / "mask.jpg"])
    assert (mask != STROKE).sum() <= 80 + 20 * blur  # along the border
    assert warnings == []


def test_a_soft_brush_has_little_of_its_own_tone(photo: Photo) -> None:
    y, x = np.mgrid[:60, :90]
    soft = 255 * np.exp(-((x - 40) ** 2 + (y - 30) ** 2) / 50)
    mask, _ = load_mask(photo, [photo_from_image(Image.fromarray(soft.astype(np.uint8)))])
    np.testing.assert_array_equal(mask, soft.astype(np.uint8) >= 128)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "I;16"])
def test_a_photo_is_no_mask(photo: Photo, mode: str) -> None:
    assert "is no mask, it has" in (said := message(photo, picture(mode, 90, 60, seed=7)))
    assert "swapped" not in said
    assert "are photo and mask swapped?" in message(
        photo_from_image(drawn("L", (90, 60), 0, 255)), picture("RGB", 90, 60)
    )
    night = picture("RGB", 90, 60).point(lambda value: max(0, 3 * (value - 150)))
    assert "is no mask" in message(photo, night)


def test_the_photo_itself_is_no_mask(photo: Photo) -> None:
    assert "is no mask" in message(photo, Image.fromarray(photo.rgb()))


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_a_part_painted_over_in_the_photo_is_filled(tmp_path: Path, extension: str) -> None:
    large = picture("RGB", 450, 300)
    photo = photo_from_image(large)
    copy = large.copy()
    copy.paste((255, 0, 0), (100, 50, 200, 150))
    copy.save(tmp_path / f"mask.{extension}", quality=75)
    mask, warnings = load_mask(photo, [tmp_path / f"mask.{extension}"])
    expected = np.zeros((300, 450), bool)
    expected[50:150, 100:200] = True
    assert (mask != expected).sum() <= (0 if extension == "png" else 400)
    assert "of it painted over: that part is filled" in warnings[0]


def test_a_palette_mask_has_two_values(tmp_path: Path, photo: Photo) -> None:
    drawing = drawn("P", (90, 60), 0, 1)
    drawing.putpalette([0, 0, 0, 128, 0, 0])  # as data sets of objects have it
    drawing.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(load_mask(photo, [tmp_path / "mask.png"])[0], STROKE)


def test_white_on_black_with_transparent_rest(photo: Photo) -> None:
    drawing = drawn("RGBA", (90, 60), (0, 0, 0, 255), (255, 255, 255, 255))
    drawing.paste((255, 255, 255, 0), (60, 0, 90, 60))
    np.testing.assert_array_equal(load_mask(photo, [photo_from_image(drawing)])[0], STROKE)


def test_holes_in_a_picture_are_filled(photo: Photo) -> None:
    ramp = np.arange(90 * 60 * 3, dtype=np.float32).reshape(60, 90, 3) % 251
    holes = np.dstack([ramp, np.where(STROKE, 0, 255)]).astype(np.uint8)
    np.testing.assert_array_equal(load_mask(photo, [photo_from_image(Image.fromarray(holes))])[0], STROKE)


def test_transparency_of_the_photo() -> None:
    pixels = np.dstack([np.full((60, 90, 3), 90), np.where(STROKE, 127, 128)]).astype(np.uint8)
    mask, _ = load_mask(photo_from_image(Image.fromarray(pixels)), ["alpha"])
    np.testing.assert_array_equal(mask, STROKE)
    with pytest.raises(MoebiusError, match="nothing in the photo is transparent"):
        load_mask(photo_from_image(Image.new("RGBA", (90, 60), (1, 2, 3, 255))), ["alpha"])


def test_sources_and_boxes_unite_then_invert(photo: Photo) -> None:
    drawing = photo_from_image(drawn("L", (90, 60), 0, 255))
    expected = STROKE.copy()
    expected[50:60, 80:90] = True  # clipped to the photo
    expected[0:5, 0:3] = True
    mask, _ = load_mask(photo, [drawing], ["80,50,30,30", "-2,0,5,5"])
    np.testing.assert_array_equal(mask, expected)
    mask, warnings = load_mask(photo, [drawing], invert=True)
    np.testing.assert_array_equal(mask, ~STROKE)
    assert "invert=False" in warnings[0]


@pytest.mark.parametrize("size", [(45, 30), (180, 120), (135, 90), (134, 90)])
def test_same_aspect_is_resized(photo: Photo, size: tuple[int, int]) -> None:
    mask, warnings = load_mask(photo, [photo_from_image(drawn("L", size, 0, 255))])
    assert (mask != STROKE).sum() <= 2 * 20 + 2 * 20  # a pixel along the border at most
    assert warnings == []


def test_reducing_a_mask_keeps_a_thin_line(photo: Photo) -> None:
    large = Image.new("L", (900, 600))
    ImageDraw.Draw(large).line((0, 301, 899, 301), 255)
    assert load_mask(photo, [photo_from_image(large)])[0][30].all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_mask_made_before_exif_rotation_is_turned(tmp_path: Path, orientation: int) -> None:
    """A program that ignores EXIF shows the stored pixels, 90 x 60, and makes a mask of that size."""
    stored = np.random.default_rng(0).integers(0, 40, (60, 90, 3), np.uint8)
    stored[STROKE] = 250
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "photo.png", exif=exif)
    Image.fromarray(STROKE).save(tmp_path / "mask.png")
    Image.fromarray(STROKE).save(tmp_path / "tagged.png", exif=exif)
    photo = read_photo(tmp_path / "photo.png")

    tagged, warnings = load_mask(photo, [tmp_path / "tagged.png"])  # carries the orientation itself
    np.testing.assert_array_equal(tagged, photo.rgb()[..., 0] == 250)
    assert warnings == []
    if orientation >= 5:
        mask, warnings = load_mask(photo, [tmp_path / "mask.png"])
        np.testing.assert_array_equal(mask, photo.rgb()[..., 0] == 250)
        assert len(warnings) == 1
        assert "before EXIF" in warnings[0]


def message(photo: Photo, *sources: Image.Image, boxes: tuple[str, ...] = (), invert: bool = False) -> str:
    with pytest.raises(MoebiusError) as caught:
        load_mask(photo, [photo_from_image(source) for source in sources], boxes, invert)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_masks_that_cannot_be_meant(photo: Photo) -> None:
    assert "no mask" in message(photo)
    assert "at most 76 of 255" in message(photo, Image.new("L", (90, 60), 76))
    assert "all white" in message(photo, Image.new("L", (90, 60), 255))
    assert "all white" in message(photo, boxes=("0,0,90,60",))
    assert "empty" in message(photo, Image.new("L", (90, 60), 255), invert=True)
    for size in [(90, 90), (60, 90), (120, 60), (2, 2)]:
        assert "never stretched" in message(photo, Image.new("1", size, 1))
    for box in ["1,2,3", "a,b,c,d", "1.5,2,3,4"]:
        assert "not x,y,w,h" in message(photo, boxes=(box,))
    for box in ["90,0,10,10", "0,-5,10,5", "5,5,0,9", "5,5,-2,9"]:
        assert "outside the photo" in message(photo, boxes=(box,))


def test_quarter_turned_mask_of_another_size_is_explained(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (90, 60)).save(tmp_path / "photo.jpg", exif=exif)
    photo = read_photo(tmp_path / "photo.jpg")
    assert "EXIF turns by a quarter" in message(photo, drawn("L", (180, 120), 0, 255))


def test_inverted_looking_masks_are_warned_about(photo: Photo) -> None:
    _, warnings = load_mask(photo, [photo_from_image(drawn("L", (90, 60), 255, 0))])
    assert len(warnings) == 1
    assert "invert=True" in warnings[0]
    large = Image.new("L", (90, 60))
    large.paste(255, (5, 5, 85, 55))  # 74 %, but well inside: a large object
    assert load_mask(photo, [photo_from_image(large)])[1] == []
