"""One step of the released network on this machine."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.training.start import new_unet
from mlx_moebius.training.step import Example, Recipe, Trainer

LIMIT = 6.0e9  # measured: 5.91e9, of which weights, moments and average take 3.6e9


@pytest.mark.slow
def test_a_step_of_the_released_size_fits_a_machine_with_16_gigabytes() -> None:
    config = ModelConfig()
    trainer = Trainer(new_unet(config.unet, 0), config, Recipe(checkpoint=True))
    rng = np.random.default_rng(0)
    shape = (1, config.unet.sample_size, config.unet.sample_size)
    x, clean, noise = (mx.array(rng.standard_normal((*shape, c), dtype=np.float32)) for c in (9, 4, 4))
    example = Example(x, mx.array([500]), mx.array([list(range(10))]), clean, noise, mx.array([0.3]))
    trainer.average = {name: array + 0 for name, array in trainer.average.items()}  # apart, as after a first step
    mx.eval(trainer.parameters, trainer.moments, trainer.average, example)
    mx.clear_cache()
    mx.reset_peak_memory()
    learned = trainer.advance([example], 1e-5)
    assert np.isfinite(learned.loss)
    assert trainer.step == 1
    assert mx.get_peak_memory() < LIMIT
