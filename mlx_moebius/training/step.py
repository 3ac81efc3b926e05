"""One step: photos to latents, loss, gradients, averaged over accumulation and over machines, then the optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import mlx.core as mx
import numpy as np

from mlx_moebius.networks.config import ModelConfig, Share
from mlx_moebius.networks.kernels import on_cpu
from mlx_moebius.networks.scheduler import Scheduler, add_noise, noise_between, prediction_target
from mlx_moebius.networks.unet import UNet
from mlx_moebius.networks.vae import AutoencoderKL
from mlx_moebius.networks.weights import DTYPES
from mlx_moebius.schema import Bounds
from mlx_moebius.training.distillation import Balance, TeacherOutput, Terms, balance, distillation_terms, total
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
    UNIFORM_SHARE,
    Timesteps,
    mean_squared_error,
    sampled_timesteps,
    starts_from_noise,
)
from mlx_moebius.training.optimisers import clip, global_norm, make_optimiser, moving_average
from mlx_moebius.training.ranks import Ranks
from mlx_moebius.training.samples import Batch
from mlx_moebius.training.teacher import PROJECTION, Teacher

CLIP = 1.0
BALANCE_EVERY = 8  # steps between two looks at how much a teacher's terms should weigh


OptimizerName = Literal["adamw", "muon"]
TrainingDtype = Literal["float32", "bfloat16"]
"""What a step computes in; float16 has too small a range for gradients."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network learns, apart from data and length of the run."""

    optimizer: OptimizerName = "adamw"
    grad_accumulation: Annotated[int, Bounds(1, 10**6)] = 8
    ema: Share = 0.999
    blend: Share = 1
    live: bool = False
    dtype: TrainingDtype = "float32"
    train_embedding: bool = True
    checkpoint: bool = False
    timesteps: Timesteps = "all"
    uniform_share: Share = UNIFORM_SHARE


class Example(NamedTuple):
    """What the network sees, and the latents and noise behind it: a batch after the VAE."""

    x: mx.array
    timesteps: mx.array
    ids: mx.array
    clean: mx.array
    noise: mx.array
    alpha: mx.array


class Learned(NamedTuple):
    """What a step says about itself: the loss before it, the gradients' norm before clipping, and with a teacher the
    other terms and their weights.
    """

    loss: float
    norm: float
    taught: dict[str, float]


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
        draws = mx.array(np.concatenate([batch.image_posterior, batch.masked_posterior]))
        clean, masked = mx.split(self.vae.sample(mx.concatenate([images, images * (1 - masks)]), draws), 2)
        noise, alpha = mx.array(batch.noise), mx.array(self.alphas[batch.timesteps])
        if self.start is not None:
            first = mx.array(batch.timesteps == self.start)[:, None, None, None]
            noise = mx.where(first, noise_between(clean, noise, alpha), noise)
        x = mx.concatenate([add_noise(clean, noise, alpha), mx.array(batch.latent_masks), masked], axis=-1)
        example = Example(x, mx.array(batch.timesteps), mx.array(batch.ids), clean, noise, alpha)
        mx.eval(example)
        return example


