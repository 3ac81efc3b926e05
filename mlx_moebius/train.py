"""Command line: `python -m mlx_moebius.train PHOTOS --model MODEL -o OUT`."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import mlx.core as mx
import typer

from mlx_moebius.errors import MoebiusError, one_line_errors
from mlx_moebius.memory import parse_size
from mlx_moebius.models import find_model
from mlx_moebius.networks.config import ModelConfig
from mlx_moebius.networks.weights import DTYPES
from mlx_moebius.training.checkpoint import Folder
from mlx_moebius.training.fit import fit, hold, size
from mlx_moebius.training.objective import FEW, UNIFORM_SHARE, Timesteps
from mlx_moebius.training.photos import Decoder, Library, find_photos
from mlx_moebius.training.ranks import Ranks
from mlx_moebius.training.run import Plan, Start, run
from mlx_moebius.training.samples import Samples
from mlx_moebius.training.start import load_unfused, load_vae, new_config, new_unet
from mlx_moebius.training.step import Encoder, Recipe, Trainer
from mlx_moebius.training.teacher import load_teacher

FINE_TUNE_LR, NEW_LR = 1e-5, 1e-3
WARM_UP = 100

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def command(
    photos: Annotated[Path, typer.Argument(help="Folder of photos; an object's mask lies beside as name_mask.png.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model folder to write, usable from the first save on.")],
    model: Annotated[str | None, typer.Option(help="Model to fine-tune, by name or folder.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="JSON with the sizes of a new network, trained from scratch (with --vae or --teacher)."),
    ] = None,
    vae: Annotated[
        str | None, typer.Option(help="With --config: the model whose VAE is used.", show_default="the teacher's")
    ] = None,
    teacher: Annotated[str | None, typer.Option(help="Larger model with the same VAE to learn from, too.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Updates.")] = 2000,
    minutes: Annotated[float | None, typer.Option(help="End within this time, instead of --steps.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Crops at a time.")] = 1,
    grad_accumulation: Annotated[int, typer.Option(min=1, help="Batches of an update.")] = 8,
    lr: Annotated[
        float | None, typer.Option(help="Highest learning rate.", show_default="1e-5; 1e-3 with --config")
    ] = None,
    optimizer: Annotated[str, typer.Option(help="adamw or muon.")] = "adamw",
    ema: Annotated[float, typer.Option(min=0, max=1, help="Decay of the average that is saved; 0: none.")] = 0.999,
    blend: Annotated[
        float, typer.Option(min=0, max=1, help="With --model: share of what was learnt in what is saved.")
    ] = 1,
    batch_norm: Annotated[
        str | None,
        typer.Option(
            help="frozen (running statistics) or live (the batch's).", show_default="frozen; live with --config"
        ),
    ] = None,
    timesteps: Annotated[
        str | None,
        typer.Option(
            help="all, or sampled: those alone that the model's own sampling visits.",
            show_default=f"sampled for models of at most {FEW} steps",
        ),
    ] = None,
    uniform_timesteps: Annotated[
        float, typer.Option(min=0, max=1, help="Share of --timesteps all that is uniform; the others are logit-normal.")
    ] = UNIFORM_SHARE,
    grad_checkpoint: Annotated[
        bool, typer.Option("--grad-checkpoint", help="Less memory: compute layers again in the backward pass.")
    ] = False,
    memory_limit: Annotated[
        str | None,
        typer.Option(
            "--memory-limit", metavar="SIZE", help="Fit into this, such as 12GB: smaller batches, --grad-checkpoint."
        ),
    ] = None,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between saves.")] = 250,
    val_every: Annotated[int, typer.Option(min=1, help="Steps between looks at the photos held out.")] = 250,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in OUT, with the same options.")] = False,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    dtype: Annotated[str, typer.Option(help="Of a step's arithmetic; weights are float32.")] = "float32",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, measure one step, write nothing.")
    ] = False,
) -> None:
    """Fine-tune a model on your own photos, or train a new one from scratch."""
    with one_line_errors():
        if dtype not in DTYPES or dtype == "float16":
            raise MoebiusError(f"--dtype {dtype} cannot be trained in: choose float32 or bfloat16")
        if batch_norm not in (None, "frozen", "live"):
            raise MoebiusError(f"--batch-norm {batch_norm} is neither frozen nor live")
        if timesteps not in (None, "all", "sampled"):
            raise MoebiusError(f"--timesteps {timesteps} is neither all nor sampled")
        if minutes is not None and minutes <= 0:
            raise MoebiusError(f"--minutes {minutes:g} is no time")
        if (model is None) == (config is None):
            raise MoebiusError("give either --model, to fine-tune it, or --config with --vae, for a new network")
        if config is None and vae is not None:
            raise MoebiusError("--vae belongs to --config: a model that is fine-tuned keeps its own")
        if config is not None and vae is None and teacher is None:
            raise MoebiusError("--config wants --vae, the model whose VAE the new network uses, or a --teacher")
        if config is not None and blend < 1:
            raise MoebiusError("--blend belongs to --model: a new network began with nothing worth keeping")
        ranks = Ranks()
        report = _tell if ranks.first else _silence
        started = Folder(out).settings() if resume and ranks.first else {}
        base = find_model(str(model or vae or teacher))
        start = prepare(photos, base, config, seed)
        start.recipe = Recipe(
            optimizer=optimizer,
            grad_accumulation=grad_accumulation,
            ema=ema,
            blend=blend,
            live=config is not None if batch_norm is None else batch_norm == "live",
            dtype=dtype,
            train_embedding=config is not None or start.library.has_objects,
            checkpoint=grad_checkpoint,
            timesteps=chosen_timesteps(timesteps, start.config),
            uniform_share=uniform_timesteps,
        )
        if teacher is not None:
            chosen = start.recipe.timesteps
            start.teacher = load_teacher(
                find_model(teacher), start.config, base, chosen, start.library.has_objects, dtype, seed
            )
        if memory_limit is not None:
            batch_size = fitted(start, batch_size, parse_size(memory_limit), report)
        start.settings = {"photos": fingerprint(start.library), "model": model, "vae": vae, "version": 1}
        start.settings |= {"teacher": start.teacher.digest} if start.teacher else {}
        if started and started.get("photos") != start.settings["photos"]:
            raise MoebiusError(f"the photos are not those that the run in {out} began with: start another one")
        rate = lr if lr is not None else (FINE_TUNE_LR if config is None else NEW_LR)
        plan = Plan(steps, batch_size, rate, min(WARM_UP, steps // 10), save_every, val_every, seed, minutes)
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
            raise SystemExit(128 + outcome.signal)  # as a shell names the end by a signal
        report(f"{out} is ready: python -m mlx_moebius.generate PHOTO --mask MASK --model {out}")
        if outcome.verdict:
            report(outcome.verdict)


def _tell(message: str) -> None:
    """Print a line. A terminal that is gone is no reason to lose what is learnt."""
    with suppress(OSError):
        typer.echo(message)


def _silence(message: str) -> None:
    """What ranks but the first report."""


def chosen_timesteps(asked: str | None, config: ModelConfig) -> Timesteps:
    """Which timesteps are learnt: as asked for, or as fits the model's sampling."""
    few = config.sampling.num_steps <= FEW if asked is None else asked == "sampled"
    return "sampled" if few else "all"


