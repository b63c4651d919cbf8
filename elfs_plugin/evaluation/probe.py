"""How well does a set of samples teach? A small MLP on its pseudo-labels, tested on pseudo-labels held out."""

from dataclasses import dataclass

import numpy as np

from ..beta_search import search as beta_search
from ..devices import resolve_device
from ..errors import InvalidInput
from ..progress import part, silent
from ..proxy.mlp import Standardised, fit_subsets
from ..proxy.train import ProxyConfig
from ..seeds import Stream, rng
from ..validation import shown, whole_number


@dataclass(frozen=True)
class Split:
    """One repeat: rows to ``train`` on, in the order in which Random takes them, and rows ``held_out``."""

    train: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True)
class Task:
    """One training: its ``rows`` (b,), the rows ``held_out`` (h,) it is tested on, the ``seed`` it begins with."""

    rows: np.ndarray
    held_out: np.ndarray
    seed: int


def probe_config():
    """The MLP of the β search: the same steps for every set, whatever its size."""
    return ProxyConfig.mlp(steps=beta_search.FAST_STEPS, hidden=beta_search.FAST_HIDDEN)


def check_probe(labels, repeats, what):
    """Raises :class:`InvalidInput` unless there are samples and clusters enough for held-out accuracies."""
    n = len(labels)
    if n < beta_search.MIN_SAMPLES:
        raise InvalidInput(f"{what} needs at least {beta_search.MIN_SAMPLES} samples, there are {n}.")
    if len(np.unique(labels)) < 2:
        raise InvalidInput(f"{what} needs two clusters at least; all pseudo-labels are the same.")
    if (whole_number(repeats) or 0) < 1:
        raise InvalidInput(f"The number of repeats must be a whole number from 1, not {shown(repeats)}.", "seeds")


def split(order, seed, repeat):
    """Another tenth held out for each repeat; ``order`` (N,) are the rows sorted by id, so that positions do not
    matter. The first b of ``train`` are Random's choice of b, so that its larger choices contain the smaller ones."""
    n = len(order)
    places = rng(seed, Stream.PROBE_SPLIT, repeat).permutation(n)
    count = max(1, round(beta_search.HELD_OUT * n))
    return Split(order[places[count:]], order[places[:count]])


def accuracies(inputs, labels, tasks, *, order=None, config=None, device="auto", progress=silent):
    """(T,) accuracies in [0, 1] of T :class:`Task`, sets of equal size trained at once; NaN for a task without rows.

    Args:
        inputs: (N, D) embeddings
        labels: (N,) int pseudo-labels
    """
    found = np.full(len(tasks), np.nan)
    data = Standardised(inputs, resolve_device(device), order)
    labels = np.asarray(labels)
    num_classes = int(labels.max()) + 1
    sizes = np.array([len(task.rows) for task in tasks])
    work = np.minimum(sizes, 256) + 16
    for size in np.unique(sizes[sizes > 0]):
        some = np.flatnonzero(sizes == size)
        before, here = work[(sizes > 0) & (sizes < size)].sum(), work[some].sum()
        total = work[sizes > 0].sum()
        rows = np.stack([tasks[t].rows for t in some])
        trained = fit_subsets(
            data,
            labels,
            rows,
            num_classes,
            config or probe_config(),
            [tasks[t].seed for t in some],
            part(progress, before / total, (before + here) / total),
        )
        _test(trained, labels, tasks, some, found)
    progress(1.0, f"{len(tasks):,} probes")
    return found


def _test(trained, labels, tasks, some, found):
    by_split = {}
    for place, task in enumerate(some):
        by_split.setdefault(id(tasks[task].held_out), []).append(place)
    for places in by_split.values():
        held_out = tasks[some[places[0]]].held_out
        predicted = trained.predict(held_out, places)
        found[some[places]] = (predicted == labels[held_out]).mean(axis=1)