class Trainer:
    """A network that learns: float32 masters, moments and moving average, and the functions that advance them.

    `parameters` are trained; `rest` is not, such as running statistics; `average` covers both; `origin` is what they
    began as, where it is blended in. What a teacher's features are compared through is a parameter, too, but none of
    the network's.
    """

    def __init__(
        self,
        unet: UNet,
        config: ModelConfig,
        recipe: Recipe,
        ranks: Ranks | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        """Takes an unfused float32 network with its weights; gradients are averaged between `ranks`."""
        self.unet, self.config, self.recipe, self.ranks, self.teacher = unet, config, recipe, ranks, teacher
        self.kind = config.scheduler.prediction_type
        if not recipe.train_embedding:
            unet.embedding_layer.freeze()
        set_live(unet, recipe.live)
        unet.checkpointed = recipe.checkpoint
        self.step = 0
        self.parameters = flat(unet.trainable_parameters())
        self.rest = {name: v for name, v in flat(unet.parameters()).items() if name not in self.parameters}
        self.average = {**self.parameters, **self.rest} if recipe.ema else {}
        self.origin = {**self.parameters, **self.rest} if recipe.blend < 1 else {}
        self.balance = mx.ones(len(Balance._fields))
        if teacher is not None:
            self.parameters |= teacher.projection(config.unet)
        self.optimiser = make_optimiser(recipe.optimizer, self.parameters)
        self.moments = self.optimiser.start(self.parameters)
        # On the CPU a C++ compiler would take a minute; parts that are computed one after the other stay apart.
        compiled: Callable[..., Any] = (lambda f: f) if on_cpu() or recipe.checkpoint else mx.compile
        self._gradients = compiled(self._loss_and_gradients)
        self._update = compiled(self._updated)

    def weights(self) -> Arrays:
        """All weights as they should be used: the moving average where there is one, blended with what they began as
        (Wortsman et al., Robust fine-tuning of zero-shot models, 2022).
        """
        learned = dict(self.average) if self.recipe.ema else {**_of_network(self.parameters), **self.rest}
        share = self.recipe.blend
        return {name: share * learned[name] + (1 - share) * v for name, v in self.origin.items()} or learned

    def advance(self, examples: list[Example], learning_rate: float) -> Learned:
        """One update from `grad_accumulation` batches. The state is left as it was when a result is not finite."""
        summed: Arrays = {}
        said: list[mx.array] = []
        rest, weights = self.rest, self.balance
        for example in examples:
            taught = self._taught(example)
            if taught and not said and self.step % BALANCE_EVERY == 0:
                weights = self._balanced(rest, example, taught)
            (_, terms, seen), gradients = self._gradients(self.parameters, rest, weights, example, taught)
            for part in backward_order(gradients) if self.recipe.checkpoint else [list(gradients)]:
                for name in part:
                    gradient = gradients.pop(name)
                    summed[name] = summed[name] + gradient if name in summed else gradient
                mx.eval([summed[name] for name in part])
            rest = {**rest, **updated_statistics(rest, seen)} if seen else rest
            said.append(terms)
            mx.eval(rest, terms)
        summed = {name: summed[name] for name in self.parameters}  # in one order always, for sums depend on it
        scale = 1 / len(examples)
        terms = mx.stack(said).mean(0)
        if self.ranks is not None:
            summed = self.ranks.mean(summed)
            terms = self.ranks.mean({"terms": terms})["terms"]
            rest = self.ranks.mean(rest) if self.recipe.live else rest
        summed = {name: g * scale for name, g in summed.items()} if scale != 1 else summed
        norm = global_norm(summed)
        mx.eval(norm, terms)
        learned = Learned(float(terms[0]), float(norm), self._told(terms, weights))
        if np.isfinite(learned.loss) and np.isfinite(learned.norm):
            self.rest, self.balance, self.step = rest, weights, self.step + 1
            put(self.unet, {**_of_network(self.parameters), **rest})
            self._take(summed, norm, learning_rate)
        return learned

    def _taught(self, example: Example) -> Sequence[mx.array]:
        """What the teacher says, a `TeacherOutput`; empty without one."""
        if self.teacher is None:
            return ()
        return self.teacher(example.x, example.timesteps, example.ids, example.alpha, self.kind)

    def _balanced(self, rest: Arrays, example: Example, taught: Sequence[mx.array]) -> mx.array:
        """The weights of a teacher's terms, by one batch a rank."""
        weights_now = cast({**_of_network(self.parameters), **rest}, DTYPES[self.recipe.dtype])
        projection = self.parameters.get(PROJECTION)
        weights = balance(self.unet, weights_now, lambda: Terms(*self._terms(example, taught, projection)))
        found = mx.stack(list(weights))
        return found if self.ranks is None else self.ranks.mean({"balance": found})["balance"]

    def _told(self, terms: mx.array, weights: mx.array) -> dict[str, float]:
        """What is worth a line of the log, of a teacher."""
        if self.teacher is None:
            return {}
        names = ("output_loss", "feature_loss", "output_weight", "task_weight")
        return dict(zip(names, [*terms[1:].tolist(), *weights.tolist()], strict=True))  # type: ignore[misc]

    def _take(self, gradients: Arrays, norm: mx.array, learning_rate: float) -> None:
        """Update weights, moments and average: at once, or part by part where memory counts."""
        rate, step = mx.array(learning_rate), mx.array(float(self.step))
        for part in backward_order(gradients) if self.recipe.checkpoint else [list(gradients)]:
            weights, moments, average = self._update(
                {name: gradients.pop(name) for name in part},
                {name: self.parameters[name] for name in part},
                {name: self.moments[name] for name in self.optimiser.of(part)},
                {name: self.average[name] for name in part if name in self.average},
                norm,
                rate,
                step,
            )
            mx.eval(weights, moments, average)
            put(self.unet, _of_network(weights))  # so that the network lets go of the old ones
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
        arrays |= {"balance": self.balance} if self.teacher is not None else {}
        return arrays | {f"moments.{name}": v for name, v in self.moments.items()}

    def restore(self, arrays: Arrays, step: int) -> None:
        """Take back what `state` gave after `step` steps.

        Raises KeyError when something is missing, ValueError when it has another shape or type.
        """
        for name, array in self.state().items():
            if (found := arrays[name]).shape != array.shape or found.dtype != array.dtype:
                raise ValueError(f"{name} is {found.dtype} {list(found.shape)}, not {array.dtype} {list(array.shape)}")
        self.parameters = {name: arrays[f"parameters.{name}"] for name in self.parameters}
        self.rest = {name: arrays[f"rest.{name}"] for name in self.rest}
        self.average = {name: arrays[f"average.{name}"] for name in self.average}
        self.moments = {name: arrays[f"moments.{name}"] for name in self.moments}
        self.balance = arrays["balance"] if self.teacher is not None else self.balance
        self.step = step

    def _loss_and_gradients(
        self, parameters: Arrays, rest: Arrays, weights: mx.array, example: Example, taught: Sequence[mx.array]
    ) -> Any:
        """((loss, its terms, batch statistics), gradients) of one batch, in float32 whatever the network computes in.

        `taught` is a `TeacherOutput`, or empty; `weights` are a `Balance`.
        """

        def loss(parameters: Arrays) -> tuple[mx.array, mx.array, Arrays]:
            put(self.unet, cast({**_of_network(parameters), **rest}, DTYPES[self.recipe.dtype]))
            terms = self._terms(Example(*example), taught, parameters.get(PROJECTION))
            value = total(Terms(*terms), Balance(weights[0], weights[1])) if taught else terms[0]
            return value, mx.stop_gradient(mx.stack(list(terms))), batch_statistics(self.unet)

        return mx.value_and_grad(loss)(parameters)

    def _terms(self, example: Example, taught: Sequence[mx.array], projection: mx.array | None) -> tuple[mx.array, ...]:
        """The losses of a batch, with the weights that the network has now."""
        outputs = trace(self.unet, example.x, example.timesteps, example.ids)
        wanted = prediction_target(self.kind, example.clean, example.noise, example.alpha)
        if not taught:
            return (mean_squared_error(outputs[-1], wanted),)
        return distillation_terms(outputs, TeacherOutput(*taught), wanted, projection)

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


def _of_network(parameters: Arrays) -> Arrays:
    """Those that belong to the network, without the projection of a teacher's features."""
    return {name: array for name, array in parameters.items() if name != PROJECTION}


def backward_order(names: Iterable[str]) -> list[list[str]]:
    """Parameters by layer, in the order in which the backward pass reaches them: computed one after the other, they
    let go of what only later ones would share.

    The time shifts' projections come last. All layers' shifts are cut out of one array, so that the gradient of one
    waits for those of all.
    """
    ranks = ("conv_out", "conv_norm_out", "up_blocks", "down_blocks", "conv_in")
    layers: dict[tuple[int, int, int, int], list[str]] = {}
    for name in names:
        first, *more = name.split(".")
        if first not in ranks or "time_emb_proj" in more:
            layers.setdefault((len(ranks), 0, 0, 0), []).append(name)
            continue
        rank = ranks.index(first)
        block, layer, transformer = (
            (-int(more[0]), -int(more[2]), more[1] == "resnets") if first.endswith("_blocks") else (0, 0, 0)
        )
        sampler = first.endswith("_blocks") and more[1].endswith("samplers")
        layers.setdefault((rank, block, -1000 if sampler else layer, int(transformer)), []).append(name)
    return [layers[key] for key in sorted(layers)]
