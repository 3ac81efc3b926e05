"""A run from start to end: it saves on its way, goes on where it was ended, and stops for what makes no sense."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import mlx.core as mx
import numpy as np

from mlx_moebius.convert.card import Card
from mlx_moebius.errors import ANOTHER, LESS, Change, MoebiusError
from mlx_moebius.files import permissions, replacing
from mlx_moebius.networks.config import VAE_NAME, ModelConfig
from mlx_moebius.networks.unet import UNet
from mlx_moebius.networks.vae import AutoencoderKL
from mlx_moebius.runtime import private_kernels
from mlx_moebius.schema import Bounds
from mlx_moebius.training.checkpoint import Folder
from mlx_moebius.training.interruption import SIGNALS, signals_noted
from mlx_moebius.training.log import SHEET_NAME, Log
from mlx_moebius.training.network import Arrays
from mlx_moebius.training.optimisers import learning_rate
from mlx_moebius.training.photos import Decoder, Library
from mlx_moebius.training.ranks import Ranks
from mlx_moebius.training.samples import Batch, Samples
from mlx_moebius.training.step import Encoder, Recipe, Trainer
from mlx_moebius.training.teacher import Teacher
from mlx_moebius.training.validation import SEED, EvalResult, Validation, compared
from mlx_moebius.version import __version__

LINES = 2000  # of training in the log at most
CLEAR_EVERY = 50  # steps; MLX on Metal runs out of resources in long runs otherwise
MEASURED = 5  # steps after which `minutes` are planned; again after twice as many: the first compile
PLANNING = 0.2  # share of the time after which the plan stays as it is
RECENT = 100  # steps, the later half of which tell how long one takes
UNPLANNED = 10**9  # steps, before `minutes` have been planned
MARGIN = 0.95  # of the time, for what a plan does not see
PLAN = "plan"


Count = Annotated[int, Bounds(1, 10**9)]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to learn, how fast, and how often to save."""

    learning_rate: Annotated[float, Bounds(1e-9, 1e30)]
    warmup: int
    steps: Count = 2000
    batch_size: Count = 1
    save_every: Count = 250
    val_every: Count = 250
    seed: Annotated[int, Bounds(0, 2**64 - 1)] = 0
    minutes: Annotated[float, Bounds(0.01, 1e6)] | None = None


