"""Latent inpainting on tensors: encode, denoise, decode. Knows nothing of files, photos or terminals.

Follows the official pipeline (`pipeline_moebius` of hustvl/Moebius): DDIM from the noised latents of the
clean image, classifier-free guidance between "background" and "foreground" tokens, posterior sampling in the VAE.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from mlx_moebius.errors import LESS, MORE, Change, MoebiusError
from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.networks.scheduler import Scheduler, Solver, clean_and_noise, solver_step
from mlx_moebius.networks.threads import prepare_thread
from mlx_moebius.networks.unet import BACKGROUND_TOKENS, FOREGROUND_TOKENS, Conditioning, UNet
from mlx_moebius.networks.vae import AutoencoderKL
from mlx_moebius.runtime import private_kernels


class Noise(NamedTuple):
    """All the randomness of a run: three arrays [B, h, w, C]."""

    start: mx.array
    image_posterior: mx.array
    masked_posterior: mx.array


class Encoded(NamedTuple):
    """What the network sees of a batch: latents [B, h, w, C], mask [B, h, w, 1], masked latents [B, h, w, C]."""

    latents: mx.array
    mask: mx.array
    masked_latents: mx.array


class Step(NamedTuple):
    """One finished step: `number` (from 1) of `total`, the latents after it and the clean ones that it implies."""

    number: int
    total: int
    timestep: int
    latents: mx.array
    clean: mx.array


class NewLatents(NamedTuple):
    """What a callback returns to go on from other latents [B, h, w, C]."""

    latents: mx.array


class NotFiniteError(MoebiusError):
    """The network's numbers overflow, which depends on the photo."""


def checked_finite(latents: mx.array) -> mx.array:
    """Return the latents unchanged. Raises NotFiniteError where they are not finite: such a fill is never written."""
    if not mx.isfinite(latents).all().item():
        raise NotFiniteError(
            "the network's numbers overflow",
            Change("guidance_scale", LESS),
            Change("num_steps", MORE),
            Change("dtype", "float32"),
        )
    return latents


def draw_noise(seeds: Sequence[int], parts: Sequence[int], size: int, channels: int, offset: float) -> Noise:
    """Noise for a batch, the same whatever the batching, the dtype or the device.

    Args:
        seeds: one per sample.
        parts: one per sample: the number of its crop in its photo (0, 1, ...). The posterior draws depend on this
            alone, so that an encoded photo serves all seeds.
        size: side of the latents.
        channels: of the latents.
        offset: scales a further draw per sample and channel, constant over the image (noise offset).
    """
    if not parts:
        return Noise(*(mx.zeros((0, size, size, channels)) for _ in range(3)))
    samples = []
    for seed, part in zip(seeds, parts, strict=True):
        rng = np.random.default_rng((seed, part))
        start = rng.standard_normal((size, size, channels), dtype=np.float32)
        start += offset * rng.standard_normal(channels, dtype=np.float32)
        image, masked = np.random.default_rng(part).standard_normal((2, size, size, channels), dtype=np.float32)
        samples.append((start, image, masked))
    return Noise(*(mx.array(np.stack(arrays)) for arrays in zip(*samples, strict=True)))


