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
    """Where the model is unsure, and no other choice is near (UHerding)."""
    pool = replace(task.pool, excluded=task.pool.excluded | ~(free | task.pool.locked))
    pool = replace(pool, probabilities=task.probabilities)
    found = select("u_herding", pool, count, seed=task.seed, progress=task.progress)
    unsure = margin_uncertainty(task.probabilities[found.indices])
    said = [
        f"the model is unsure (1 - margin = {value:.2f}); {found.reasons[int(row)]}"
        for row, value in zip(found.indices, unsure)
    ]
    return found.indices, said


def failures(task: Task, free: Mask, count: int) -> tuple[Integers, list[str]]:
    """The nearest neighbours of the model's failures, which take turns."""
    vectors = normalize(task.pool.embeddings)
    turns = task.failures[:count]
    open_ = free.copy()
    queues = _nearest(vectors, turns, open_, 32 + 4 * (count // len(turns)), task.progress)
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
    """What the model gives to the classes with fewest labels.

    Each turn is of the class that has fewest labels, those that it was given in this batch counted; it takes the free
    sample with the highest probability, the more typical of its surroundings the better. A class has turns while the
    model gives it something with a probability that is low for a class of few labels and half for one of many; when no
    class has, the others are taken as they are.
    """
    typical = typicality(task.pool)
    queues = [_of_class(task, free, typical, code) for code in range(len(task.classes))]
    open_ = free.copy()
    have = task.counts.astype(np.int64).copy()
    chosen: list[int] = []
    said: list[str] = []
    least = np.array([least_probability(labels) for labels in task.counts.tolist()])
    waiting = np.zeros(len(have), dtype=bool)
    while len(chosen) < count:
        code = int(np.lexsort((np.arange(len(have)), have, waiting))[0])
        row = next(row for row in queues[code] if open_[row])
        p = float(task.probabilities[row, code])
        if p < least[code] and not waiting.all():
            waiting[code] = True
            queues[code] = _then(row, queues[code])
            continue
        open_[row] = False
        have[code] += 1
        chosen.append(row)
        labels = int(task.counts[code])
        said.append(f"the model gives it to {task.classes[code]} (p = {p:.2f}), which has {labels:,} labels")
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


def _of_class(task: Task, free: Mask, typical: Array, code: int) -> Iterator[int]:
    """Free rows, the best for the class first."""
    rows = np.flatnonzero(free)
    # Half a say only: where a class is rare its samples lie apart.
    keys = task.probabilities[rows, code] * (0.5 + 0.5 * typical[rows])
    yield from rows[np.lexsort((rows, -keys))].tolist()


def _then(first: int, rest: Iterator[int]) -> Iterator[int]:
    yield first
    yield from rest


TARGETS: dict[str, Target] = {"uncertainty": uncertainty, "failures": failures, "rare": rare}