@dataclass(slots=True)
class Start:
    """The network and what belongs to it, as a run begins."""

    unet: UNet
    vae: AutoencoderKL
    vae_folder: Path
    config: ModelConfig
    library: Library
    recipe: Recipe
    teacher: Teacher | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the number of the signal that ended it (0: none), and whether it helped, in one line."""

    signal: int
    verdict: str = ""


@private_kernels()
def run(start: Start, plan: Plan, out: Path, resume: bool, report: Callable[[str], None]) -> Outcome:
    """Learn, and write the model folder `out` every `plan.save_every` steps and at the end.

    Ctrl-C, SIGTERM and SIGHUP end the step and save. Whatever else ends a run between two steps (a full disk, photos
    that are gone) is raised after what was learnt has been saved. Raises MoebiusError when `out` is taken or cannot be
    written, or when a loss is not finite: what was saved last is then still there.
    """
    ranks, folder = Ranks(), Folder(out)
    trainer = Trainer(start.unet, start.config, start.recipe, ranks, start.teacher)
    with ExitStack() as stack:
        if ranks.first:
            if not resume:
                check_room(out, start.config, trainer)
            stack.enter_context(folder.held())
        return _learn(start, plan, folder, trainer, ranks, resume, report)


def _learn(
    start: Start,
    plan: Plan,
    folder: Folder,
    trainer: Trainer,
    ranks: Ranks,
    resume: bool,
    report: Callable[[str], None],
) -> Outcome:
    """The run itself, in a folder that is held."""
    out = folder.path
    settings = start.settings | {"plan": asdict(plan), "recipe": asdict(start.recipe)}
    steps, spent = plan.steps if plan.minutes is None else UNPLANNED, 0.0
    before: EvalResult | None = None
    if resume:
        if ranks.first:
            steps, spent, before = _restore(folder, trainer, folder.load_state(), settings, start)
        steps, step = ranks.given(steps), ranks.given(trainer.step)
        trainer.restore(ranks.shared(trainer.state()), step)
    elif ranks.first:
        folder.begin(start.vae_folder / VAE_NAME, settings)
    if plan.minutes is None:
        steps = plan.steps
    decoder = Decoder(report, start.config.image_size)
    timesteps = start.recipe.timesteps
    samples = Samples(start.library.train, start.config, decoder, plan.seed, timesteps, start.recipe.uniform_share)
    held_out = Samples(start.library.held_out, start.config, decoder, SEED)
    validation = Validation(held_out, start.vae, start.config, timesteps)
    log = Log(out, trainer.step if resume else -1) if ranks.first else None
    encode = Encoder(start.vae, start.config, timesteps)
    size = plan.batch_size * start.recipe.grad_accumulation
    clock, look = _Clock(spent), MEASURED if steps == UNPLANNED else 0
    saved = trainer.step  # the last step that a save was tried after
    between = True  # two steps: the trainer's state is of one moment

    def save() -> None:
        nonlocal saved
        saved = trainer.step
        if ranks.first:
            state = trainer.state() | {PLAN: mx.array([float(trainer.step), float(steps), clock.spent()])}
            state |= before.state() if before is not None else {}
            folder.save(start.config, trainer.weights(), state, _card(start, trainer.step))

    def validate() -> EvalResult | None:
        nonlocal before
        if log is None:
            return None
        judged = validation.judge(trainer.weights())
        before = judged if trainer.step == 0 else before
        log.add({"step": trainer.step, "bands": judged.losses, "psnr": judged.psnr})
        log.draw()
        with replacing(out / SHEET_NAME, mode=permissions(photo.path for photo in start.library.held_out)) as file:
            validation.sheet(before, judged, trainer.step).save(file, "PNG")
        bands = " ".join(f"{t}: {loss:.4f}" for t, loss in judged.losses.items())
        report(f"step {trainer.step}: held out {judged.loss:.4f} ({bands}), {judged.psnr:.2f} dB within holes")
        return judged

    if trainer.step == 0:
        validate()
    first, ended = (trainer.step * ranks.size + ranks.rank) * size, 0
    # Several ranks wait for each other inside MLX, where no signal is noticed: they end at once, as by default.
    noted = SIGNALS if ranks.size == 1 else SIGNALS[:1]
    with signals_noted(noted) as came, closing(_batches(samples, first, plan, size, ranks.size)) as batches:
        try:
            for step_batches in batches:
                ended = came() or (SIGNALS[0] if ranks.any(bool(came())) else 0)
                if trainer.step >= steps or ended or ranks.any(clock.over(plan.minutes)):
                    break
                lr = learning_rate(trainer.step, steps, plan.learning_rate, plan.warmup)
                between = False
                learned = trainer.advance([encode(batch) for batch in step_batches], lr)
                seconds = clock.end_step()
                if not _finite(learned.loss, learned.norm):
                    raise MoebiusError(
                        f"the loss is not finite in step {trainer.step + 1}; {out} keeps what was saved last",
                        Change("learning_rate", LESS, "and start again or go on"),
                    )
                between = True
                done = trainer.step
                if plan.minutes is not None and (clock.steps == look or (look and done == steps)):
                    planned = int((plan.minutes * 60 * MARGIN - clock.spent()) / clock.mean()) + done
                    early = not ranks.any(look > MEASURED and clock.spent() > plan.minutes * 60 * PLANNING)
                    look = 2 * look if early else 0
                    if early:
                        steps = ranks.given(max(done, planned))
                        report(f"{steps} steps fit into {plan.minutes:g} minutes")
                if log is not None and (done % max(1, steps // LINES) == 0 or done == steps):
                    rate = size * ranks.size / seconds
                    line = {"loss": learned.loss, "norm": learned.norm, "lr": lr, "images_per_second": round(rate, 3)}
                    log.add({"step": done, **line, **learned.taught, "peak_bytes": mx.get_peak_memory()})
                    report(_progress(done, steps, learned.loss, lr, rate, clock.left(steps - done, plan.minutes)))
                if done % CLEAR_EVERY == 0:
                    mx.clear_cache()
                if done < steps and done % plan.val_every == 0:
                    validate()
                    clock.start_step()
                if done < steps and done % plan.save_every == 0:
                    save()
                    clock.start_step()
            save()
        except BaseException:
            if between and trainer.step > saved:
                with suppress(MoebiusError):  # the first error is the one to tell
                    save()
                    report(f"saved step {trainer.step} of {steps} in {out}, from where it can go on")
            raise
        if ended:
            report(f"saved step {trainer.step} of {steps} in {out}, from where it can go on")
            return Outcome(ended)
        now = validate()
    return Outcome(0, compared(before, now) if before is not None and now is not None else "")


def _card(start: Start, step: int) -> Card:
    """The model card of what was learnt in `step` steps."""
    photos = len(start.library.train)
    made = f"Trained by `mlx-moebius train` (mlx-moebius {__version__}) in {step} steps on {photos} photographs"
    begun = "a new network with random weights, with the VAE of" if start.is_new else "a model, going on from"
    return Card(made=f"{made}: {begun}")


def check_room(out: Path, config: ModelConfig, trainer: Trainer) -> None:
    """Raise MoebiusError unless the disk has room for two saves, the old one and the new one."""
    place = next(parent for parent in [out, *out.resolve().parents] if parent.is_dir())
    needed = 2 * (sum(a.nbytes for a in trainer.state().values()) + sum(a.nbytes for a in trainer.weights().values()))
    free = shutil.disk_usage(place).free
    if free < needed:
        raise MoebiusError(
            f"{place} has {free / 1e9:.1f} GB free, a run needs {needed / 1e9:.1f}", Change("out", ANOTHER)
        )


def _restore(
    folder: Folder, trainer: Trainer, state: Arrays, settings: dict[str, Any], start: Start
) -> tuple[int, float, EvalResult | None]:
    """Bring a trainer to where a run was saved.

    Returns the steps that it planned, the seconds that it took, and how good the network was before.
    """
    before = folder.settings()
    free = ("steps", "minutes", "save_every", "val_every", "learning_rate", "warmup", "blend")
    for part in ("plan", "recipe"):
        for name, value in settings[part].items():
            if name not in free and before.get(part, {}).get(name) != value:
                raise MoebiusError(
                    f"the run in {folder.path} has {name} {before.get(part, {}).get(name)}, not {value}",
                    "go on with the same settings",
                )
    for part, said in (
        ("photos", "the photos are not those"),
        ("model", "the model is not the one"),
        ("teacher", "the teacher is not the one"),
    ):
        if before.get(part) != settings.get(part):
            raise MoebiusError(f"{said} that the run in {folder.path} began with: start another one")
    try:
        step, steps, seconds = np.array(state[PLAN]).astype(float).tolist()
        trainer.restore(state, int(step))
        judged = EvalResult.from_state(state)
    except KeyError as error:
        raise MoebiusError(f"the state in {folder.path} is of another network: it has no {error.args[0]}") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise MoebiusError(f"the state in {folder.path} is damaged ({error}): this run cannot go on") from None
    folder.repair(start.config, trainer.weights(), start.vae_folder / VAE_NAME, _card(start, trainer.step))
    return int(steps), seconds, judged


def _batches(samples: Samples, first: int, plan: Plan, size: int, ranks: int) -> Generator[list[Batch], None, None]:
    """The `grad_accumulation` batches of step after step, from this process's share of the samples."""
    count = size // plan.batch_size
    with closing(samples.ahead(first, plan.batch_size, count, size * ranks)) as ahead:
        while True:
            yield [next(ahead) for _ in range(count)]


