"""How many labels are enough? What a probe learns from coresets of growing size, beside Random."""

from dataclasses import dataclass

import numpy as np

from ..arrays import as_matrix, as_row
from ..errors import InvalidInput
from ..plain import plain
from ..progress import silent
from ..proxy.train import ProxyConfig
from ..pruning.scores import HARD_WHEN
from ..pruning.usual_beta import prior_beta
from ..pruning.zones import double_end, resolve_budget
from ..seeds import Stream, derived
from .probe import Task, accuracies, check_probe, probe_config, split

LADDER = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
"""Default budgets as fractions of the pool."""

PER_CLUSTER = 3
"""Default budgets hold as many images for each cluster on average, or more."""

DEFAULT_REPEATS = 3
MOST = 30
STEPS = 300
"""Optimiser steps of a probe, the same at every budget."""

CAVEAT = (
    "This is measured on pseudo-labels: it says when more images stop helping to predict the clusters. True classes may"
    " be finer than clusters, and then need more."
)


@dataclass(frozen=True)
class BudgetCurve:
    """``budgets`` (B,) images and ``betas`` (B,); ``coreset`` and ``random`` (B, repeats) accuracies in [0, 1] on
    held-out pseudo-labels.

    ``enough`` is the smallest budget whose accuracy on the coreset is on average no more than one standard deviation
    below the best budget's, of their differences over the repeats, which share splits and seeds. ``enough_random`` is
    the same of Random.
    """

    size_of_pool: int
    budgets: np.ndarray
    betas: np.ndarray
    coreset: np.ndarray
    random: np.ndarray

    @property
    def enough(self):
        return int(self.budgets[_first_near_best(self.coreset)])

    @property
    def enough_random(self):
        return int(self.budgets[_first_near_best(self.random)])

    @property
    def sentence(self):
        at = _first_near_best(self.coreset)
        mean = self.coreset.mean(axis=1)
        best = int(mean.argmax())
        top = f"the best ({mean[best]:.1%} at {self.budgets[best]:,})"
        if at == len(self.budgets) - 1:
            found = f"Every budget below {self.enough:,} images is clearly worse than {top}."
        else:
            share = self.enough / self.size_of_pool
            found = f"{self.enough:,} images ({share:.1%}) are enough: {mean[at]:.1%}, not clearly worse than {top}."
        return f"{found} Random needs {self.enough_random:,} by the same rule. {CAVEAT}"

    def to_dict(self):
        found = {name: plain(value) for name, value in vars(self).items()}
        for name in ("coreset", "random"):
            found[f"{name}_mean"] = getattr(self, name).mean(axis=1).tolist()
            found[f"{name}_sd"] = getattr(self, name).std(axis=1).tolist()
        return {**found, "enough": self.enough, "enough_random": self.enough_random, "sentence": self.sentence}


def default_budgets(n, num_clusters):
    """The budgets of :data:`LADDER` in images, none below :data:`PER_CLUSTER` images for each cluster."""
    least = min(n, PER_CLUSTER * num_clusters)
    counts = {resolve_budget(fraction, n) for fraction in LADDER}
    return np.array(sorted({least, *(count for count in counts if count >= 1.2 * least)}), dtype=np.int64)


def budget_curve(
    inputs,
    labels,
    scores,
    *,
    budgets=None,
    beta=None,
    hard=HARD_WHEN["aum"],
    repeats=DEFAULT_REPEATS,
    ids=None,
    config=None,
    seed=0,
    device="auto",
    progress=silent,
):
    """Trains a probe at every budget, on the coreset and on as many random samples.

    For each repeat another tenth is held out; from the rest the coresets are selected (budget and β as fractions, so
    that the split is a small copy of the whole) and Random drawn. All probes take the same number of steps; within a
    repeat all begin alike. At 100% both train on the same samples.

    Args:
        inputs: (N, D) embeddings
        labels: (N,) pseudo-labels
        scores: (N,) difficulty, ``hard`` its hard end
        budgets: counts, or fractions of N (default: :func:`default_budgets`)
        beta: None for :func:`~..pruning.usual_beta.prior_beta` of each budget; a number; a dict from budget, as given
            or in images, to β; or a callable of the kept fraction. What a budget does not allow is clipped to 1 - b / N
        ids: (N,) distinct and sortable; they take the place of positions

    Returns:
        :class:`BudgetCurve`

    Raises:
        InvalidInput: for fewer than 20 samples, one cluster, budgets or β out of range
    """
    inputs = as_matrix(inputs, "The inputs of a budget curve", "inputs")
    n = len(inputs)
    labels, scores = as_row(labels, n, "The labels", "labels"), as_row(scores, n, "The scores", "scores")
    check_probe(labels, repeats, "A budget curve")
    counts, betas = _settings(budgets, beta, n, len(np.unique(labels)))
    order = np.arange(n) if ids is None else np.argsort(np.asarray(ids), kind="stable")
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    tasks = []
    for repeat in range(repeats):
        here = split(order, seed, repeat)
        train = order[np.sort(place[here.train])]
        for count, b in zip(counts.tolist(), betas.tolist()):
            size = max(1, min(len(train), round(count / n * len(train))))
            most = 1 - size / len(train)
            coreset = train[double_end(scores[train], size, min(b, most), hard=hard).coreset]
            for rows in (coreset, here.train[:size]):
                tasks.append(Task(rows[np.argsort(place[rows])], here.held_out, derived(seed, Stream.PROBE, repeat)))
    config = config or ProxyConfig.mlp(steps=STEPS, hidden=probe_config().hidden)
    found = accuracies(inputs, labels, tasks, order=order, config=config, device=device, progress=progress)
    found = found.reshape(repeats, len(counts), 2).transpose(2, 1, 0)
    return BudgetCurve(n, counts, betas, found[0], found[1])


def _settings(budgets, beta, n, num_clusters):
    """Budgets (B,) in images, ascending, and their β (B,)."""
    if budgets is None:
        budgets = default_budgets(n, num_clusters).tolist()
    budgets = np.asarray(budgets).tolist() if isinstance(budgets, np.ndarray) else list(budgets)
    if not 1 <= len(budgets) <= MOST:
        raise InvalidInput(f"Give 1 to {MOST} budgets, not {len(budgets)}.", "budgets")
    try:
        given = {resolve_budget(budget, n): budget for budget in budgets}
    except InvalidInput as error:
        raise InvalidInput(str(error), "budgets") from None
    counts = np.array(sorted(given), dtype=np.int64)
    betas = [min(_beta(beta, count, given[count], n), 1 - count / n) for count in counts.tolist()]
    return counts, np.array(betas, dtype=np.float64)


def _beta(beta, count, given, n):
    if beta is None:
        return prior_beta(count / n)
    if isinstance(beta, dict):
        value = beta.get(count, beta.get(given))
        if value is None:
            raise InvalidInput(f"β is missing for the budget {given}.", "beta")
    else:
        value = beta(count / n) if callable(beta) else beta
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value < 1:
        raise InvalidInput(f"β must be from 0 to below 1; it is {value}.", "beta")
    return float(value)


def _first_near_best(values):
    """Number of the first row that is no more than one standard deviation of the differences behind the best row."""
    best = int(values.mean(axis=1).argmax())
    behind = values[best] - values
    return int(np.flatnonzero(behind.mean(axis=1) <= behind.std(axis=1) + 1e-12)[0])
