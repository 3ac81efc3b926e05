"""What is masked never reaches the result: whatever is painted there, the same picture comes out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius import MoebiusPipeline
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.photo import Photo

PHOTOS = Path(__file__).parents[2] / "examples" / "windows"
MAGENTA, GREEN = (255, 0, 255), (0, 255, 0)
LAWN = np.asarray(Image.open(PHOTOS / "lawn.jpg").convert("RGB"))[300:450, 200:440]
ROWS, COLUMNS = np.mgrid[: LAWN.shape[0], : LAWN.shape[1]]
WINDOWS = "a line through several crops"
HOLES = {
    WINDOWS: np.abs(ROWS - 20 - COLUMNS * 0.4) < 4,
    "a large part, reduced for the network": (ROWS - 75) ** 2 + (COLUMNS - 120) ** 2 < 45**2,
    "pieces side by side": (ROWS // 12 % 3 == 1) & (COLUMNS // 16 % 3 == 1),
    "at two edges": (ROWS < 20) & (COLUMNS < 90) | (ROWS > 140),
}


@pytest.fixture(scope="module")
def pipeline() -> MoebiusPipeline:
    return MoebiusPipeline.from_pretrained("nano")


def painted(mask: Mask, colour: tuple[int, int, int], mode: str = "RGB") -> Photo:
    """The lawn with something in the way."""
    pixels = LAWN.copy()
    pixels[mask] = colour
    deep = mode.endswith(";16")
    values: NDArray[np.generic] = pixels.astype(np.uint16) * 257 if deep else pixels
    plain = "L" if mode == "I;16" else mode.removesuffix(";16")
    most = 65535 if deep else 255
    if plain in ("L", "LA"):
        values = (values @ np.array([0.3, 0.5, 0.2])).astype(values.dtype)[..., None]
    if plain in ("LA", "RGBA"):
        values = np.concatenate([values, np.full((*mask.shape, 1), most, values.dtype)], axis=-1)
    if plain == "CMYK":
        values = np.asarray(Image.fromarray(pixels).convert("CMYK"))
    return Photo(values[..., 0] if plain == "L" else values, mode)


def filled(
    pipeline: MoebiusPipeline, photo: Photo, mask: Mask, extend: tuple[int, int, int, int] | None = None
) -> Photo:
    return pipeline.inpaint(photo, mask, pipeline.settings(dilate=0, extend=extend)).photo


@pytest.mark.parametrize(
    "kind", [kind if kind == WINDOWS else pytest.param(kind, marks=pytest.mark.slow) for kind in HOLES]
)
def test_what_is_painted_under_the_mask_changes_nothing(pipeline: MoebiusPipeline, kind: str) -> None:
    mask = HOLES[kind]
    first, second = (filled(pipeline, painted(mask, colour), mask).pixels for colour in (MAGENTA, GREEN))
    assert np.array_equal(first, second)
    own = first[mask].astype(int)
    assert (np.minimum(own[:, 0], own[:, 2]) - own[:, 1]).max() < 60  # a lawn has no magenta


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", ["RGB;16", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("L", "RGBA", "CMYK", "I;16", "LA;16"))]
)
def test_nor_in_any_mode_and_depth(pipeline: MoebiusPipeline, mode: str) -> None:
    mask = HOLES[WINDOWS] & (COLUMNS < 150)
    first, second = (filled(pipeline, painted(mask, colour, mode), mask).pixels for colour in (MAGENTA, GREEN))
    assert np.array_equal(first, second)


def test_nor_under_what_is_transparent(pipeline: MoebiusPipeline) -> None:
    hidden = (ROWS - 75) ** 2 + (COLUMNS - 120) ** 2 > 70**2
    mask = (ROWS - 75) ** 2 + (COLUMNS - 180) ** 2 < 20**2
    results = []
    for colour in (MAGENTA, GREEN):
        photo = painted(mask | hidden, colour, "RGBA")
        photo.pixels[hidden, 3] = 0
        results.append(filled(pipeline, photo, mask))
    seen = ~hidden
    assert np.array_equal(results[0].pixels[seen], results[1].pixels[seen])
    own = results[0].pixels[mask & seen].astype(int)
    assert (np.minimum(own[:, 0], own[:, 2]) - own[:, 1]).max() < 60


@pytest.mark.slow
def test_nor_in_a_wider_frame(pipeline: MoebiusPipeline) -> None:
    mask = HOLES["at two edges"]
    first, second = (
        filled(pipeline, painted(mask, colour), mask, extend=(0, 0, 40, 0)).pixels for colour in (MAGENTA, GREEN)
    )
    assert first.shape == (150, 280, 3)
    assert np.array_equal(first, second)


def test_no_dark_dots_where_crops_meet_over_a_sky(pipeline: MoebiusPipeline) -> None:
    rng = np.random.default_rng(5)
    sky = 170 + 20 * np.sin(COLUMNS / 90 + ROWS / 160)[..., None] + rng.normal(0, 3, (*ROWS.shape, 3))
    truth = sky.clip(0, 255).astype(np.uint8)
    wire, mask = (np.abs(ROWS - 20 - COLUMNS * 0.4) < width for width in (3, 5))
    pixels = truth.copy()
    pixels[wire] = 0
    result = filled(pipeline, Photo(pixels, "RGB"), mask).pixels
    assert np.abs(result.astype(float) - truth).mean(axis=-1)[mask].max() < 25
    assert np.array_equal(result[~mask], pixels[~mask])


def test_a_cut_out_has_no_glow_at_its_transparent_border(pipeline: MoebiusPipeline) -> None:
    """White stored under the transparency, a spot removed at the border: nothing lighter or darker comes in."""
    hidden = (ROWS - 75) ** 2 + (COLUMNS - 120) ** 2 > 70**2
    mask = (ROWS - 75) ** 2 + (COLUMNS - 180) ** 2 < 15**2
    photo = painted(hidden, (255, 255, 255), "RGBA")
    photo.pixels[hidden, 3] = 0
    for stored in (0, 255):
        pixels = photo.pixels.copy()
        pixels[hidden, :3] = stored
        pixels[mask, :3] = 128
        result = filled(pipeline, replace(photo, pixels=pixels), mask).pixels
        own = result[mask & ~hidden, :3].mean(axis=-1)
        lawn = LAWN[~hidden & ~mask].mean(axis=-1)
        assert own.min() >= lawn.min() - 15
        assert own.mean() == pytest.approx(lawn.mean(), abs=15)
        assert own.max() <= lawn.max() + 15
