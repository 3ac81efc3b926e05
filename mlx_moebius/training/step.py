"""One step: photos to latents, loss, gradients, averaged over accumulation and over machines, then the optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.networks.kernels import on_cpu
from mlx_moebius.networks.scheduler import Scheduler
from mlx_moebius.networks.unet import UNet
from mlx_moebius.networks.vae import AutoencoderKL
from mlx_moebius.networks.weights import DTYPES
from mlx_moebius.training.network import (
    Arrays,
    batch_statistics,
    cast,
    flat,
    put,
    set_live,
    trace,
    updated_statistics,
)
from mlx_moebius.training.objective import (
    Timesteps,
    add_noise,
    mean_squared_error,
    noise_between,
    sampled_timesteps,
    starts_from_noise,
    target,
)
from mlx_moebius.training.optimisers import clip, global_norm, make_optimiser, moving_average
from mlx_moebius.training.ranks import Ranks
from mlx_moebius.training.samples import Batch

CLIP = 1.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network learns, apart from data and length of the run."""

    optimizer: str = "adamw"
    grad_accumulation: int = 1
    ema: float = 0.999
    live: bool = False
    dtype: str = "float32"
    train_embedding: bool = True
    checkpoint: bool = False
    timesteps: Timesteps = "all"


class Example(NamedTuple):
    """What the network sees, and the latents and noise behind it: a batch after the VAE."""

    x: mx.array
    timesteps: mx.array
    ids: mx.array
    clean: mx.array
    noise: mx.array
    alpha: mx.array


class Learned(NamedTuple):
    """What a step says about itself: the loss before it, and the gradients' norm before clipping."""

    loss: float
    norm: float


class Encoder:
    """From batches of pictures to what the network sees."""

    def __init__(self, vae: AutoencoderKL, config: ModelConfig, timesteps: Timesteps = "all") -> None:
        """With "sampled" timesteps the first one's input is noise alone, where sampling begins with that."""
        self.vae, self.config = vae, config
        self.start = sampled_timesteps(config)[0] if timesteps == "sampled" and starts_from_noise(config) else None
        self.alphas = Scheduler(config.scheduler).alphas_cumprod

    def __call__(self, batch: Batch) -> Example:
        """Draws from the posteriors of the pictures and of the pictures without their masked pixels, noised."""
        images, masks = mx.array(batch.images), mx.array(batch.masks)
        mean, logvar = self.vae.encode(mx.concatenate([images, images * (1 - masks)]))
        draws = mx.array(np.concatenate([batch.image_posterior, batch.masked_posterior]))
        clean, masked = mx.split((mean + mx.exp(0.5 * logvar) * draws) * self.config.vae.scaling_factor, 2)
        noise, alpha = mx.array(batch.noise), mx.array(self.alphas[batch.timesteps])
        if self.start is not None:
            first = mx.array(batch.timesteps == self.start)[:, None, None, None]
            noise = mx.where(first, noise_between(clean, noise, alpha), noise)
        x = mx.concatenate([add_noise(clean, noise, alpha), mx.array(batch.latent_masks), masked], axis=-1)
        example = Example(x, mx.array(batch.timesteps), mx.array(batch.ids), clean, noise, alpha)
        mx.eval(example)
        return example


