"""Ledgers, configurations and recorded settings with anything in them: one line each, never a traceback."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlx_moebius.errors import MoebiusError
from mlx_moebius.folder import batch, ledger, review
from mlx_moebius.folder.batch import Job
from mlx_moebius.folder.run import fill_folder, find_pairs
from mlx_moebius.inpainting.pipeline import MoebiusPipeline
from mlx_moebius.inpainting.record import read_record
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.model_choice import ModelChoice
from mlx_moebius.models import BUNDLED
from mlx_moebius.networks.config import CONFIG_NAME, UNET_NAME, VAE_NAME, ModelConfig
from mlx_moebius.networks.footprint import crops_within
from mlx_moebius.networks.weights import load_diffusion
from mlx_moebius.photos.photo import photo_from_image
from mlx_moebius.photos.save import write_photo
from tests.faults.injectors import clock_set
from tests.support.pictures import picture

WRONG: list[Any] = [None, True, -1, 0, 1, 3, 1.5, 10**7, 10**400, float("nan"), float("inf"), "", "1", [], {}, [[]]]
WRONG += [{"a": 1}, [1] * 9, [32, 64, 128, 0], "../../x", "a\nb", [float("nan")] * 5, ["x"] * 4]
BOX = "8,8,12,10"
Run = Callable[[], int]


def crafted(sound: Any) -> Iterator[Any]:
    """JSON values in which one thing is wrong, everywhere once with everything, or missing."""
    text = json.dumps(sound)

    def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, each in inside:
            yield (*path, key)
            yield from paths(each, (*path, key))

    for path in paths(sound):
        for wrong in [*WRONG, paths]:  # the last one stands for nothing at all
            copy = json.loads(text)
            place = copy
            for key in path[:-1]:
                place = place[key]
            if wrong is paths:
                del place[path[-1]]
            else:
                place[path[-1]] = wrong
            yield copy


@pytest.fixture(scope="module")
def nano() -> MoebiusPipeline:
    return MoebiusPipeline.from_pretrained("nano")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.png")):
        picture("RGB", 40, 36, seed).save(folder / name)
    return folder


@pytest.fixture
def run(nano: MoebiusPipeline, album: Path, tmp_path: Path) -> Run:
    out = tmp_path / "out"
    settings = nano.settings(num_steps=2, guidance_scale=1.0, detail=False)

    def fill() -> int:
        pairing = find_pairs(album, [], [BOX], out, recursive=False, overwrite=False)
        return fill_folder(nano, Job(album, out, settings, (BOX,)), pairing, False, "lines")

    return fill


@pytest.mark.slow
def test_any_line_of_a_ledger_is_read_or_a_warning(run: Run, tmp_path: Path) -> None:
    assert run() == 0
    out = tmp_path / "out"
    sound = json.loads((out / ledger.NAME).read_text().splitlines()[0])
    sound["request"] = {}
    refused = 0
    for values in [*crafted(sound), *WRONG, "[" * 100_000]:
        line = values if isinstance(values, str) else json.dumps(values)
        (out / ledger.NAME).write_text(line.replace("\n", " ") + "\n")
        warnings: list[str] = []
        records = ledger.read(out, warnings.append)
        assert len(records) + len(warnings) == 1
        assert all(len(warning.splitlines()) == 1 and len(warning) < 300 for warning in warnings)
        if records:
            review.write(tmp_path / "photos", out, records.values())
        refused += len(warnings)
    assert refused > 200


def test_the_photo_of_an_unusable_line_is_redone(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    path = tmp_path / "out" / ledger.NAME
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{second}\n" + json.dumps(json.loads(first) | {"warnings": 3}) + "\n")
    capsys.readouterr()
    assert run() == 0
    said = capsys.readouterr().err
    assert "warning: moebius.jsonl, line 3, is no record (warnings must be several times text, not 3)" in said
    assert "2 done (1 in this run" in said
    assert len(path.read_text().splitlines()) == 2


def test_a_ledger_that_is_a_folder_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out" / ledger.NAME).mkdir(parents=True)
    with pytest.raises(MoebiusError, match=r"moebius\.jsonl could not be written: Is a directory"):
        run()


def test_a_clock_set_back_changes_nothing(run: Run, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (album / "b.png").read_bytes()
    (album / "b.png").write_bytes(whole[:100])
    with clock_set(batch, 2099):
        assert run() == 1
    (album / "b.png").write_bytes(whole)
    assert run() == 0
    capsys.readouterr()
    assert run() == 0
    assert "2 done (0 in this run" in capsys.readouterr().err


def model_folder(folder: Path, values: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name in (UNET_NAME, VAE_NAME):
        if not (folder / name).exists():
            (folder / name).symlink_to(BUNDLED["nano"] / name)
    (folder / CONFIG_NAME).write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize("share", [0.1, pytest.param(1, marks=pytest.mark.slow)])
def test_any_configuration_is_read_or_one_line(tmp_path: Path, share: float) -> None:
    rng = random.Random(0)
    sound = json.loads((BUNDLED["nano"] / CONFIG_NAME).read_text())
    refused: list[str] = []
    read = []
    everything = [*crafted(sound), *WRONG]
    for values in rng.sample(everything, round(share * len(everything))):
        folder = model_folder(tmp_path / "model", values)
        try:
            crops_within(ModelConfig.load(folder), 2**40)
            read.append(values)
        except MoebiusError as error:
            refused.append(str(error))
    assert len(refused) > 1000 * share
    photo = photo_from_image(picture("RGB", 40, 36))
    mask = photo.rgb()[..., 0] < 0
    mask[8:18, 8:20] = True
    loaded = 0
    for values in rng.sample(read, 4 if share < 1 else 12):  # of which about every second has sound weights
        try:
            diffusion = load_diffusion(model_folder(tmp_path / "model", values))
        except MoebiusError as error:
            refused.append(str(error))
            continue
        pipeline = MoebiusPipeline(diffusion, "crafted")
        pipeline.inpaint(photo, mask, pipeline.settings(num_steps=2, detail=False))
        loaded += 1
    assert loaded > (0 if share < 1 else 3)
    assert all(len(line.splitlines()) == 1 for line in refused)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [("unet", "layers_per_block", 10_000_000), ("unet", "layers_per_block", 60), ("vae", "layers_per_block", 60)],
)
def test_a_network_larger_than_its_weights_is_refused_before_it_is_built(
    tmp_path: Path, part: str, name: str, value: int
) -> None:
    sound = json.loads((BUNDLED["nano"] / CONFIG_NAME).read_text())
    sound[part][name] = value
    with pytest.raises(
        MoebiusError, match=r"must be a whole number from 1 to 64|describes takes [0-9]+ bytes at least"
    ):
        ModelConfig.load(model_folder(tmp_path / "model", sound))


def test_any_recorded_settings_are_used_or_one_line(nano: MoebiusPipeline, tmp_path: Path) -> None:
    photo = photo_from_image(picture("RGB", 40, 36))
    mask = photo.rgb()[..., 0] < 0
    mask[8:18, 8:20] = True
    settings = nano.settings(num_steps=2, detail=False)
    sound = nano.provenance(settings, nano.inpaint(photo, mask, settings))
    refused: list[str] = []
    names = ("model", "settings", "dtype", "quality", "batch_size", "unet_sha256")
    for values in [*crafted({name: sound[name] for name in names}), *({"settings": w} for w in WRONG)]:
        path = tmp_path / "filled.png"
        write_photo(photo, path, provenance={"version": "0.1.0"} | values)
        try:
            earlier = read_record(path)
            assert isinstance(nano.settings(**earlier.settings), Settings)
        except MoebiusError as error:
            refused.append(str(error))
    assert len(refused) > 250
    assert all(len(line.splitlines()) == 1 for line in refused)


@pytest.mark.parametrize("model", ["places2", "someone/elses", "no model at all", "../../x"])
def test_a_file_does_not_decide_what_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.setenv("MLX_MOEBIUS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "filled.png"
    photo = photo_from_image(picture("RGB", 40, 36))
    write_photo(photo, path, provenance={"version": "0.1.0", "model": model, "settings": {"seed": 1}})
    choice = ModelChoice(None, None, None, None, {}, read_record(path))
    with pytest.raises(MoebiusError, match=r"is not on this machine: give --model|unknown model"):
        choice.load()
    pipeline, settings = ModelChoice("nano", None, None, None, {}, read_record(path)).load()
    assert (pipeline.name, settings.seed) == ("nano", 1)


@pytest.mark.parametrize("name", ["guidance_scale", "noise_offset", "strength", "context", "guidance_until"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 10**400, "1", None, True])
def test_numbers_that_are_none_are_refused(name: str, value: Any) -> None:
    with pytest.raises(MoebiusError, match=f"{name} must be a number from"):
        Settings(**{name: value})


def test_latents_that_overflow_are_an_error_and_never_a_file(
    nano: MoebiusPipeline, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = photo_from_image(picture("RGB", 40, 36))
    mask = photo.rgb()[..., 0] < 0
    mask[8:18, 8:20] = True
    sound = MoebiusPipeline.draw_noise
    monkeypatch.setattr(
        MoebiusPipeline, "draw_noise", lambda *given: (n := sound(*given))._replace(start=n.start * float("inf"))
    )
    with pytest.raises(MoebiusError, match="overflow"):
        nano.inpaint(photo, mask, nano.settings(num_steps=2))
    with pytest.raises(MoebiusError, match="overflow"):
        nano(picture("RGB", 40, 36), picture("L", 40, 36).point(lambda v: 255 * (v > 128)), output="latents")
    assert run() == 1
    assert not list((tmp_path / "out").glob("*.png"))
    assert all("overflow" in record["error"] for record in ledger.read(tmp_path / "out").values())


def test_nothing_is_asked_of_a_folder_that_only_looks_like_a_model(tmp_path: Path) -> None:
    shutil.copytree(BUNDLED["nano"], tmp_path / "model")
    (tmp_path / "model" / CONFIG_NAME).write_text("[" * 100_000)
    with pytest.raises(MoebiusError, match="is not a model configuration"):
        ModelConfig.load(tmp_path / "model")
