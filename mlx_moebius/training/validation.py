"""How well a network does on photos held out: always the same crops, holes, noise and timesteps."""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.networks.scheduler import (
    Scheduler,
    add_noise,
    clean_and_noise,
    noise_between,
    prediction_target,
    solver_step,
)
from mlx_moebius.networks.unet import UNet
from mlx_moebius.networks.vae import AutoencoderKL
from mlx_moebius.training.drawings import draw_sheet
from mlx_moebius.training.network import Arrays, put, trace
from mlx_moebius.training.objective import Timesteps, mean_squared_error, sampled_timesteps, starts_from_noise
from mlx_moebius.training.samples import Samples
from mlx_moebius.training.step import Encoder, Example

BANDS = (50, 250, 500, 750, 950)
COUNT = 8  # crops
CELLS = 64 * 64  # of latents that are judged at once: one crop of the released size
STEPS = 8  # of a fill at most, from pure noise and without guidance
SEED = 20260619
NOTABLE_LOSS, NOTABLE_PSNR = 0.01, 0.05  # least share and dB by which eight crops tell a difference


@dataclass(frozen=True, slots=True, eq=False)
class EvalResult:
    """Mean losses at the timesteps that are judged, PSNR within the holes in dB, and the fills, uint8 [N, S, S, 3]."""

    losses: dict[int, float]
    psnr: float
    fills: NDArray[np.uint8]

    @property
    def loss(self) -> float:
        """The mean over all timesteps."""
        return float(np.mean(list(self.losses.values())))

    def state(self) -> Arrays:
        """What a run keeps, to compare with later."""
        timesteps, losses = list(self.losses), list(self.losses.values())
        return {
            "before.fills": mx.array(self.fills),
            "before.timesteps": mx.array(timesteps, mx.int32),
            "before.scores": mx.array([self.psnr, *losses]),
        }

    @classmethod
    def from_state(cls, state: Arrays) -> EvalResult | None:
        """What `state` gave; None where a run has kept nothing. Raises ValueError for what is none."""
        if "before.fills" not in state:
            return None
        psnr, *losses = np.array(state["before.scores"]).astype(float).tolist()
        timesteps = np.array(state["before.timesteps"]).astype(int).tolist()
        return cls(dict(zip(timesteps, losses, strict=True)), psnr, np.array(state["before.fills"]))


def compared(before: EvalResult, now: EvalResult) -> str:
    """Whether a run helped, in one line: losses and PSNR of the held-out crops before it and now."""
    lower, gain = 1 - now.loss / before.loss, now.psnr - before.psnr
    votes = [(change > least) - (change < -least) for change, least in ((lower, NOTABLE_LOSS), (gain, NOTABLE_PSNR))]
    if not any(votes):
        verdict = "no difference worth the name"
    elif min(votes) >= 0:
        verdict = "it helped"
    elif max(votes) <= 0:
        verdict = "it did harm: keep the model that you had"
    else:
        verdict = "better by one, worse by the other: look at the fills"
    change = f"{abs(lower):.0%} {'lower' if lower >= 0 else 'higher'}"
    return (
        f"on {len(now.fills)} crops held out: loss {before.loss:.4f} before, {now.loss:.4f} now ({change}); "
        f"within holes {before.psnr:.2f} dB before, {now.psnr:.2f} dB now: {verdict}"
    )


class Validation:
    """The held-out crops, encoded once, to judge weights with."""

    def __init__(self, samples: Samples, vae: AutoencoderKL, config: ModelConfig, timesteps: Timesteps = "all") -> None:
        """`samples` are of held-out photos, with the seed SEED. "sampled" timesteps are judged instead of BANDS."""
        self.config, self.vae = config, vae
        sampled = sampled_timesteps(config)
        self.bands = tuple(sampled) if timesteps == "sampled" else BANDS
        self.start = sampled[0] if timesteps == "sampled" and starts_from_noise(config) else None
        self.kind = config.scheduler.prediction_type
        self.scheduler = Scheduler(config.scheduler)
        size = max(1, min(COUNT, CELLS // config.unet.sample_size**2))
        self.batches = [samples.batch(first, min(size, COUNT - first)) for first in range(0, COUNT, size)]
        encode = Encoder(vae, config)
        self.examples = [encode(batch) for batch in self.batches]

    def judge(self, weights: Arrays) -> EvalResult:
        """Losses and fills with these weights, BatchNorm as in use."""
        self.unet = UNet(self.config.unet)
        put(self.unet, weights)
        mx.eval(self.unet.parameters())
        losses = {}
        for t in self.bands:
            losses[t] = sum(len(example.x) * self._loss(example, t) for example in self.examples) / COUNT
        fills, errors = [], []
        for batch, example in zip(self.batches, self.examples, strict=True):
            for fill, image, hole in zip(np.asarray(self._fill(example)), batch.images, batch.masks, strict=True):
                truth = (image + 1) / 2
                pasted = np.where(hole > 0, np.clip(fill, 0, 1), truth)
                errors.append(float(((pasted - truth) ** 2).sum() / (3 * hole.sum())))
                fills.append(_bytes(pasted))
        del self.unet  # which would keep these weights beside those that are learnt on
        psnr = float(np.mean([-10 * np.log10(max(error, 1e-10)) for error in errors]))
        return EvalResult(losses, psnr, np.stack(fills))

    def sheet(self, before: EvalResult | None, now: EvalResult, step: int) -> Image.Image:
        """Hole, fill before the run, fill after `step` steps and truth of every crop."""
        truths = np.concatenate([(batch.images + 1) / 2 for batch in self.batches])
        holes = np.concatenate([batch.masks for batch in self.batches])
        columns = {"hole": _bytes(truths * (1 - holes) + 0.5 * holes)}
        if before is not None and before.fills.shape == now.fills.shape:
            columns["before"] = before.fills
        return draw_sheet(columns | {f"after step {step}": now.fills, "truth": _bytes(truths)})

    def _loss(self, example: Example, timestep: int) -> float:
        alpha = mx.array(self.scheduler.alphas_cumprod[[timestep]])
        noise = example.noise
        if timestep == self.start:
            noise = noise_between(example.clean, noise, alpha)
        predicted = self._predict(example, add_noise(example.clean, noise, alpha), timestep)
        return float(mean_squared_error(predicted, prediction_target(self.kind, example.clean, noise, alpha)))

    def _predict(self, example: Example, noisy: mx.array, timestep: int) -> mx.array:
        x = mx.concatenate([noisy, example.x[..., noisy.shape[-1] :]], axis=-1)
        return trace(self.unet, x, mx.array([timestep] * len(x)), example.ids)[-1]

    def _fill(self, example: Example) -> mx.array:
        """DDIM from the samples' noise down to pictures [N, S, S, 3], about [0, 1]."""
        last = self.config.scheduler.num_train_timesteps - 1
        timesteps = np.linspace(last, 0, min(STEPS, self.config.sampling.num_steps) + 1).round().astype(int)[:-1]
        latents = before = example.noise
        for timestep, alpha, *level in self.scheduler.levels(timesteps.tolist()):
            predicted = self._predict(example, latents, timestep)
            clean, noise = clean_and_noise(self.kind, latents, predicted, alpha)
            latents, before = solver_step(clean, noise, before, alpha, *level), clean
            mx.eval(latents)
        return (self.vae.decode(latents / self.config.vae.scaling_factor) + 1) / 2


def _bytes(pictures: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Pictures in [0, 1] in 8 bits."""
    return (pictures * 255).round().clip(0, 255).astype(np.uint8)
