"""What a model of the labels so far needs most: the targets of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from ..contracts import Array, Integers, Mask, Progress, Vectors
from ..neighbors.vectors import normalize
from ..progress import silent
from ..selectors import Pool, select
from ..selectors.methods.u_herding import margin_uncertainty

_BLOCK = 128
MOST_UNSURE = 10_000
"""Samples that compete for uncertainty, or twenty times as many as are wanted."""
_REACH = 32
"""Neighbours of a failure that are sorted in any case."""
_SURE_AT = 10
"""Labels of a class at which half of the probability that a model would need is asked for."""


@dataclass(frozen=True)
class Task:
    """``pool`` in the order of its ids, with embeddings; ``classes`` (C,) and ``counts`` (C,) of the labels so far;
    ``probabilities`` (N, C) of a model of them; ``failures`` (F,) rows in the order of their turns."""

    pool: Pool
    classes: Array
    counts: Integers
    probabilities: Vectors
    failures: Integers
    seed: int = 0
    progress: Progress = silent


Target: TypeAlias = Callable[[Task, Mask, int], "tuple[Integers, list[str]]"]
"""``target(task, free, count)``: (count,) rows among ``free`` (N,), which has as many, and (count,) sentences."""


def uncertainty(task: Task, free: Mask, count: int) -> tuple[Integers, list[str]]:
    """Where the model is unsure, and no other choice is near (UHerding), among the samples of which it is least sure:
    those of which it is sure hardly count, and all pairs of 50,000 take half a minute."""
    unsure = margin_uncertainty(task.probabilities)
    rows = np.flatnonzero(free)
    seen = task.pool.locked.copy()
    seen[rows[np.lexsort((rows, -unsure[rows]))][: max(MOST_UNSURE, 20 * count)]] = True
    pool = replace(task.pool, excluded=~seen, probabilities=task.probabilities)
    found = select("u_herding", pool, count, seed=task.seed, progress=task.progress)
    said = [
        f"the model is unsure (1 - margin = {unsure[row]:.2f}); {found.reasons[row]}" for row in found.indices.tolist()
    ]
    return found.indices, said


def failures(task: Task, free: Mask, count: int) -> tuple[Integers, list[str]]:
    """The nearest neighbours of the model's failures, which take turns."""
    vectors = normalize(task.pool.embeddings)
    turns = task.failures[:count]
    open_ = free.copy()
    queues = _nearest(vectors, turns, open_, _REACH + 4 * (count // len(turns)), task.progress)
    chosen: list[int] = []
    said: list[str] = []
    for place in range(count):
        failure = int(turns[place % len(turns)])
        row = next(row for row in queues[place % len(turns)] if open_[row])
        open_[row] = False
        chosen.append(row)
        near = float(vectors[row] @ vectors[failure])
        said.append(f"near {task.pool.ids[failure]}, which the model got wrong (cosine {near:.2f})")
    return np.array(chosen, dtype=np.int64), said


def _nearest(vectors: Vectors, failures: Integers, open_: Mask, reach: int, progress: Progress) -> list[Iterator[int]]:
    """For each failure the open rows, the nearest first; those beyond ``reach`` are sorted when they are wanted."""
    rows = np.flatnonzero(open_)
    base = vectors[rows]
    found: list[Iterator[int]] = []
    for start in range(0, len(failures), _BLOCK):
        block = failures[start : start + _BLOCK]
        for failure, similarity in zip(block, vectors[block] @ base.T):
            near = np.arange(len(rows))
            if len(rows) > reach:  # of many a full sort would take long
                near = np.argpartition(-similarity, reach)[:reach]
            near = near[np.lexsort((near, -similarity[near]))]
            found.append(_and_beyond(rows[near], vectors, int(failure), open_))
        progress(start / len(failures), "looking near the failures")
    return found


def _and_beyond(near: Integers, vectors: Vectors, failure: int, open_: Mask) -> Iterator[int]:
    yield from near.tolist()
    rows = np.flatnonzero(open_)
    yield from rows[np.lexsort((rows, -(vectors[rows] @ vectors[failure])))].tolist()


def rare(task: Task, free: Mask, count: int) -> tuple[Integers, list[str]]:
    """What the model gives to the classes that have less than half of an even share of the labels; what these do not
    need goes to :func:`uncertainty`, which also finds classes that no label is of yet.

    Each turn is of the class that has fewest labels, those that it was given in this batch counted, until it has its
    even share. It takes the free sample with the highest probability, the more typical of its surroundings the better;
    see :func:`least_probability`.
    """
    even = int(task.counts.sum() + count) / len(task.counts)
    have = task.counts.astype(np.int64).copy()
    queues = {code: _of_class(task, free, code) for code in np.flatnonzero(task.counts < even / 2).tolist()}
    taken = np.zeros(len(free), dtype=bool)
    chosen: list[int] = []
    said: list[str] = []
    while queues and len(chosen) < count:
        code = min(queues, key=lambda code: (have[code], code))
        row = next((row for row in queues[code] if not taken[row]), None)
        if row is None or have[code] >= even:
            del queues[code]
            continue
        taken[row] = True
        have[code] += 1
        chosen.append(row)
        p, labels = float(task.probabilities[row, code]), int(task.counts[code])
        said.append(f"the model gives it to {task.classes[code]} (p = {p:.2f}), which has {labels:,} labels")
    if len(chosen) < count:
        pool = replace(task.pool, locked=task.pool.locked | taken)
        others, reasons = uncertainty(replace(task, pool=pool), free & ~taken, count - len(chosen))
        chosen, said = [*chosen, *others.tolist()], [*said, *reasons]
    return np.array(chosen, dtype=np.int64), said


def least_probability(labels: int) -> float:
    """The probability below which a class of so many labels has no claim to a sample: 0.05 for one label, 0.25 for ten,
    towards 0.5."""
    return 0.5 * labels / (labels + _SURE_AT)


def typicality(pool: Pool) -> Array:
    """(N,) in (0, 1]: 1 for the sample with the nearest neighbours, towards 0 for the one with the farthest; 1 for all
    without neighbours."""
    n = len(pool)
    if pool.neighbors is None:
        return np.ones(n)
    near = pool.neighbors.similarities.astype(np.float64).mean(axis=1)
    place = np.searchsorted(np.sort(near), near, side="right")
    return place / n


def _of_class(task: Task, free: Mask, code: int) -> Iterator[int]:
    """The free rows that the class has a claim to, the best first."""
    probabilities = task.probabilities[:, code]
    rows = np.flatnonzero(free & (probabilities >= least_probability(int(task.counts[code]))))
    # Half a say only: where a class is rare its samples lie apart.
    keys = probabilities[rows] * (0.5 + 0.5 * typicality(task.pool)[rows])
    yield from rows[np.lexsort((rows, -keys))].tolist()


TARGETS: dict[str, Target] = {"uncertainty": uncertainty, "failures": failures, "rare": rare}
