"""Which β? A grid search on a 90/10 split of the pseudo-labelled data."""

from dataclasses import dataclass, replace

import numpy as np

from .dynamics import HARD_WHEN
from .errors import InvalidInput
from .progress import silent
from .proxy import default_config, fit
from .pruning import double_end, resolve_budget

HELD_OUT = 0.1
DEFAULT_REPEATS = 3
MIN_SAMPLES = 20
FAST_STEPS = 150
"""Optimiser steps of one MLP candidate, equal for every β."""


@dataclass(frozen=True)
class BetaSearch:
    """The curve: ``betas`` (B,), ``accuracies`` (B, repeats) on held-out pseudo-labels, the ``chosen`` β and why."""

    betas: np.ndarray
    accuracies: np.ndarray
    chosen: float
    reason: str

    @property
    def mean(self):
        return self.accuracies.mean(axis=1)

    @property
    def spread(self):
        """Standard deviation over the repeats (0 for one repeat)."""
        return self.accuracies.std(axis=1)


def default_grid(budget, n, step=0.1):
    """β = 0, 0.1, … up to 1 - budget / n."""
    limit = 1 - budget / n
    return np.round(np.arange(0, int(np.floor(limit / step + 1e-9)) + 1) * step, 10)


def validate_search(n, repeats):
    """Raises :class:`InvalidInput` unless n samples and that many repeats allow a search."""
    if n < MIN_SAMPLES:
        raise InvalidInput(f"A β search needs at least {MIN_SAMPLES} samples, there are {n}. Set β by hand.", "beta")
    if isinstance(repeats, bool) or int(repeats) != repeats or repeats < 1:
        raise InvalidInput(f"The number of repeats must be a whole number from 1, not {repeats}.", "repeats")


def search_beta(inputs, labels, scores, budget, *, grid=None, repeats=DEFAULT_REPEATS, hard=HARD_WHEN["aum"],
                config=None, seed=0, device="auto", progress=silent):  # fmt: skip
    """Trains a proxy on the coreset of every β and tests it on held-out pseudo-labels (ELFS, ICLR 2025).

    For each repeat another tenth of the samples is held out; from the rest the coreset of each β is selected (budget
    and β as fractions, so that the split is a small copy of the whole) and a proxy trained for the same number of
    steps. The accuracy after the last step counts, never the best one.

    Args:
        inputs: as for :func:`~.proxy.train_proxy`
        labels: (N,) pseudo-labels
        scores: (N,) difficulty, ``hard`` its hard end
        budget: count or fraction of N
        grid: β values (default: 0, 0.1, … as far as the budget allows); impossible ones raise
        repeats: held-out splits per β

    Returns:
        :class:`BetaSearch`; ``chosen`` is the smallest β whose mean is within one standard deviation of the best mean
    """
    n = len(labels)
    labels = np.asarray(labels)
    budget = resolve_budget(budget, n)
    validate_search(n, repeats)
    betas = np.unique(np.asarray(default_grid(budget, n) if grid is None else grid, dtype=np.float64))
    limit = 1 - budget / n
    if len(betas) == 0 or not np.isfinite(betas).all() or betas[0] < 0 or betas[-1] > limit + 1e-9:
        raise InvalidInput(f"With this budget every β of the grid must be between 0 and {limit:.4g}.", "grid")
    if config is None:
        config = default_config(inputs)
        config = replace(config, steps=FAST_STEPS) if config.kind == "mlp" else replace(config, epochs=30)
    num_classes = int(labels.max()) + 1
    accuracies = np.zeros((len(betas), repeats))
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        order = rng.permutation(n)
        held_out, train = order[: max(1, round(HELD_OUT * n))], np.sort(order[max(1, round(HELD_OUT * n)) :])
        size = max(1, min(len(train), round(budget / n * len(train))))
        for row, beta in enumerate(betas):
            possible = min(beta, 1 - size / len(train))
            chosen = train[double_end(scores[train], size, possible, hard=hard).coreset]
            model = fit(inputs[chosen], labels[chosen], num_classes=num_classes, config=config,
                        seed=seed + 7919 * repeat, device=device)  # fmt: skip
            accuracies[row, repeat] = np.mean(model.predict(inputs[held_out]) == labels[held_out])
            done = (repeat * len(betas) + row + 1) / accuracies.size
            progress(done, f"β = {beta:.2f}, repeat {repeat + 1} of {repeats}")
    chosen, reason = choose(betas, accuracies)
    return BetaSearch(betas, accuracies, chosen, reason)


def choose(betas, accuracies):
    """The smallest β within one standard deviation of the best mean, and the sentence that says so."""
    mean, spread = accuracies.mean(axis=1), accuracies.std(axis=1)
    best = int(mean.argmax())
    index = int(np.flatnonzero(mean >= mean[best] - spread[best] - 1e-12)[0])
    reason = (
        f"β = {betas[index]:.2g} is the smallest within one standard deviation ({spread[best]:.2%}) of the best mean "
        f"({mean[best]:.1%} at β = {betas[best]:.2g}), over {accuracies.shape[1]} held-out split(s) of pseudo-labels."
    )
    return float(betas[index]), reason
