"""What Python programs hand over and get back: kinds of pictures, names of settings, diffusers' words."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

import mlx_moebius
from mlx_moebius import MoebiusError, MoebiusPipeline, Photo, Settings, read_photo

Array = np.ndarray[Any, Any]
STEPS: dict[str, Any] = {"num_steps": 2, "detail": False}


@pytest.fixture(scope="module")
def pipe() -> MoebiusPipeline:
    return MoebiusPipeline.from_pretrained("nano", "float32")


@pytest.fixture(scope="module")
def pixels() -> Array:
    rng = np.random.default_rng(0)
    ramp = np.linspace(60, 200, 60)[None, :, None] + rng.normal(0, 6, (50, 60, 3))
    return ramp.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def hole() -> Array:
    hole = np.zeros((50, 60), bool)
    hole[20:30, 25:40] = True
    return hole


@pytest.fixture(scope="module")
def filled(pipe: MoebiusPipeline, pixels: Array, hole: Array) -> Array:
    """What every way of asking gives."""
    return np.asarray(pipe(Image.fromarray(pixels), Image.fromarray(hole), **STEPS))


def test_every_kind_of_picture_gives_the_same_fill_in_its_own_kind(
    pipe: MoebiusPipeline, pixels: Array, hole: Array, filled: Array, tmp_path: Path
) -> None:
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    Image.fromarray(hole).save(tmp_path / "mask.png")
    from_path = pipe(str(tmp_path / "photo.png"), tmp_path / "mask.png", **STEPS)
    assert isinstance(from_path, Image.Image)
    assert np.array_equal(np.asarray(from_path), filled)
    from_array = pipe(pixels, hole, **STEPS)
    assert from_array.dtype == np.uint8
    assert np.array_equal(from_array, filled)
    from_photo = pipe(read_photo(tmp_path / "photo.png"), hole.astype(np.uint8), **STEPS)
    assert isinstance(from_photo, Photo)
    assert np.array_equal(from_photo.pixels, filled)
    assert np.array_equal(pipe(Image.fromarray(pixels), hole, output="np", **STEPS), filled)
    assert np.array_equal(np.asarray(pipe(pixels, hole, output="pil", **STEPS)), filled)
    many = pipe([pixels, pixels], [hole, hole], **STEPS)
    assert [type(each) for each in many] == [np.ndarray, np.ndarray]
    assert np.array_equal(many[1][~hole], pixels[~hole]) or np.array_equal(many[0], filled)


@pytest.mark.parametrize("shape", [(50, 60), (50, 60, 1), (50, 60, 2), (50, 60, 3), (50, 60, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays_keep_their_shape_and_depth(
    pipe: MoebiusPipeline, hole: Array, shape: tuple[int, ...], dtype: type
) -> None:
    top = np.iinfo(dtype).max
    array = np.random.default_rng(1).integers(top // 4, top // 2, shape, dtype=dtype)
    result = pipe(array, hole, num_steps=1, dilate=0, detail=False)
    assert (result.shape, result.dtype) == (shape, np.dtype(dtype))
    assert np.array_equal(result[:10], array[:10])  # far from the hole, all bits
    assert not np.array_equal(result, array)


def test_arrays_that_are_no_pictures_are_refused_in_one_line(pipe: MoebiusPipeline, pixels: Array, hole: Array) -> None:
    call: Any = pipe
    for wrong, said in (
        (pixels / 255, "uint8 or uint16, this one is float64: scale it"),
        (pixels[None], r"\[H, W\] or \[H, W, C\] .* \[1, 50, 60, 3\]: give several pictures as a list"),
        (pixels.transpose(2, 0, 1), r"this one is \[3, 50, 60\]"),
        (pixels[:0], "no pixels"),
        (mx.array(pixels), "not array"),
    ):
        with pytest.raises(MoebiusError, match=said):
            call(wrong, hole)


def test_sixteen_bits_are_not_quietly_lost_in_a_pil_image(pipe: MoebiusPipeline, pixels: Array, hole: Array) -> None:
    with pytest.raises(MoebiusError, match="16 bits a channel"):
        pipe(pixels.astype(np.uint16) * 257, hole, output="pil", **STEPS)


def test_a_pil_image_keeps_its_profile_and_exif(
    pipe: MoebiusPipeline, pixels: Array, hole: Array, tmp_path: Path
) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[271], exif[274] = "Maker", 6
    file = tmp_path / "photo.jpg"
    Image.fromarray(pixels).save(file, icc_profile=profile, exif=exif, quality=95)
    result = pipe(file, np.rot90(hole, -1), **STEPS)
    assert result.size == (50, 60)  # upright
    assert result.info["icc_profile"] == profile
    again = result.getexif()
    assert (again[271], again.get(274, 1)) == ("Maker", 1)


def test_a_pil_image_of_one_bit_or_with_a_palette_stays_so(pipe: MoebiusPipeline, pixels: Array, hole: Array) -> None:
    image = Image.fromarray(pixels)
    for given in (image.convert("1"), image.quantize(8)):
        result = pipe(given, hole, **STEPS)
        assert result.mode == given.mode
        before, after = (np.asarray(each.convert("RGB")).reshape(-1, 3) for each in (given, result))
        assert set(map(tuple, after)) <= set(map(tuple, before))


def test_all_settings_are_parameters(pipe: MoebiusPipeline) -> None:
    parameters = inspect.signature(MoebiusPipeline.__call__).parameters
    names = {each.name for each in fields(Settings)} - {"extend"}
    assert names <= set(parameters)
    assert all(parameters[name].default is None for name in names)


def test_settings_at_once_or_one_by_one(pipe: MoebiusPipeline, pixels: Array, hole: Array, filled: Array) -> None:
    settings = pipe.settings(**STEPS)
    assert isinstance(settings, Settings)
    assert np.array_equal(pipe(pixels, hole, settings=settings), filled)
    other = pipe(pixels, hole, settings=settings, seed=5)
    assert np.array_equal(other, pipe(pixels, hole, seed=5, **STEPS))
    assert not np.array_equal(other, filled)


def test_unknown_words_are_refused_in_one_line(pipe: MoebiusPipeline, pixels: Array, hole: Array) -> None:
    call: Any = pipe
    for word, said in (
        ("num_step", "did you mean num_steps?"),
        ("steps", "did you mean num_steps?"),
        ("prompt", "reads no text"),
        ("generator", "seed"),
        ("xyzzy", "there are "),
    ):
        with pytest.raises(MoebiusError, match=f"no parameter '{word}': .*{said}") as refused:
            call(pixels, hole, **{word: 1})
        assert "\n" not in str(refused.value)
    with pytest.raises(MoebiusError, match="no parameter 'num_step'"):
        pipe.settings(num_step=1)  # type: ignore[call-arg]
    with pytest.raises(MoebiusError, match="give one of them"):
        pipe(pixels, hole, num_steps=2, num_inference_steps=3)
    with pytest.raises(MoebiusError, match="num_steps must be a whole number"):
        pipe(pixels, hole, num_steps="many")  # type: ignore[call-overload]
    with pytest.raises(MoebiusError, match="output must be"):
        call(pixels, hole, output="pt")


def test_what_people_paste_from_diffusers(pipe: MoebiusPipeline, pixels: Array, hole: Array, filled: Array) -> None:
    image, mask = Image.fromarray(pixels), Image.fromarray(hole)
    seen = []

    def step_end(pipeline: MoebiusPipeline, step: int, timestep: int, kwargs: dict[str, Any]) -> dict[str, Any]:
        seen.append((pipeline is pipe, step, timestep, kwargs["latents"].shape))
        return kwargs

    result = pipe(
        image=image,
        mask_image=mask,
        num_inference_steps=2,
        guidance_scale=1.0,
        output_type="pil",
        callback_on_step_end=step_end,
        detail=False,
    )
    assert np.array_equal(result, filled)
    side = pipe.size // 8
    assert [(mine, step) for mine, step, *_ in seen] == [(True, 0), (True, 1)]
    assert seen[0][2] > seen[1][2]
    assert {shape[1:3] for *_, shape in seen} == {(side, side)}
    latents = pipe(image=image, mask_image=mask, num_inference_steps=2, output_type="latent")
    assert np.array_equal(latents, pipe(image, mask, num_steps=2, output="latents"))


@pytest.mark.slow
def test_latents_that_a_callback_returns_are_gone_on_from(pipe: MoebiusPipeline, pixels: Array, hole: Array) -> None:
    plain = pipe(pixels, hole, num_steps=3, output="latents")

    def zeroed(at: int) -> mx.array:
        def step_end(_: Any, step: int, timestep: int, kwargs: dict[str, Any]) -> dict[str, Any]:
            return {"latents": mx.zeros_like(kwargs["latents"])} if step == at else kwargs

        return pipe(pixels, hole, num_steps=3, output="latents", callback_on_step_end=step_end)

    assert np.array_equal(zeroed(9), plain)
    assert np.array_equal(zeroed(2), mx.zeros_like(plain))  # after the last step
    seen: list[mx.array] = []
    first = pipe(pixels, hole, num_steps=3, output="latents", callback=lambda step: seen.append(step.latents))
    assert np.array_equal(first, plain)
    changed = zeroed(1)
    assert not np.array_equal(changed, plain)
    assert not np.array_equal(changed, mx.zeros_like(plain))


def test_what_may_not_be_meant_is_a_warning(pipe: MoebiusPipeline, pixels: Array, hole: Array) -> None:
    with pytest.warns(UserWarning, match="looks inverted"):
        pipe(pixels, ~hole, **STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe(pixels, hole, **STEPS)


def test_many_photos_of_which_one_is_bad_name_it(pipe: MoebiusPipeline, pixels: Array, hole: Array) -> None:
    with pytest.raises(MoebiusError, match=r"image 1: .*empty"):
        pipe([pixels, pixels], [hole, hole & False], **STEPS)
    with pytest.raises(MoebiusError, match="2 images and 1 masks"):
        pipe([pixels, pixels], [hole], **STEPS)


def test_everything_that_people_use_is_exported() -> None:
    names = {"MoebiusError", "MoebiusPipeline", "Photo", "Settings", "fill", "load_mask", "read_photo", "write_photo"}
    assert names <= set(mlx_moebius.__all__)
    assert all(getattr(mlx_moebius, name) is not None for name in mlx_moebius.__all__)
    assert set(mlx_moebius.__all__) <= set(dir(mlx_moebius))
    with pytest.raises(AttributeError, match="no attribute 'BLAS'"):
        mlx_moebius.BLAS  # noqa: B018
