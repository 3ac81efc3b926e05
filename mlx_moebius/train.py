"""Command line: `mlx-moebius train PHOTOS --model MODEL -o OUT`."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import typer

from mlx_moebius.cli.command import Program
from mlx_moebius.cli.values import given
from mlx_moebius.errors import MoebiusError
from mlx_moebius.models import find_model
from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.options import train as options
from mlx_moebius.runtime import private_kernels
from mlx_moebius.training.checkpoint import Folder
from mlx_moebius.training.fit import fit, hold, size
from mlx_moebius.training.objective import FEW, Timesteps, check_sampling
from mlx_moebius.training.photos import Decoder, Library, find_photos
from mlx_moebius.training.ranks import Ranks
from mlx_moebius.training.run import Plan, Start, run
from mlx_moebius.training.samples import Samples
from mlx_moebius.training.start import load_unfused, load_vae, new_config, new_unet
from mlx_moebius.training.step import Encoder, Recipe, Trainer
from mlx_moebius.training.teacher import load_teacher
from mlx_moebius.words import counted

FINE_TUNE_LR, NEW_LR = 1e-5, 1e-3
WARM_UP = 100

program = Program("mlx-moebius train", options.ABOUT, options.EXAMPLES)
app, main = program.app, program.main


@program.command(options.MOST_USED)
def train(
    photos: options.Photos,
    out: options.Out,
    model: options.Model = None,
    config: options.Config = None,
    vae: options.Vae = None,
    teacher: options.Teacher = None,
    steps: options.Steps = None,
    minutes: options.Minutes = None,
    batch_size: options.BatchSize = None,
    grad_accumulation: options.GradAccumulation = None,
    lr: options.LearningRate = None,
    optimizer: options.Optimizer = None,
    ema: options.Ema = None,
    blend: options.Blend = None,
    batch_norm: options.BatchNorm = None,
    timesteps: options.Timesteps = None,
    uniform_timesteps: options.UniformTimesteps = None,
    grad_checkpoint: options.GradCheckpoint = False,
    memory_limit: options.MemoryLimit = None,
    save_every: options.SaveEvery = None,
    val_every: options.ValEvery = None,
    resume: options.Resume = False,
    seed: options.Seed = None,
    dtype: options.Dtype = None,
    dry_run: options.DryRun = False,
) -> None:
    """Fine-tune a model on your own photos, or train a new one from scratch."""
    if (model is None) == (config is None):
        raise MoebiusError("give either --model, to fine-tune it, or --config with --vae, for a new network")
    if config is None and vae is not None:
        raise MoebiusError("--vae belongs to --config: a model that is fine-tuned keeps its own")
    if config is not None and vae is None and teacher is None:
        raise MoebiusError("--config wants --vae, the model whose VAE the new network uses, or a --teacher")
    if config is not None and blend is not None and blend < 1:
        raise MoebiusError("--blend belongs to --model: a new network began with nothing worth keeping")
    ranks = Ranks()
    report = _tell if ranks.first else _silence
    started = Folder(out).settings() if resume and ranks.first else {}
    base = find_model(str(model or vae or teacher))
    plan = Plan(
        lr if lr is not None else FINE_TUNE_LR if config is None else NEW_LR,
        warmup=WARM_UP,
        **given(
            steps=steps,
            batch_size=batch_size,
            save_every=save_every,
            val_every=val_every,
            seed=seed,
            minutes=minutes,
        ),
    )
    plan = replace(plan, warmup=min(plan.warmup, plan.steps // 10))
    start = prepare(photos, base, config, plan.seed)
    start.recipe = Recipe(
        live=config is not None if batch_norm is None else batch_norm == "live",
        train_embedding=config is not None or start.library.has_objects,
        checkpoint=grad_checkpoint,
        timesteps=chosen_timesteps(timesteps, start.config),
        **given(
            optimizer=optimizer,
            grad_accumulation=grad_accumulation,
            ema=ema,
            blend=blend,
            dtype=dtype,
            uniform_share=uniform_timesteps,
        ),
    )
    if teacher is not None:
        chosen = start.recipe.timesteps
        start.teacher = load_teacher(
            find_model(teacher), start.config, base, chosen, start.library.has_objects, start.recipe.dtype, plan.seed
        )
    if memory_limit is not None:
        plan = replace(plan, batch_size=fitted(start, plan.batch_size, memory_limit, report))
    start.settings = {"photos": fingerprint(start.library), "model": model, "vae": vae, "version": 1}
    start.settings |= {"teacher": start.teacher.digest} if start.teacher else {}
    if started and started.get("photos") != start.settings["photos"]:
        raise MoebiusError(f"the photos are not those that the run in {out} began with: start another one")
    if ranks.first:
        describe(start, plan)
    if dry_run:
        measure(start, plan)
        return
    try:
        outcome = run(start, plan, out, resume, report)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    if outcome.signal:
        report("--resume goes on")
        raise SystemExit(128 + outcome.signal)  # as a shell names the end by a signal
    report(f"{out} is ready: mlx-moebius PHOTO --mask MASK --model {out}")
    if outcome.verdict:
        report(outcome.verdict)


def _tell(message: str) -> None:
    """Print a line. A terminal that is gone is no reason to lose what is learnt."""
    with suppress(OSError):
        typer.echo(message)


def _silence(message: str) -> None:
    """Print nothing: only the first rank reports."""


def chosen_timesteps(asked: str | None, config: ModelConfig) -> Timesteps:
    """The timesteps to train on: as asked for, or "sampled" for a model that samples in few steps."""
    few = config.sampling.num_steps <= FEW if asked is None else asked == "sampled"
    return "sampled" if few else "all"


def fitted(start: Start, batch_size: int, limit: int, report: Callable[[str], None]) -> int:
    """Change a run's recipe so that it fits into `limit` bytes, and return its batch size. Raises MoebiusError."""
    teacher = start.teacher.config if start.teacher else None
    found = fit(start.config, start.recipe, batch_size, limit, teacher)
    start.recipe = replace(start.recipe, grad_accumulation=found.grad_accumulation, checkpoint=found.checkpoint)
    hold(limit)
    twice = ", layers computed twice" if found.checkpoint else ""
    report(
        f"--memory-limit: {found.grad_accumulation} batches of {found.batch_size}{twice}, "
        f"about {size(found.bytes)} of {size(limit)}"
    )
    return found.batch_size


