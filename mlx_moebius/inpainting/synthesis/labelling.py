"""Belief propagation: one candidate for every cell, so that the costs of all cells and of all seams together are low.

Min-sum belief propagation on the grid (Felzenszwalb and Huttenlocher, "Efficient belief propagation for early vision",
2006). Cells lie along the last axis of all arrays, since NumPy is fast along long axes only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlx_moebius.inpainting.synthesis.grids import Floats, Grid
from mlx_moebius.inpainting.synthesis.search import Indices

SEAM = 1.0  # weight of the differences at a seam
ROUNDS = 20
DAMPING = 0.5
NEVER = 1e6  # a cost that no cell pays
PAUSE, SETTLED = 4, 0.01  # rounds after which a smaller share of the cells changes its source: it is done


class _Link(NamedTuple):
    """The cells [F] that tell their neighbours, and the cost of the seams between both's candidates, [K, K, F].

    `told` [N] is which of the F tells a cell (F: none). Of the seams' candidates, the sender's come first.
    Links come in pairs, there and back.
    """

    sender: Indices
    told: Indices
    seams: Floats


class Labelling:
    """Chooses one of the candidate `sources` [N, K] for every cell [N]."""

    def __init__(self, grid: Grid, cells: Indices, sources: Indices) -> None:
        self.size, self.cells, self.sources = grid.hole.size, cells, sources
        place = np.full(grid.hole.size, -1)
        place[cells] = np.arange(len(cells))
        flat = grid.colours.reshape(-1, 3)
        self.links: list[_Link] = []
        for step in (1, grid.width):
            other = place[(cells + step).clip(0, len(place) - 1)]
            first = np.flatnonzero(other >= 0)
            second = other[first]
            seams = _seams(flat, sources[first], sources[second], step)
            for sender, receiver, cost in ((first, second, seams), (second, first, seams.swapaxes(0, 1))):
                told = np.full(len(cells), len(sender))
                told[receiver] = np.arange(len(sender))
                self.links.append(_Link(sender, told, cost))

    def choose(self, cost: Floats, rounds: int = ROUNDS) -> Indices:
        """The source of every cell, flat [R * C], by the candidates' `cost` [N, K] and the seams between them."""
        unary = np.ascontiguousarray(cost.T)
        messages = [np.zeros((len(unary), len(link.sender)), np.float32) for link in self.links]
        before = unary.argmin(axis=0)
        for number in range(rounds):
            belief = self._belief(unary, messages)
            if number and number % PAUSE == 0:
                best = belief.argmin(axis=0)
                if np.count_nonzero(best != before) <= SETTLED * len(self.cells):
                    break
                before = best
            messages = [self._told(belief, messages, number) for number in range(len(self.links))]
        best = self._belief(unary, messages).argmin(axis=0)
        everyone = np.arange(len(self.cells))
        chosen = np.full(self.size, -1)
        usable = unary[best, everyone] < NEVER
        chosen[self.cells[usable]] = self.sources[everyone, best][usable]
        return chosen

    def _belief(self, unary: Floats, messages: list[Floats]) -> Floats:
        """Costs [K, N] with what the neighbours say."""
        belief = unary.copy()
        for link, message in zip(self.links, messages, strict=True):
            padded = np.zeros((len(message), message.shape[1] + 1), np.float32)
            padded[:, :-1] = message
            belief += padded.take(link.told, axis=1)
        return belief

    def _told(self, belief: Floats, messages: list[Floats], number: int) -> Floats:
        """The next message over a link: what a sender believes without what the receiver told it."""
        link, answer = self.links[number], messages[number ^ 1]
        unanswered = belief.take(link.sender, axis=1) - answer
        message = (link.seams + unanswered[:, None]).min(axis=0)  # over the sender's candidates
        message -= message.min(axis=0)
        message *= 1 - DAMPING
        message += DAMPING * messages[number]
        return message


def _seams(flat: Floats, first: Indices, second: Indices, step: int) -> Floats:
    """Squared differences, on both cells, between two neighbours' candidates [N, K]: [K, K, N], the first's first."""
    last = len(flat) - 1
    a = np.concatenate([flat.take(first, axis=0), flat.take((first + step).clip(0, last), axis=0)], axis=-1)
    b = np.concatenate([flat.take((second - step).clip(0, last), axis=0), flat.take(second, axis=0)], axis=-1)
    seam = a @ b.swapaxes(1, 2)
    seam *= -2
    seam += (a**2).sum(-1)[:, :, None]
    seam += (b**2).sum(-1)[:, None]
    np.maximum(seam, 0, out=seam)
    seam *= SEAM
    return np.ascontiguousarray(seam.transpose(1, 2, 0))