class Diffusion:
    """The two networks and the sampler of one model, with everything that stays constant between runs."""

    def __init__(self, unet: UNet, vae: AutoencoderKL, config: ModelConfig, dtype: mx.Dtype = mx.float32) -> None:
        """Take fused float32 networks. The U-Net then computes in `dtype`, the VAE stays in float32."""
        self.config = config
        self.dtype = dtype
        self.scheduler = Scheduler(config.scheduler)
        self.vae = vae
        self.unet = unet
        branches = [list(FOREGROUND_TOKENS), list(BACKGROUND_TOKENS)]  # unconditional first
        unet.compute_in(dtype)
        self._steps = {g: self._compile_step(unet.condition(mx.array(branches[-g:]))) for g in (1, 2)}
        mx.eval(unet.parameters(), vae.parameters())

    def _compile_step(self, conditioning: Conditioning) -> Callable[..., tuple[mx.array, mx.array, mx.array]]:
        """Compile one step as a single graph, guided where there are two branches. The weights become constants."""
        mx.eval(conditioning.layers)

        def step(
            latents: mx.array,
            before: mx.array,
            encoded_mask: mx.array,
            masked: mx.array,
            shifts: mx.array,
            scalars: mx.array,
            features: mx.array | None,
        ) -> tuple[mx.array, mx.array, mx.array]:
            guidance, alpha, *level = scalars
            x = mx.concatenate([latents, encoded_mask, masked], axis=-1)
            predicted, features = self.unet(x, shifts, conditioning, features)
            predicted = predicted.astype(mx.float32)
            if conditioning.branches == 2:
                unconditional, conditional = mx.split(predicted, 2)
                predicted = unconditional + guidance * (conditional - unconditional)
            clean, noise = clean_and_noise(self.config.scheduler.prediction_type, latents, predicted, alpha)
            return solver_step(clean, noise, before, alpha, *level), clean, features

        return mx.compile(step)

    def check_guidance(self, scale: float) -> None:
        """Raise MoebiusError when the model was trained with one branch only, and guidance asks for two."""
        if self.config.sampling.guidance_scale == 1 and scale != 1:
            raise MoebiusError(
                f"this model was trained without guidance, which cannot be {scale:g}", Change("guidance_scale", 1)
            )

    def encode(
        self, images: mx.array, masks: mx.array, latent_masks: mx.array, noise: Noise, strength: float = 0.0
    ) -> Encoded:
        """Latents of the images and of the images without their masked pixels, in one batch.

        Args:
            images: float32 [B, S, S, 3] in [-1, 1].
            masks: float32 [B, S, S, 1], 1 = fill.
            latent_masks: float32 [B, h, w, 1], 1 = fill.
            noise: its two posterior draws are used.
            strength: of the run. From 1 on it starts from noise alone, and zeros stand for the latents of the images.
        """
        prepare_thread()
        hidden = images * (1 - masks)
        if strength >= 1:
            masked = self.vae.sample(hidden, noise.masked_posterior)
            return Encoded(mx.zeros_like(masked), latent_masks, masked)
        both = mx.concatenate([images, hidden])
        draws = mx.concatenate([noise.image_posterior, noise.masked_posterior])
        latents, masked = mx.split(self.vae.sample(both, draws), 2)
        return Encoded(latents, latent_masks, masked)

    def denoise(
        self,
        encoded: Encoded,
        noise: Noise,
        num_steps: int,
        guidance_scale: float,
        strength: float,
        latents: mx.array | None = None,
        guidance_until: float = 1.0,
        solver: Solver = "ddim",
        reuse_features: int = 1,
    ) -> Generator[Step, mx.array | None, None]:
        """Run the sampler and yield every step; stop iterating to cancel.

        At strength 1 the run starts from pure noise, below 1 from the image's latents, noised to the first timestep;
        `latents` [B, h, w, C] replaces both. Guidance 1 runs one branch instead of two. The same holds for the steps
        after the share `guidance_until` of the run (an approximation, off at 1). `solver` is explained in `scheduler`.
        The network's lower resolutions are computed only every `reuse_features` steps (an approximation, off at 1).

        When a step is yielded, the next one is already being computed, so that the caller's work costs no time. A
        caller may `send` other latents: they replace the yielded step's. `send` returns that step with them, and the
        next step is computed again.

        Raises MoebiusError when no step would run, or when there are fewer timesteps than steps.
        """
        prepare_thread()
        timesteps = self.scheduler.checked_timesteps(num_steps, strength, solver)
        if reuse_features < 1:
            raise MoebiusError(f"features cannot serve {reuse_features} steps: 1 is exact, 2 is usual")
        if latents is None:
            noised = self.scheduler.add_noise(encoded.latents, noise.start, timesteps[0])
            latents = noise.start if strength >= 1 else noised
        shifts = self.unet.time_shifts(mx.array(timesteps))
        guided = 0 if guidance_scale == 1 else round(guidance_until * len(timesteps))
        pending: Step | None = None
        clean, features = latents, None
        for index, (timestep, *level) in enumerate(self.scheduler.levels(timesteps, solver)):
            step = partial(
                self._advance,
                encoded,
                self._steps[2 if index < guided else 1],
                shifts[index : index + 1],
                mx.array([guidance_scale, *level]),
                features,
            )
            after = step(latents, clean)
            if pending is not None:
                mx.eval(pending.latents)
                replaced = yield pending
                if replaced is not None:
                    after = step(replaced, clean)
                    yield pending._replace(latents=replaced)
            latents, clean, features = after
            if (index + 1) % reuse_features == 0 or index + 1 == guided:  # features of two branches do not serve one
                features = None
            pending = Step(index + 1, len(timesteps), timestep, latents, clean)
        assert pending is not None
        mx.eval(pending.latents)
        replaced = yield pending
        if replaced is not None:
            yield pending._replace(latents=replaced)

    def _advance(
        self,
        encoded: Encoded,
        step: Callable[..., tuple[mx.array, mx.array, mx.array]],
        shifts: mx.array,
        scalars: mx.array,
        features: mx.array | None,
        latents: mx.array,
        clean: mx.array,
    ) -> tuple[mx.array, mx.array, mx.array | None]:
        """Start to compute one step. Returns the latents, the clean latents and the features after it."""
        with private_kernels():
            after = step(latents, clean, encoded.mask, encoded.masked_latents, shifts, scalars, features)
            mx.async_eval(*after[:2])
        return after

    def decode(self, latents: mx.array) -> mx.array:
        """Latents [B, h, w, C] -> images [B, S, S, 3], about [0, 1], not clamped."""
        prepare_thread()
        return (self.vae.decode(latents / self.config.vae.scaling_factor) + 1) / 2
