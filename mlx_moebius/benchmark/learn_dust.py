"""Learns what dust looks like: `python -m mlx_moebius.benchmark.learn_dust FOLDER` writes `dust_weights.json`.

Specks are painted over the photographs of the folder but every seventh, and over drawn grain; stars, letters and eyes
are drawn without. Spots that are found there are dust where a speck was painted, and none elsewhere. A network with one
hidden layer learns to tell them apart by their measures (see `selection/likeness.py`), and is judged by the photographs
that were left out. All chance is seeded: the same folder gives the same weights.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx import nn, optimizers
from numpy.typing import NDArray

from mlx_moebius.benchmark.drawn import full_of_dots, textures
from mlx_moebius.benchmark.painted import paint_specks
from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import replacing
from mlx_moebius.photos.photo import read_photo
from mlx_moebius.selection.dust import likely_spots, rated_spots
from mlx_moebius.selection.likeness import WEIGHTS, Likeness, learnt, measures

LEFT_OUT = 7  # every seventh photograph
SPECKS = 30  # painted over a photo
ROUNDS = 2  # specks painted over each photo
HIDDEN = 12
EPOCHS, BATCH = 100, 2048
RATE, DECAY = 5e-3, 1e-2  # of the optimiser AdamW
SEED = 0


def left_out(files: list[Path]) -> list[Path]:
    """The photographs of a folder that nothing is learnt from."""
    return files[::LEFT_OUT]


def pictures(files: list[Path]) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """What is learnt from, and how many specks are painted over each."""
    others = left_out(files)
    yield from ((read_photo(file).rgb(), SPECKS) for file in files if file not in others)
    generator = np.random.default_rng(SEED)
    yield from ((rgb, SPECKS) for rgb in textures(generator))
    yield from ((rgb, 0) for rgb in full_of_dots(generator))


def examples(pictures: Iterable[tuple[NDArray[np.uint8], int]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measures [N, M] of the spots in pictures with painted specks, and 1 for those that were painted [N]."""
    rows, answers = [], []
    for number, (rgb, specks) in enumerate(pictures):
        for turn in range(ROUNDS if specks else 1):
            painted = paint_specks(rgb, specks, np.random.default_rng([SEED, number, turn]))
            spots = likely_spots(painted.rgb)
            if not spots:
                continue
            rows.append(measures(painted.rgb, spots))
            answers.append(painted.found_by(spots).any(axis=1))
    return np.concatenate(rows), np.concatenate(answers).astype(np.float32)


def learn(rows: NDArray[np.float32], answers: NDArray[np.float32], epochs: int = EPOCHS) -> Likeness:
    """The network that tells examples apart best."""
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    inputs, wanted = mx.array(Likeness.scaled(rows, mean, scale)), mx.array(answers)
    mx.random.seed(SEED)
    network = nn.Sequential(nn.Linear(rows.shape[1], HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1))
    steps = -(-len(rows) // BATCH)
    optimiser = optimizers.AdamW(optimizers.cosine_decay(RATE, epochs * steps), weight_decay=DECAY)

    def loss(x: mx.array, y: mx.array) -> mx.array:
        return nn.losses.binary_cross_entropy(network(x)[:, 0], y, with_logits=True, reduction="mean")

    step = nn.value_and_grad(network, loss)
    generator = np.random.default_rng(SEED)
    for _ in range(epochs):
        order = mx.array(generator.permutation(len(rows)))
        for first in range(0, len(rows), BATCH):
            some = order[first : first + BATCH]
            _, gradients = step(inputs[some], wanted[some])
            optimiser.update(network, gradients)
            mx.eval(network.parameters(), optimiser.state)
    inner, outer = network.layers[0], network.layers[2]
    return Likeness(
        mean, scale, np.array(inner.weight), np.array(inner.bias), np.array(outer.weight)[0], float(outer.bias.item())
    )


def judged(files: list[Path]) -> str:
    """What the program finds in photographs with painted specks, by how many false spots each may have."""
    hits, false = [], []
    for file in files:
        painted = paint_specks(read_photo(file).rgb(), SPECKS, np.random.default_rng(SEED))
        rated = rated_spots(painted.rgb)
        odds = np.array([likely for _, likely in rated])
        near = painted.found_by([spot for spot, _ in rated])
        hits.append(np.where(near, odds[:, None], -np.inf).max(axis=0, initial=-np.inf))
        false.append(odds[~near.any(axis=1)])
    found, others = np.concatenate(hits), -np.sort(-np.concatenate(false))
    lines = [f"of {len(found)} specks on {len(files)} photographs that nothing was learnt from:"]
    for count in (0.5, 1, 2, 5, 10):
        least = others[min(len(others) - 1, int(count * len(files)))]
        lines.append(f"{(found > least).mean():.1%} with {count:g} false spots a photo (odds above {least:.2f})")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Learn from the photographs of a folder."""
    files = sorted(Path(arguments[0]).glob("*.jpg")) if arguments else []
    if len(files) <= 2 * LEFT_OUT:
        raise MoebiusError(f"give a folder with more than {2 * LEFT_OUT} photographs (*.jpg)")
    found = learn(*examples(pictures(files)))
    with replacing(WEIGHTS) as file:
        file.write((json.dumps(found.as_lists()) + "\n").encode())
    learnt.cache_clear()
    print(judged(left_out(files)))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MoebiusError as error:
        sys.exit(f"error: {error}")
