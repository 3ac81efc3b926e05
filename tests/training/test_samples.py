"""What a run learns from: photos found and held out, holes, crops, and batches that follow from their numbers."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.networks.config import ModelConfig, UNetConfig
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.photos.save import write_photo
from mlx_moebius.training.holes import LARGEST, draw_hole
from mlx_moebius.training.objective import draw_timesteps
from mlx_moebius.training.photos import Decoder, Library, find_photos
from mlx_moebius.training.samples import Batch, Samples, draw_crop
from mlx_moebius.writing import write_png
from tests.support.studio import paint_photos

SIDE = 64
CONFIG = replace(ModelConfig(), unet=UNetConfig(sample_size=8))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return paint_photos(tmp_path / "photos", 12)


def samples(library: Library, seed: int = 0) -> Samples:
    return Samples(library.train, CONFIG, Decoder(pytest.fail, SIDE), seed)


def test_a_photo_is_held_out_by_its_content_alone(photos: Path) -> None:
    library = find_photos(photos, SIDE, 0.3)
    assert 0 < len(library.held_out) < 12
    assert len(library.train) + len(library.held_out) == 12
    kept = {photo.digest for photo in library.held_out}
    for number, photo in enumerate([*library.train, *library.held_out]):
        photo.path.rename(photos / f"renamed{number}.png")
    (photos / "inside").mkdir()
    shutil.move(photos / "renamed3.png", photos / "inside")
    assert {photo.digest for photo in find_photos(photos, SIDE, 0.3).held_out} == kept


def test_broken_and_small_photos_are_listed_and_skipped(photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    Image.new("RGB", (SIDE - 1, 500)).save(photos / "small.png")
    library = find_photos(photos, SIDE)
    assert len(library.skipped) == 2
    assert "broken.jpg" in library.skipped[0]
    assert "63 x 500" in library.skipped[1]


def test_a_photo_cut_short_is_reported_once_and_replaced_by_the_next(photos: Path) -> None:
    path = photos / "photo0.png"
    path.write_bytes(path.read_bytes()[:3000])
    said: list[str] = []
    library = find_photos(photos, SIDE, 0)
    found = Samples(library.train + library.held_out, CONFIG, Decoder(said.append, SIDE), 0)
    shown = [found.crop(number).rgb.shape for number in range(24)]
    assert set(shown) == {(SIDE, SIDE, 3)}
    assert len(said) == 1
    assert "photo0.png" in said[0]


def test_results_of_this_program_are_not_learnt_from(photos: Path) -> None:
    library = find_photos(photos, SIDE)
    known = {photo.digest for photo in library.train + library.held_out}
    for folder, mark, content in (
        ("filled", "moebius.jsonl", ""),
        ("rank", "moebius.rank1.jsonl", ""),
        ("run", "train.json", "{}"),
        ("model", "config.json", '{"model_type": "moebius"}'),
    ):
        paint_photos(photos / folder, 13)
        (photos / folder / mark).write_text(content)
    paint_photos(photos / "website", 13)
    (photos / "website" / "config.json").write_text('{"theme": "dark"}')
    source = read_photo(photos / "website" / "photo12.png")
    (photos / "website" / "photo12.png").unlink()
    write_photo(source, photos / "photo12_filled.png", provenance={"version": "0.1.0"})
    write_png(Image.new("RGB", (200, 200)), photos / "photo12_seeds.png", photos / "photo12_filled.png", False)
    library = find_photos(photos, SIDE)
    assert {photo.digest for photo in library.train + library.held_out} == known
    assert len(library.train + library.held_out) == 24
    assert [line.partition(":")[0].rpartition("/")[2] for line in library.skipped] == [
        "photo12_filled.png",
        "photo12_seeds.png",
    ]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_photos(tmp_path: Path, count: int) -> None:
    folder = paint_photos(tmp_path / "few", count)
    with pytest.raises(MoebiusError, match="at least 2"):
        find_photos(folder, SIDE)


def test_holes_have_all_sizes_and_leave_something() -> None:
    shares = [draw_hole(np.random.default_rng(seed), SIDE).mean() for seed in range(200)]
    assert 0 < min(shares) < 0.05
    assert 0.3 < max(shares) <= LARGEST
    outline = np.ones((9, 5), bool)
    holes = [draw_hole(np.random.default_rng(seed), SIDE, [outline]) for seed in range(50)]
    assert all(0 < hole.mean() <= LARGEST for hole in holes)


def test_crops_are_pieces_of_the_photo(photos: Path) -> None:
    library = find_photos(photos, SIDE)
    pixels = Decoder(pytest.fail, SIDE)(library.train[0])
    assert pixels is not None
    whole = np.lib.stride_tricks.sliding_window_view(pixels.rgb, (SIDE, SIDE), axis=(0, 1))
    native = 0
    for seed in range(20):
        crop = draw_crop(np.random.default_rng(seed), pixels, SIDE, [])
        either = (crop.rgb.transpose(2, 0, 1), crop.rgb[:, ::-1].transpose(2, 0, 1))
        native += any((whole == each).all(axis=(2, 3, 4)).any() for each in either)
    assert 5 <= native < 20


def test_own_masks_are_foreground(photos: Path) -> None:
    for path in list(photos.glob("*.png")):
        mask = np.zeros((96, 128), np.uint8)
        mask[30:60, 40:70] = 255
        Image.fromarray(mask).save(path.with_name(f"{path.stem}_mask.png"))
    library = find_photos(photos, SIDE)
    assert library.has_objects
    batch = samples(library).batch(0, 40)
    foreground = batch.ids[:, 0] == 10
    assert 5 < foreground.sum() < 35
    assert (batch.masks[foreground].mean(axis=(1, 2, 3)) > 0.02).all()


def test_a_batch_follows_from_its_number_and_the_seed(photos: Path) -> None:
    library = find_photos(photos, SIDE)
    whole = samples(library).batch(0, 6)
    ahead = samples(library).ahead(2, 2)
    later: list[Batch] = [next(ahead), next(ahead)]
    ahead.close()
    for mine, a, b in zip(whole, *later, strict=True):
        assert (mine[2:6] == np.concatenate([a, b])).all()
    assert not np.array_equal(whole.noise, samples(library, seed=1).batch(0, 6).noise)
    assert whole.images.shape == (6, SIDE, SIDE, 3)
    assert whole.latent_masks.shape == (6, 8, 8, 1)
    assert abs(whole.images).max() <= 1


def test_every_photo_comes_once_before_any_comes_again(photos: Path) -> None:
    library = find_photos(photos, SIDE)
    seen: list[Path] = []

    class Watching(Decoder):
        def __call__(self, photo):  # type: ignore[no-untyped-def]
            seen.append(photo.path)
            return super().__call__(photo)

    found = Samples(library.train, CONFIG, Watching(pytest.fail, SIDE), 0)
    for number in range(2 * len(library.train)):
        found.crop(number)
    assert sorted(seen[: len(library.train)]) == [photo.path for photo in library.train]
    assert sorted(seen[len(library.train) :]) == [photo.path for photo in library.train]


def test_most_timesteps_are_in_the_middle_and_some_at_the_end() -> None:
    t = draw_timesteps(np.random.default_rng(0), 20000, 1000)
    assert t.min() >= 0
    assert t.max() == 999
    assert abs((t >= 990).mean() - 0.0025) < 0.002
    assert 0.5 < ((t > 250) & (t < 750)).mean() < 0.75


def test_a_run_may_want_more_of_the_ends(photos: Path) -> None:
    library = find_photos(photos, SIDE)
    usual, uniform = (
        Samples(library.train, CONFIG, Decoder(pytest.fail, SIDE), 0, uniform_share=share).batch(0, 60).timesteps
        for share in (0, 1)
    )
    assert ((usual < 100) | (usual >= 900)).sum() < 6
    assert ((uniform < 100) | (uniform >= 900)).sum() >= 6


def test_another_photo_is_held_out_where_the_one_chosen_is_broken(photos: Path) -> None:
    chosen = find_photos(photos, SIDE, 0).held_out[0].path
    content = chosen.read_bytes()[:3000]
    cut = (content + bytes([a, b]) for a in range(256) for b in range(256))
    chosen.write_bytes(next(each for each in cut if hashlib.sha256(each).hexdigest().startswith("00")))
    library = find_photos(photos, SIDE, 0)
    assert chosen not in [photo.path for photo in library.train + library.held_out]
    assert len(library.train + library.held_out) == 11
    assert len(library.held_out) == 1
    assert len(library.skipped) == 1
    assert chosen.name in library.skipped[0]


def test_a_photo_that_has_become_too_small_is_replaced_by_the_next(photos: Path) -> None:
    library = find_photos(photos, SIDE)
    said: list[str] = []
    found = Samples(library.train, CONFIG, Decoder(said.append, SIDE), 0)
    Image.new("RGB", (SIDE - 1, 20)).save(library.train[0].path)
    library.train[1].path.unlink()
    for number in range(2 * len(library.train)):
        found.crop(number)
    assert len(said) == 2
    for photo in library.train[2:]:
        photo.path.unlink()
    with pytest.raises(MoebiusError, match="can be decoded any more"):
        Samples(library.train, CONFIG, Decoder(said.append, SIDE), 0).crop(0)


def test_nothing_transparent_is_learnt_from(photos: Path) -> None:
    for path in photos.iterdir():
        pixels = np.asarray(Image.open(path).resize((256, 192)).convert("RGBA")).copy()
        rows, columns = np.mgrid[:192, :256]
        pixels[(rows - 80) ** 2 + (columns - 120) ** 2 > 75**2] = 0
        pixels[..., :3][pixels[..., 3] > 0] |= 1  # black is transparent, and nothing else is
        Image.fromarray(pixels).save(path)
    sliver = np.zeros((192, 256, 4), np.uint8)
    sliver[:, :50] = 255
    Image.fromarray(sliver).save(photos / "sliver.png")
    library = find_photos(photos, SIDE)
    said: list[str] = []
    found = Samples([*library.train, *library.held_out], CONFIG, Decoder(said.append, SIDE), 0)
    crops = [found.crop(number).rgb for number in range(60)]
    assert min(int(crop.max(axis=-1).min()) for crop in crops) > 0
    assert len({crop.tobytes() for crop in crops}) > 50
    assert [line for line in said if "no window of 64 pixels of it is opaque" in line] == said
    assert len(said) <= 1
