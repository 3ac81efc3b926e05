"""The options of `mlx-moebius train`. The sections of this file are the headings below "More" in the help."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from mlx_moebius.cli.values import argument, flag, option
from mlx_moebius.options import common
from mlx_moebius.training.objective import FEW
from mlx_moebius.training.objective import Timesteps as TimestepsName
from mlx_moebius.training.run import Plan
from mlx_moebius.training.step import OptimizerName, Recipe, TrainingDtype

ABOUT = """
Fine-tune a model on your own photos, or train a new one from scratch.

What is written is a model folder, usable from the first save on.
"""
EXAMPLES = (
    "mlx-moebius train photos/ --model places2 -o my-model/",
    "mlx-moebius train photos/ --model nano -o my-nano/ --minutes 30",
    "mlx-moebius train photos/ --model places2 -o my-model/ --resume",
)
MOST_USED = ("photos", "out", "model", "steps", "minutes", "memory_limit", "resume")

Photos = Annotated[Path, argument("PHOTOS", help="Folder of photos; an object's mask lies beside as name_mask.png.")]
Out = Annotated[Path, option("--out", "-o", metavar="MODEL", kind=Path, help="Model folder to write.")]
Model = Annotated[str | None, common.model(help="Model to fine-tune, by name or folder.")]
Steps = Annotated[int | None, option("--steps", metavar="N", of=(Plan, "steps"), help="Updates to train for.")]
Minutes = Annotated[
    float | None,
    option("--minutes", metavar="N", of=(Plan, "minutes"), help="End within this time, instead of --steps."),
]
MemoryLimit = Annotated[
    int | None, common.memory_limit(help="Fit into this, such as 12GB, by smaller batches and --grad-checkpoint.")
]
Resume = Annotated[bool, flag("--resume", help="Go on with the run in MODEL, with the same options.")]

option, flag = partial(option, panel="what is learnt from"), partial(flag, panel="what is learnt from")

Config = Annotated[
    Path | None,
    option(
        "--config",
        metavar="FILE",
        kind=Path,
        help="JSON with the sizes of a new network, trained from scratch (with --vae or --teacher).",
    ),
]
Vae = Annotated[
    str | None,
    option("--vae", metavar="NAME", help="With --config: the model whose VAE is used.", shown="the teacher's"),
]
Teacher = Annotated[
    str | None, option("--teacher", metavar="NAME", help="Larger model with the same VAE, to learn from as well.")
]

option, flag = partial(option, panel="how it is learnt"), partial(flag, panel="how it is learnt")

BatchSize = Annotated[int | None, option("--batch-size", metavar="N", of=(Plan, "batch_size"), help="Crops at a time.")]
GradAccumulation = Annotated[
    int | None,
    option("--grad-accumulation", metavar="N", of=(Recipe, "grad_accumulation"), help="Batches per update."),
]
LearningRate = Annotated[
    float | None,
    option(
        "--lr", metavar="X", of=(Plan, "learning_rate"), help="Highest learning rate.", shown="1e-5; 1e-3 with --config"
    ),
]
Optimizer = Annotated[OptimizerName | None, option("--optimizer", of=(Recipe, "optimizer"), help="AdamW or Muon.")]
Ema = Annotated[
    float | None, option("--ema", metavar="X", of=(Recipe, "ema"), help="Decay of the average that is saved; 0: none.")
]
Blend = Annotated[
    float | None,
    option(
        "--blend", metavar="X", of=(Recipe, "blend"), help="With --model: share of what was learnt in what is saved."
    ),
]
BatchNorm = Annotated[
    Literal["frozen", "live"] | None,
    option(
        "--batch-norm",
        kind=Literal["frozen", "live"],
        help="frozen: running statistics; live: the batch's.",
        shown="frozen; live with --config",
    ),
]
Timesteps = Annotated[
    TimestepsName | None,
    option(
        "--timesteps",
        of=(Recipe, "timesteps"),
        help="all, or sampled: only those that the model visits when it samples.",
        shown=f"sampled for models of at most {FEW} steps",
    ),
]
UniformTimesteps = Annotated[
    float | None,
    option(
        "--uniform-timesteps",
        metavar="X",
        of=(Recipe, "uniform_share"),
        help="Share of --timesteps all that is uniform; the others are logit-normal.",
    ),
]
Seed = Annotated[int | None, option("--seed", metavar="N", of=(Plan, "seed"), help="Seed of everything random.")]

option, flag = partial(option, panel="how it runs"), partial(flag, panel="how it runs")

Dtype = Annotated[
    TrainingDtype | None,
    option("--dtype", of=(Recipe, "dtype"), help="Type of a step's arithmetic; weights are float32."),
]
GradCheckpoint = Annotated[
    bool, flag("--grad-checkpoint", help="Less memory: compute layers again in the backward pass.")
]
SaveEvery = Annotated[
    int | None, option("--save-every", metavar="N", of=(Plan, "save_every"), help="Steps between saves.")
]
ValEvery = Annotated[
    int | None,
    option(
        "--val-every", metavar="N", of=(Plan, "val_every"), help="Steps between evaluations on the photos held out."
    ),
]
DryRun = Annotated[bool, flag("--dry-run", help="Say what would be done, measure one step, write nothing.")]