def _finite(*values: float) -> bool:
    return all(value - value == 0 for value in values)


def _progress(step: int, steps: int, loss: float, lr: float, rate: float, left: float) -> str:
    peak = mx.get_peak_memory() / 2**30
    minutes, seconds = divmod(round(left), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"step {step} of {steps}: loss {loss:.4f}, lr {lr:.2e}, {rate:.2f} images/s, peak {peak:.2f} GB, "
        f"{hours}:{minutes:02}:{seconds:02} left"
    )


class _Clock:
    """Time of steps, and of the whole run over all its parts."""

    def __init__(self, spent: float) -> None:
        self._began = self._step = time.monotonic()
        self._before, self._seconds, self.steps = spent, deque[float](maxlen=RECENT), 0

    def spent(self) -> float:
        """Seconds of the run, those before it was ended included."""
        return self._before + time.monotonic() - self._began

    def over(self, minutes: float | None) -> bool:
        """Whether the time is up."""
        return minutes is not None and self.spent() >= minutes * 60

    def start_step(self) -> None:
        """A step begins, after something else; otherwise one begins where the last one ends, to wait for its photos."""
        self._step = time.monotonic()

    def end_step(self) -> float:
        """Seconds of the step."""
        began, self._step = self._step, time.monotonic()
        self.steps += 1
        self._seconds.append(max(self._step - began, 1e-9))
        return self._seconds[-1]

    def mean(self) -> float:
        """Seconds a step, without the first ones, which warm up."""
        recent = list(self._seconds)[len(self._seconds) // 2 :]
        return sum(recent) / max(len(recent), 1)

    def left(self, steps: int, minutes: float | None) -> float:
        """Seconds until the end."""
        left = steps * self.mean()
        return left if minutes is None else min(left, max(minutes * 60 - self.spent(), 0.0))
