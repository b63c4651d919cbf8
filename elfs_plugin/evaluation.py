"""How good is it? The audit against true labels, kept apart from everything that selects."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from .errors import InvalidInput
from .progress import silent
from .proxy import ProxyConfig, fit

AUDIT_STEPS = 600
"""Optimiser steps of an audit's classifier, equal for every training set."""


@dataclass(frozen=True)
class Audit:
    """Accuracies against true labels, each in [0, 1].

    ``pseudo_label_accuracy`` after Hungarian matching; ``coreset`` and ``random`` (seeds,) of a classifier trained on
    true labels of the coreset, and of random subsets of the same size, each tested on the same held-out tenth.
    """

    pseudo_label_accuracy: float
    coreset: np.ndarray
    random: np.ndarray
    budget: int


def pseudo_label_accuracy(pseudo_labels, true_labels):
    """Share of samples whose cluster is matched (Hungarian) to their class; their numbers may differ."""
    clusters, a = np.unique(pseudo_labels, return_inverse=True)
    classes, b = np.unique(true_labels, return_inverse=True)
    overlap = np.zeros((len(clusters), len(classes)), dtype=np.int64)
    np.add.at(overlap, (a, b), 1)
    rows, columns = linear_sum_assignment(-overlap)
    return float(overlap[rows, columns].sum() / len(a))


def audit(embeddings, pseudo_labels, coreset, true_labels, *, seeds=5, seed=0, device="auto", progress=silent):
    """Compares a coreset with random subsets of its size, using true labels. For reporting only.

    For each seed a tenth of all samples is held out as the test set; the classifier (an MLP on the embeddings, same
    steps for every set) is trained on the coreset without the test samples, and on as many random others.

    Args:
        embeddings: (N, D); pseudo_labels: (N,); coreset: (b,) indices; true_labels: (N,) of any sortable type

    Returns:
        :class:`Audit`
    """
    n = len(embeddings)
    classes, y = np.unique(np.asarray(true_labels), return_inverse=True)
    if n < 20 or len(classes) < 2:
        raise InvalidInput("An audit needs at least 20 samples of at least two classes.")
    config = ProxyConfig.mlp(steps=AUDIT_STEPS, hidden=256)
    results = {"coreset": [], "random": []}
    for repeat in range(seeds):
        rng = np.random.default_rng([seed, repeat])
        order = rng.permutation(n)
        test = order[: n // 10]
        pool = order[n // 10 :]
        chosen = np.setdiff1d(coreset, test)
        if len(chosen) == 0:
            raise InvalidInput(f"A coreset of {len(coreset):,} is too small to audit. Use a larger budget.", "budget")
        subsets = {"coreset": chosen, "random": rng.choice(pool, size=len(chosen), replace=False)}
        for name, subset in subsets.items():
            model = fit(embeddings[subset], y[subset], num_classes=len(classes), config=config,
                        seed=seed + repeat, device=device)  # fmt: skip
            results[name].append(float(np.mean(model.predict(embeddings[test]) == y[test])))
        progress((repeat + 1) / seeds, f"seed {repeat + 1} of {seeds}")
    return Audit(
        pseudo_label_accuracy(pseudo_labels, y),
        np.array(results["coreset"]),
        np.array(results["random"]),
        len(coreset),
    )
