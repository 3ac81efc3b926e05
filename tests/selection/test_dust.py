"""Dust is found where it is alone on calm ground, and eyes, letters and stars are not taken for it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mlx_moebius.__main__ import main
from mlx_moebius.benchmark.drawn import full_of_dots
from mlx_moebius.benchmark.learn_dust import learn
from mlx_moebius.benchmark.painted import dust_layer, paint_specks
from mlx_moebius.benchmark.selecting import score_specks
from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.photo import photo_from_image, read_photo
from mlx_moebius.selection.dust import find_spots, spots_mask
from mlx_moebius.selection.request import select
from mlx_moebius.selection.sensor import sensor_dust

from .scenes import meadow, sky


def test_specks_on_calm_ground_are_found_and_covered() -> None:
    painted = paint_specks(sky(500, 700), 15, np.random.default_rng(2))
    found = find_spots(painted.rgb)
    score = score_specks(painted, found)
    assert score["of_visible"] >= 0.9
    assert score["false"] == 0
    mask = spots_mask(painted.rgb, found)
    changed = np.abs(painted.rgb.astype(int) - sky(500, 700)).max(axis=-1) >= 20
    assert mask[changed].mean() > 0.9
    assert mask.mean() < 0.02


def landscape() -> np.ndarray:
    return np.asarray(Image.open(Path(__file__).parents[2] / "examples" / "landscape.png").convert("RGB"))


def test_more_sensitive_means_more_spots() -> None:
    rgb = paint_specks(landscape(), 20, np.random.default_rng(2)).rgb
    counts = [len(find_spots(rgb, sensitivity)) for sensitivity in (0.0, 0.5, 1.0)]
    assert counts[0] < counts[1] <= counts[2]


def test_specks_over_a_photograph_are_told_from_what_it_shows() -> None:
    painted = [paint_specks(landscape(), 20, np.random.default_rng(seed)) for seed in (2, 3)]
    scores = [score_specks(each, find_spots(each.rgb)) for each in painted]
    assert np.mean([score["recall"] for score in scores]) >= 0.3
    assert sum(score["false"] for score in scores) == 0


def test_another_sensitivity_of_the_same_photo_gives_what_it_gives_alone() -> None:
    image = Image.fromarray(paint_specks(landscape(), 20, np.random.default_rng(2)).rgb)
    photo = photo_from_image(image)
    masks = [select(photo, [f"dust:{sensitivity}"]) for sensitivity in (1, 0, 0.5)]
    alone = [select(photo_from_image(image), [f"dust:{sensitivity}"]) for sensitivity in (1, 0, 0.5)]
    assert all(np.array_equal(a, b) for a, b in zip(masks, alone, strict=True))
    assert masks[0].sum() > masks[2].sum() > masks[1].sum() > 0


def test_the_grain_of_film_is_no_dust() -> None:
    grain = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, (300, 400)).astype(np.float32), (0, 0), 1)
    grey = 140 + 6 * grain / grain.std()
    assert find_spots(np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8)) == []


def test_what_dust_looks_like_is_learnt_from_examples() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(5, 3, (2000, 4)).astype(np.float32)
    answers = ((rows[:, 0] > 5) & (rows[:, 1] > 5)).astype(np.float32)
    found = learn(rows, answers, epochs=200)
    assert ((found.of(rows) > 0) == answers).mean() > 0.95
    assert np.array_equal(learn(rows, answers, epochs=3).of(rows), learn(rows, answers, epochs=3).of(rows))


def test_eyes_letters_and_stars_are_no_dust() -> None:
    generator = np.random.default_rng(0)
    face = np.full((240, 320, 3), (205, 170, 150), np.uint8)
    for x in (110, 210):
        cv2.ellipse(face, (x, 110), (26, 13), 0, 0, 360, (240, 240, 240), -1)
        cv2.circle(face, (x, 110), 11, (80, 60, 40), -1)
        cv2.circle(face, (x, 110), 5, (10, 10, 10), -1)
        cv2.circle(face, (x + 3, 106), 2, (255, 255, 255), -1)
    page = np.full((240, 640, 3), 245, np.uint8)
    cv2.putText(
        page, "i.e. jilted; i, j. Minimum!", (10, 90), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (20, 20, 20), 2, cv2.LINE_AA
    )
    night = np.full((300, 400, 3), 12, np.uint8)
    for x, y, tone in zip(*generator.integers(5, 295, (2, 40)), generator.integers(60, 255, 40), strict=True):
        cv2.circle(night, (int(x), int(y)), 1, (int(tone),) * 3, -1, cv2.LINE_AA)
    for scene in (face, page, night):
        grain = generator.normal(0, 1.5, (*scene.shape[:2], 1))
        noisy = (cv2.GaussianBlur(scene, (0, 0), 0.7) + grain).clip(0, 255).astype(np.uint8)
        assert find_spots(noisy) == []


def seen_by_a_camera(scene: np.ndarray, seed: int) -> np.ndarray:
    grain = np.random.default_rng(seed).normal(0, 1.5, (*scene.shape[:2], 1))
    return (cv2.GaussianBlur(scene, (0, 0), 0.7) + grain).clip(0, 255).astype(np.uint8)


def test_dots_in_a_row_and_signs_among_letters_are_print() -> None:
    page = np.full((200, 420, 3), (215, 225, 200), np.uint8)
    for x in range(150, 330, 22):
        cv2.circle(page, (x, 40), 2, (60, 50, 40), -1, cv2.LINE_AA)
    for x, text in ((20, "12:45"), (130, "*"), (240, "9.04"), (350, "n.a.")):
        for y in (90, 150):
            cv2.putText(page, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (60, 50, 40), 1, cv2.LINE_AA)
            cv2.circle(page, (x + 25, y + 24), 3, (60, 50, 40), -1, cv2.LINE_AA)
    assert find_spots(seen_by_a_camera(page, 1)) == []


@pytest.mark.parametrize("across", [8, 12, 20])
def test_the_eyes_of_people_and_animals_afar_are_no_dust(across: int) -> None:
    faces = np.full((160, 240, 3), (190, 165, 150), np.uint8)
    cv2.ellipse(faces, (60, 70), (across, across // 2), 0, 0, 360, (240, 235, 235), -1, cv2.LINE_AA)
    cv2.circle(faces, (60, 70), round(0.4 * across), (70, 60, 50), -1, cv2.LINE_AA)
    cv2.circle(faces, (60, 70), round(0.2 * across), (10, 10, 10), -1, cv2.LINE_AA)
    cv2.circle(faces, (170, 70), round(0.6 * across), (90, 75, 65), -1, cv2.LINE_AA)  # a dark eye with a light in it
    cv2.circle(faces, (170 + across // 5, 70 - across // 5), max(1, across // 8), (250, 250, 250), -1, cv2.LINE_AA)
    assert find_spots(seen_by_a_camera(faces, 2)) == []


def test_the_specks_of_a_very_dusty_scan_are_no_print() -> None:
    painted = paint_specks(np.full((400, 600, 3), 200, np.uint8), 60, np.random.default_rng(1))
    grain = np.random.default_rng(3).normal(0, 2, (400, 600, 1))
    found = find_spots((painted.rgb + grain).clip(0, 255).astype(np.uint8))
    hit = np.logical_or.reduce(painted.found_by(found))
    assert hit[painted.seen].mean() >= 0.85


@pytest.mark.slow
def test_large_stars_and_letters_are_no_dust_and_grass_hardly() -> None:
    night, page = islice(full_of_dots(np.random.default_rng(9)), 2)
    assert find_spots(night) == []
    assert len(find_spots(page)) <= 2
    assert len(find_spots(meadow(400, 700))) <= 3


def camera_photos(folder: Path, count: int) -> np.ndarray:
    """Photos of one camera, every third one upright, with the same dust on its sensor; returns the dust's places."""
    dust = dust_layer((300, 420), 6, np.random.default_rng(5))
    for number in range(count):
        scene = sky(300, 420, number) if number % 2 else meadow(300, 420, number)
        cv2.circle(scene, (40 + 30 * number, 60), 3, (10, 10, 10), -1)  # a bird
        image = Image.fromarray(np.rint(scene * dust.rgb).astype(np.uint8))
        exif = Image.Exif()
        exif[271], exif[272] = "Maker", "Camera"
        if number % 3 == 0:
            exif[274] = 6
        image.save(folder / f"{number}.png", exif=exif)
    return dust.places[dust.contrasts >= 12]


