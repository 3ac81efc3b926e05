"""The estimate of memory is above what MLX really takes, and not far above it."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

from mlx_moebius import MoebiusError, MoebiusPipeline
from mlx_moebius.memory import parse_size
from mlx_moebius.networks import footprint
from mlx_moebius.networks.config import ModelConfig, UNetConfig
from mlx_moebius.networks.footprint import MOST, crops_within, needed
from mlx_moebius.networks.unet import UNet
from mlx_moebius.photos.limits import bytes_taken
from mlx_moebius.photos.photo import photo_from_image


@pytest.mark.parametrize("windows", [1, 4])
def test_the_estimate_covers_what_a_run_takes(windows: int) -> None:
    pipeline = MoebiusPipeline.from_pretrained("nano")
    pipeline.batch_size = windows
    mask = np.zeros((300, 600), bool)
    for left in (40, 200, 360, 520):
        mask[100:130, left : left + 30] = True
    mx.clear_cache()
    noise = np.random.default_rng(0).integers(0, 256, (300, 600, 3), np.uint8)  # plain pictures need no network
    pipeline.inpaint(photo_from_image(Image.fromarray(noise)), mask, pipeline.settings(guidance_scale=1.0))
    peak = max(pipeline.stages.by_name[name].peak_bytes for name in ("encode", "denoise", "decode"))
    others = mx.get_active_memory()  # what other tests keep is not part of this run
    estimate = needed(pipeline.diffusion.config, windows)
    assert peak - others < estimate
    assert estimate < 3 * peak


def test_windows_grow_with_the_limit_up_to_what_is_useful() -> None:
    released = ModelConfig()
    counts = [crops_within(released, gigabytes << 30) for gigabytes in (3, 4, 6, 64)]
    assert counts == sorted(counts)
    assert counts[0] >= 1
    assert counts[-1] == MOST
    for count, gigabytes in zip(counts[:-1], (3, 4, 6), strict=True):
        assert needed(released, count) <= gigabytes << 30 < needed(released, count + 1)
    with pytest.raises(MoebiusError, match=r"the model needs 2\.\d\d GB and may take 1\.00 GB"):
        crops_within(released, 1 << 30)


def test_a_photo_leaves_fewer_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    released = ModelConfig()
    monkeypatch.setattr(footprint, "device_memory", lambda: 8 << 30)
    alone, beside = crops_within(released), crops_within(released, beside=bytes_taken(20_000, 11_000))
    assert crops_within(released, beside=bytes_taken(6000, 4000)) == alone  # within what the network leaves
    assert alone > beside >= 1
    assert needed(released, beside) + bytes_taken(20_000, 11_000) <= 8 << 30
    with pytest.raises(MoebiusError, match=r"may take 0\.00 GB"):
        crops_within(released, beside=9 << 30)
    assert crops_within(released, 4 << 30, beside=9 << 30) == crops_within(released, 4 << 30)  # as asked for


def test_sizes() -> None:
    assert parse_size("8GB") == parse_size("8") == parse_size("8g") == 8 << 30
    assert parse_size("900 MB") == 900 << 20
    for text in ("", "GB", "lots", "-1", "0", "1e99", "nan"):
        with pytest.raises(MoebiusError, match="is not a size"):
            parse_size(text)


def test_the_networks_shapes_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    class Counted(UNet):
        def __init__(self, config: UNetConfig) -> None:
            super().__init__(config)
            built.append(config)

    monkeypatch.setattr(footprint, "UNet", Counted)
    footprint.float32_bytes.cache_clear()
    for _ in range(2):
        crops_within(ModelConfig(), 64 << 30)
    assert built == [ModelConfig().unet]