class Learner:
    """A network that learns: float32 masters, moments and moving average, and the functions that advance them.

    `parameters` are trained; `rest` is not, such as running statistics; `average` covers both.
    """

    def __init__(self, unet: UNet, config: ModelConfig, recipe: Recipe, ranks: Ranks | None = None) -> None:
        """Takes an unfused float32 network with its weights; gradients are averaged between `ranks`."""
        self.unet, self.config, self.recipe, self.ranks = unet, config, recipe, ranks
        self.kind = config.scheduler.prediction_type
        if not recipe.train_embedding:
            unet.embedding_layer.freeze()
        set_live(unet, recipe.live)
        unet.checkpointed = recipe.checkpoint
        self.step = 0
        self.parameters = flat(unet.trainable_parameters())
        self.rest = {name: v for name, v in flat(unet.parameters()).items() if name not in self.parameters}
        self.average = {**self.parameters, **self.rest} if recipe.ema else {}
        self.optimiser = make_optimiser(recipe.optimizer, self.parameters)
        self.moments = self.optimiser.start(self.parameters)
        # On the CPU a C++ compiler would take a minute; parts that are computed one after the other stay apart.
        compiled: Callable[..., Any] = (lambda f: f) if on_cpu() or recipe.checkpoint else mx.compile
        self._gradients = compiled(self._loss_and_gradients)
        self._update = compiled(self._updated)

    def weights(self) -> Arrays:
        """All weights as they should be used: the moving average where there is one."""
        return dict(self.average) if self.recipe.ema else {**self.parameters, **self.rest}

    def advance(self, examples: list[Example], learning_rate: float) -> Learned:
        """One update from `grad_accumulation` batches. The state is left as it was when a result is not finite."""
        total: Arrays = {}
        losses, rest = [], self.rest
        for example in examples:
            (loss, seen), gradients = self._gradients(self.parameters, rest, *example)
            if self.recipe.checkpoint:
                for part in backward_order(gradients):
                    mx.eval([gradients[name] for name in part])
            total = {name: total[name] + g for name, g in gradients.items()} if total else gradients
            rest = {**rest, **updated_statistics(rest, seen)} if seen else rest
            losses.append(loss)
            mx.eval(total, rest, loss)
        scale = 1 / len(examples)
        loss = mx.stack(losses).mean()
        if self.ranks is not None:
            total = self.ranks.mean(total)
            loss = self.ranks.mean({"loss": loss})["loss"]
            rest = self.ranks.mean(rest) if self.recipe.live else rest
        total = {name: g * scale for name, g in total.items()} if scale != 1 else total
        norm = global_norm(total)
        mx.eval(norm, loss)
        learned = Learned(float(loss), float(norm))
        if np.isfinite(learned.loss) and np.isfinite(learned.norm):
            self.rest, self.step = rest, self.step + 1
            put(self.unet, {**self.parameters, **rest})
            self._take(total, norm, learning_rate)
        return learned

    def _take(self, gradients: Arrays, norm: mx.array, learning_rate: float) -> None:
        """Update weights, moments and average: at once, or part by part where memory counts."""
        rate, step = mx.array(learning_rate), mx.array(float(self.step))
        for part in backward_order(gradients) if self.recipe.checkpoint else [list(gradients)]:
            weights, moments, average = self._update(
                {name: gradients.pop(name) for name in part},
                {name: self.parameters[name] for name in part},
                {name: self.moments[name] for name in self.optimiser.of(part)},
                {name: self.average[name] for name in part if self.average},
                norm,
                rate,
                step,
            )
            mx.eval(weights, moments, average)
            put(self.unet, weights)  # so that the network lets go of the old ones
            self.parameters |= weights
            self.moments |= moments
            self.average |= average
        if self.average:
            fixed = {name: self.average[name] for name in self.rest}
            self.average |= moving_average(fixed, self.rest, step, self.recipe.ema)
            mx.eval(self.average)

    def state(self) -> Arrays:
        """Everything that a run needs to go on, on top of its settings."""
        arrays = {f"parameters.{name}": v for name, v in self.parameters.items()}
        arrays |= {f"rest.{name}": v for name, v in self.rest.items()}
        arrays |= {f"average.{name}": v for name, v in self.average.items()}
        return arrays | {f"moments.{name}": v for name, v in self.moments.items()}

    def restore(self, arrays: Arrays, step: int) -> None:
        """Take back what `state` gave after `step` steps. Raises KeyError when something is missing."""
        self.parameters = {name: arrays[f"parameters.{name}"] for name in self.parameters}
        self.rest = {name: arrays[f"rest.{name}"] for name in self.rest}
        self.average = {name: arrays[f"average.{name}"] for name in self.average}
        self.moments = {name: arrays[f"moments.{name}"] for name in self.moments}
        self.step = step

    def _loss_and_gradients(self, parameters: Arrays, rest: Arrays, *example: mx.array) -> Any:
        """((loss, batch statistics), gradients) of one batch, in float32 whatever the network computes in."""
        given = Example(*example)

        def loss(parameters: Arrays) -> tuple[mx.array, Arrays]:
            put(self.unet, cast({**parameters, **rest}, DTYPES[self.recipe.dtype]))
            predicted = trace(self.unet, given.x, given.timesteps, given.ids)[-1]
            wanted = target(self.kind, given.clean, given.noise, given.alpha)
            return mean_squared_error(predicted, wanted), batch_statistics(self.unet)

        return mx.value_and_grad(loss)(parameters)

    def _updated(
        self,
        gradients: Arrays,
        parameters: Arrays,
        moments: Arrays,
        average: Arrays,
        norm: mx.array,
        learning_rate: mx.array,
        step: mx.array,
    ) -> tuple[Arrays, Arrays, Arrays]:
        """Parameters, moments and average after an update; `norm` is that of all gradients."""
        clipped = clip(gradients, norm, CLIP)
        after, moved = self.optimiser.apply(clipped, parameters, moments, learning_rate, step)
        return after, moved, moving_average(average, after, step, self.recipe.ema)


def backward_order(names: Iterable[str]) -> list[list[str]]:
    """Parameters by layer, in the order in which the backward pass reaches them: computed one after the other, they
    let go of what only later ones would share.
    """
    ranks = ("conv_out", "conv_norm_out", "up_blocks", "down_blocks", "conv_in")
    layers: dict[tuple[int, int, int, int], list[str]] = {}
    for name in names:
        first, *more = name.split(".")
        rank = ranks.index(first) if first in ranks else len(ranks)
        block, layer, transformer = (
            (-int(more[0]), -int(more[2]), more[1] == "resnets") if first.endswith("_blocks") else (0, 0, 0)
        )
        sampler = first.endswith("_blocks") and more[1].endswith("samplers")
        layers.setdefault((rank, block, -1000 if sampler else layer, int(transformer)), []).append(name)
    return [layers[key] for key in sorted(layers)]