def prepare(photos: Path, base: Path, config: Path | None, seed: int) -> Start:
    """The network to train, with its VAE and photos. Raises MoebiusError."""
    if config is None:
        unet, settings = load_unfused(base)
        check_sampling(settings)
        library = find_photos(photos, settings.image_size)
    else:
        settings = new_config(config, base, False)
        check_sampling(settings)
        library = find_photos(photos, settings.image_size)
        settings = new_config(config, base, library.has_objects)
        unet = new_unet(settings.unet, seed)
    return Start(unet, load_vae(base), base, settings, library, Recipe(), is_new=config is not None)


def fingerprint(library: Library) -> str:
    """One hash of all photos: a run is only resumed with the same photos."""
    names = [photo.digest for photo in [*library.train, *library.held_out]]
    return hashlib.sha256("".join(names).encode()).hexdigest()


def describe(start: Start, plan: Plan) -> None:
    """Print what a run does: photos, crops and steps."""
    library, size = start.library, start.config.image_size
    for reason in library.skipped:
        typer.echo(f"skipped: {reason}")
    objects = sum(photo.mask is not None for photo in library.train)
    masks = f", {objects} with an object's mask" if objects else ""
    typer.echo(f"{counted(len(library.train), 'photo')} to learn from{masks}, {len(library.held_out)} held out")
    length = f"{plan.minutes:g} minutes" if plan.minutes is not None else counted(plan.steps, "step")
    crops = plan.batch_size * start.recipe.grad_accumulation
    norm = "live" if start.recipe.live else "frozen"
    typer.echo(
        f"{length} of {crops} crops of {size} x {size} pixels, {start.recipe.optimizer}, "
        f"lr {plan.learning_rate:g}, BatchNorm {norm}, {start.recipe.dtype}, on {mx.default_device()}"
    )
    if start.teacher is not None:
        widths = [config.unet.block_out_channels[-1] for config in (start.config, start.teacher.config)]
        through = f", features of {widths[0]} compared with its {widths[1]}" if widths[0] != widths[1] else ""
        typer.echo(f"taught by {start.teacher.name}{through}")


@private_kernels()
def measure(start: Start, plan: Plan) -> None:
    """Run two steps and print the time of the second. Nothing is written."""
    trainer, encode = (
        Trainer(start.unet, start.config, start.recipe, teacher=start.teacher),
        Encoder(start.vae, start.config),
    )
    samples = Samples(start.library.train, start.config, Decoder(typer.echo, start.config.image_size), plan.seed)
    seconds = math.inf
    for _ in range(2):
        began = time.perf_counter()
        batches = [
            samples.batch(part * plan.batch_size, plan.batch_size) for part in range(start.recipe.grad_accumulation)
        ]
        trainer.advance([encode(batch) for batch in batches], plan.learning_rate)
        seconds = time.perf_counter() - began
    total = plan.minutes if plan.minutes is not None else plan.steps * seconds / 60
    steps = int(total * 60 / seconds)
    typer.echo(
        f"a step takes {seconds:.2f} s and {mx.get_peak_memory() / 2**30:.2f} GB; {steps} steps {total:.0f} minutes"
    )


if __name__ == "__main__":
    main()
