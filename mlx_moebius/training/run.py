"""A run from start to end: it saves on its way, goes on where it was ended, and stops for what makes no sense."""

from __future__ import annotations

import shutil
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import replacing
from mlx_moebius.networks.config import VAE_NAME, ModelConfig
from mlx_moebius.networks.unet import UNet
from mlx_moebius.networks.vae import AutoencoderKL
from mlx_moebius.training.checkpoint import Folder
from mlx_moebius.training.log import SHEET_NAME, Log
from mlx_moebius.training.network import Arrays
from mlx_moebius.training.optimisers import learning_rate
from mlx_moebius.training.photos import Decoder, Library
from mlx_moebius.training.ranks import Ranks
from mlx_moebius.training.samples import Batch, Samples
from mlx_moebius.training.step import Encoder, Recipe, Trainer
from mlx_moebius.training.teacher import Teacher
from mlx_moebius.training.validation import SEED, Validation

LINES = 2000  # of training in the log at most
CLEAR_EVERY = 50  # steps; MLX on Metal runs out of resources in long runs otherwise
MEASURED = 5  # steps after which `minutes` are planned; again after twice as many: the first compile
PLANNING = 0.2  # share of the time after which the plan stays as it is
RECENT = 100  # steps, the later half of which tell how long one takes
UNPLANNED = 10**9  # steps, before `minutes` have been planned
MARGIN = 0.95  # of the time, for what a plan does not see
PLAN, NOTE = "plan", "Trained with mlx_moebius.train on the user's own photographs."


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to learn, how fast, and how often to save."""

    steps: int
    batch_size: int
    learning_rate: float
    warmup: int
    save_every: int
    val_every: int
    seed: int
    minutes: float | None = None


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


def run(start: Start, plan: Plan, out: Path, resume: bool, report: Callable[[str], None]) -> None:
    """Learn, and write the model folder `out` every `plan.save_every` steps and at the end.

    Ctrl-C ends the step, saves and raises KeyboardInterrupt. Raises MoebiusError when `out` is taken or cannot be
    written, or when a loss is not finite: what was saved last is then still there.
    """
    ranks, folder = Ranks(), Folder(out)
    trainer = Trainer(start.unet, start.config, start.recipe, ranks, start.teacher)
    settings = start.settings | {"plan": asdict(plan), "recipe": asdict(start.recipe)}
    steps, spent = plan.steps if plan.minutes is None else UNPLANNED, 0.0
    if resume:
        if ranks.first:
            steps, spent = _restore(folder, trainer, folder.load_state(), settings, start.config)
        steps, step = ranks.given(steps), ranks.given(trainer.step)
        trainer.restore(ranks.shared(trainer.state()), step)
    elif ranks.first:
        check_room(out, start.config, trainer)
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

    def save() -> None:
        if ranks.first:
            state = trainer.state() | {PLAN: mx.array([float(trainer.step), float(steps), clock.spent()])}
            folder.save(start.config, trainer.weights(), state, NOTE)

    def validate() -> None:
        if log is not None:
            judged = validation.judge(trainer.weights())
            log.add({"step": trainer.step, "bands": judged.losses, "psnr": judged.psnr})
            log.draw()
            with replacing(out / SHEET_NAME) as file:
                judged.sheet.save(file, "PNG")
            bands = " ".join(f"{t}: {loss:.4f}" for t, loss in judged.losses.items())
            report(f"step {trainer.step}: held out {judged.loss:.4f} ({bands}), {judged.psnr:.2f} dB within holes")

    if trainer.step == 0:
        validate()
    first, ended = (trainer.step * ranks.size + ranks.rank) * size, False
    with _until_interrupted() as interrupted, closing(_batches(samples, first, plan, size, ranks.size)) as batches:
        for each in batches:
            ended = ranks.any(interrupted())
            if trainer.step >= steps or ended or ranks.any(clock.over(plan.minutes)):
                break
            lr = learning_rate(trainer.step, steps, plan.learning_rate, plan.warmup)
            learned = trainer.advance([encode(batch) for batch in each], lr)
            seconds = clock.end_step()
            if not _finite(learned.loss, learned.norm):
                raise MoebiusError(
                    f"the loss is not finite in step {trainer.step + 1}; {out} keeps what was saved last: "
                    "lower --lr and start again, or --resume with a lower one"
                )
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
        if not ended:
            validate()
        else:
            report(f"saved step {trainer.step} of {steps} in {out}; --resume goes on")
            raise KeyboardInterrupt


def check_room(out: Path, config: ModelConfig, trainer: Trainer) -> None:
    """Raise MoebiusError unless the disk has room for two saves, the old one and the new one."""
    place = next(parent for parent in [out, *out.resolve().parents] if parent.is_dir())
    needed = 2 * (sum(a.nbytes for a in trainer.state().values()) + sum(a.nbytes for a in trainer.weights().values()))
    free = shutil.disk_usage(place).free
    if free < needed:
        raise MoebiusError(f"{place} has {free / 1e9:.1f} GB free, a run needs {needed / 1e9:.1f}: choose another -o")


def _restore(
    folder: Folder, trainer: Trainer, state: Arrays, settings: dict[str, Any], config: ModelConfig
) -> tuple[int, float]:
    """Bring a trainer to where a run was saved; the steps that it planned and the seconds that it took."""
    before = folder.settings()
    free = ("steps", "minutes", "save_every", "val_every", "learning_rate", "warmup", "blend")
    for part in ("plan", "recipe"):
        for name, value in settings[part].items():
            if name not in free and before.get(part, {}).get(name) != value:
                raise MoebiusError(
                    f"the run in {folder.path} has {name} {before.get(part, {}).get(name)}, not {value}: "
                    "--resume wants the same options"
                )
    for part, said in (
        ("photos", "the photos are not those"),
        ("model", "the model is not the one"),
        ("teacher", "the teacher is not the one"),
    ):
        if before.get(part) != settings.get(part):
            raise MoebiusError(f"{said} that the run in {folder.path} began with: start another one")
    try:
        step, steps, seconds = (float(value) for value in state.pop(PLAN).tolist())  # type: ignore[union-attr, arg-type]
        trainer.restore(state, int(step))
    except KeyError as error:
        raise MoebiusError(f"the state in {folder.path} is of another network: it has no {error.args[0]}") from None
    folder.repair(config, trainer.weights(), NOTE)
    return int(steps), seconds


def _batches(samples: Samples, first: int, plan: Plan, size: int, ranks: int) -> Generator[list[Batch], None, None]:
    """For each step its `grad_accumulation` batches, of this process's share of the samples."""
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


@contextmanager
def _until_interrupted() -> Iterator[Callable[[], bool]]:
    """A function that says whether Ctrl-C was pressed; pressed twice, it interrupts at once."""
    pressed = False

    def note(number: int, frame: Any) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