def fitted(start: Start, batch_size: int, limit: int, report: Callable[[str], None]) -> int:
    """Arrange a run so that it fits into `limit` bytes; the batch size. Raises MoebiusError."""
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
        library = find_photos(photos, settings.image_size)
    else:
        settings = new_config(config, base, False)
        library = find_photos(photos, settings.image_size)
        settings = new_config(config, base, library.has_objects)
        unet = new_unet(settings.unet, seed)
    return Start(unet, load_vae(base), base, settings, library, Recipe(), is_new=config is not None)


def fingerprint(library: Library) -> str:
    """What a run on these photos depends on, as one hash."""
    names = [photo.digest for photo in [*library.train, *library.held_out]]
    return hashlib.sha256("".join(names).encode()).hexdigest()


def describe(start: Start, plan: Plan) -> None:
    """Photos, crops and steps."""
    library, size = start.library, start.config.image_size
    for reason in library.skipped:
        typer.echo(f"skipped: {reason}")
    objects = sum(photo.mask is not None for photo in library.train)
    masks = f", {objects} with an object's mask" if objects else ""
    typer.echo(f"{len(library.train)} photos to learn from{masks}, {len(library.held_out)} held out")
    length = f"{plan.minutes:g} minutes" if plan.minutes is not None else f"{plan.steps} steps"
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


def measure(start: Start, plan: Plan) -> None:
    """Two steps, of which the second is timed; nothing is written."""
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


def main(arguments: Any = None) -> None:
    """Entry point of the console script."""
    app(args=arguments, prog_name="mlx_moebius.train")


if __name__ == "__main__":
    main()
