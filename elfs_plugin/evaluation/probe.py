"""How well does a set of samples teach? A small MLP on labels of it, tested on labels held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..beta_search.search import candidate
from ..beta_search.splits import MIN_SAMPLES, split
from ..contracts import Array, Floats, Integers, Progress
from ..devices import resolve_device
from ..errors import InvalidInput
from ..gpu_memory import or_on_cpu
from ..order import Order
from ..progress import part, silent
from ..proxy import kinds
from ..proxy.config import ProxyConfig
from ..proxy.mlp import Standardised, fit_subsets
from ..seeds import Stream, derived, rng
from ..validation import shown, whole_number

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Task:
    """One training: its ``rows`` (b,), the rows ``held_out`` (h,) it is tested on, the ``seed`` it begins with."""

    rows: Integers
    held_out: Integers
    seed: int


class Repeat:
    """One repeat: a tenth that is held out, Random's order of the rest, and the seed that all its probes begin with.

    Attributes:
        train: (t,) rows to choose from. The first b of them are Random's choice of b, so that its larger choices
            contain the smaller ones
        held_out: (h,) rows to test on

    Args:
        order: the :class:`~..order.Order` of all samples
        number: of the repeat, from 0
    """

    def __init__(self, order: Order, seed: int, number: int) -> None:
        drawn = split(order, rng(seed, Stream.PROBE_SPLIT, number))
        self.train, self.held_out = drawn.train, drawn.held_out
        self._order, self._seed = order, derived(seed, Stream.PROBE, number)

    def task(self, rows: Integers) -> Task:
        """The :class:`Task` of some (b,) rows, without those that are held out. They are taken in the order of the ids,
        so that what was chosen decides and not when."""
        in_order = self._order.sorted(rows)
        kept = in_order[~np.isin(in_order, self.held_out)]
        return Task(kept, self.held_out, self._seed)

    def random(self, size: int) -> Task:
        """The :class:`Task` of Random's choice of so many rows."""
        return self.task(self.train[:size])

    def pair(self, rows: Integers) -> list[Task]:
        """The task of some rows, and that of as many of Random's."""
        own = self.task(rows)
        return [own, self.random(len(own.rows))]


def probe_config() -> ProxyConfig:
    """The MLP of the β search: the same steps for every set, whatever its size."""
    return candidate(ProxyConfig.of(kinds.ON_EMBEDDINGS))


def check_probe(labels: Integers, repeats: Any, what: str) -> None:
    """Raises :class:`InvalidInput` unless there are samples and clusters enough for held-out accuracies."""
    n = len(labels)
    if n < MIN_SAMPLES:
        raise InvalidInput(f"{what} needs at least {MIN_SAMPLES} samples, there are {n}.")
    if len(np.unique(labels)) < 2:
        raise InvalidInput(f"{what} needs two clusters at least; all pseudo-labels are the same.")
    if (whole_number(repeats) or 0) < 1:
        raise InvalidInput(f"The number of repeats must be a whole number from 1, not {shown(repeats)}.", "seeds")


def beside_random(
    sets: Sequence[Integers],
    embeddings: ArrayLike,
    labels: Integers,
    *,
    repeats: int,
    ids: Sequence[Any] | Array | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> tuple[Floats, Floats]:
    """(S, repeats) accuracies of S sets of rows without the held-out tenth, and (S, repeats) of as many random rows
    each, in the same splits; NaN where nothing of a set was left."""
    order = Order(len(labels), ids)
    tasks = []
    for number in range(repeats):
        repeat = Repeat(order, seed, number)
        for rows in sets:
            tasks += repeat.pair(rows)
    reached = accuracies(embeddings, labels, tasks, order=order, device=device, progress=progress)
    own, random = reached.reshape(repeats, len(sets), 2).transpose(2, 1, 0)
    return own, random


def probe_accuracies(
    chosen: Sequence[Sequence[Sequence[Integers]]],
    embeddings: ArrayLike,
    labels: Integers,
    *,
    ids: Sequence[Any] | Array | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> Floats:
    """(M, B, S) accuracies on a held-out tenth, another one for each seed, of an MLP trained on ``chosen[m][b][s]``
    without it. ``labels`` (N,) int are learnt and tested."""
    order = Order(len(labels), ids)
    repeats = [Repeat(order, seed, number) for number in range(len(chosen[0][0]))]
    tasks = [
        repeat.task(rows) for of_method in chosen for of_budget in of_method for repeat, rows in zip(repeats, of_budget)
    ]
    reached = accuracies(embeddings, labels, tasks, order=order, device=device, progress=progress)
    return reached.reshape(len(chosen), len(chosen[0]), len(repeats))


def accuracies(
    inputs: ArrayLike,
    labels: ArrayLike,
    tasks: Sequence[Task],
    *,
    order: Order | None = None,
    config: ProxyConfig | None = None,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> Floats:
    """(T,) accuracies in [0, 1] of T :class:`Task`, sets of equal size trained at once; NaN for a task without rows.

    Args:
        inputs: (N, D) embeddings
        labels: (N,) int
        order: the :class:`~..order.Order` of the samples
    """

    def on(device):
        data = Standardised(inputs, device, None if order is None else order.rows)
        return _accuracies(data, np.asarray(labels), tasks, config or probe_config(), progress)

    return or_on_cpu(resolve_device(device), on, "Training the probes")


def _accuracies(data, labels, tasks, config, progress):
    reached = np.full(len(tasks), np.nan)
    num_classes = int(labels.max()) + 1
    sizes = np.array([len(task.rows) for task in tasks])
    work = np.minimum(sizes, 256) + 16
    for size in np.unique(sizes[sizes > 0]):
        some = np.flatnonzero(sizes == size)
        before, own = work[(sizes > 0) & (sizes < size)].sum(), work[some].sum()
        total = work[sizes > 0].sum()
        rows = np.stack([tasks[t].rows for t in some.tolist()])
        trained = fit_subsets(
            data,
            labels,
            rows,
            num_classes,
            config,
            [tasks[t].seed for t in some.tolist()],
            part(progress, before / total, (before + own) / total),
        )
        _test(trained, labels, tasks, some, reached)
    progress(1.0, f"{len(tasks):,} probes")
    return reached


def _test(trained, labels, tasks, some, reached):
    by_split: dict[int, list[int]] = {}
    for place, task in enumerate(some):
        by_split.setdefault(id(tasks[task].held_out), []).append(place)
    for places in by_split.values():
        held_out = tasks[some[places[0]]].held_out
        predicted = trained.predict(held_out, places)
        reached[some[places]] = (predicted == labels[held_out]).mean(axis=1)