def test_what_stays_at_its_place_of_the_sensor_is_dust_and_a_bird_is_not(tmp_path: Path) -> None:
    places = camera_photos(tmp_path, 10)
    files = sorted(tmp_path.glob("*.png"))
    found = sensor_dust(files)
    flat = np.array([(spot.x, spot.y) for spot in found[tmp_path / "1.png"]])
    assert (np.abs(flat[:, None] - places).max(axis=-1).min(axis=0) <= 6).mean() >= 0.8
    assert not any(abs(x - 70) < 6 and abs(y - 60) < 6 for x, y in flat)
    turned = np.array([(spot.x, spot.y) for spot in found[tmp_path / "3.png"]])  # 90 degrees to the right
    assert sorted((299 - y, x) for x, y in flat.tolist()) == sorted(map(tuple, turned.tolist()))
    assert sensor_dust(files[:5]) == {}


def test_a_folder_gets_a_mask_for_each_photo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    album = tmp_path / "album"
    album.mkdir()
    camera_photos(album, 9)
    (album / "text.jpg").write_text("no photo")
    (album / "short.png").write_bytes((album / "1.png").read_bytes()[:9000])
    with pytest.raises(SystemExit) as ended:
        main(["select", str(album), "--dust"])
    assert not ended.value.code
    masks = sorted((tmp_path / "album_masks").iterdir())
    assert [mask.name for mask in masks] == [f"{number}.png_mask.png" for number in range(9)]
    photo = read_photo(album / "3.png")
    assert Image.open(tmp_path / "album_masks" / "3.png_mask.png").size == (photo.width, photo.height)
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 9
    assert "text.jpg is not a JPEG" in told.err
    assert "short.png" in told.err


def test_dust_of_a_sensor_needs_a_folder_and_its_sensitivity_has_bounds(tmp_path: Path) -> None:
    Image.fromarray(sky(60, 80)).save(tmp_path / "one.png")
    photo = read_photo(tmp_path / "one.png")
    with pytest.raises(MoebiusError, match="give their folder"):
        select(photo, ["sensor"])
    with pytest.raises(MoebiusError, match="is 0 to 1, not 3"):
        select(photo, ["dust:3"])
