"""How good is it? The comparison of coresets, and the audit against true labels, apart from everything that selects."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..errors import InvalidInput
from ..plain import plain
from ..progress import silent
from ..providers import how_to_get
from ..proxy.train import ProxyConfig, fit
from ..pruning.zones import Zones
from ..seeds import Stream, derived, rng
from . import comparison
from . import methods as method_comparison

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
    return float(_right(pseudo_labels, true_labels).mean())


def _right(pseudo_labels, true_labels):
    """(N,) bool: whether the class of each sample is the one that its cluster is matched to."""
    clusters, a = np.unique(pseudo_labels, return_inverse=True)
    classes, b = np.unique(true_labels, return_inverse=True)
    overlap = np.zeros((len(clusters), len(classes)), dtype=np.int64)
    np.add.at(overlap, (a, b), 1)
    rows, columns = linear_sum_assignment(-overlap)
    matched = np.full(len(clusters), -1)
    matched[rows] = columns
    return matched[a] == b


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
        numbers, own = rng(seed, Stream.AUDIT_SPLIT, repeat), derived(seed, Stream.AUDIT, repeat)
        order = numbers.permutation(n)
        test = order[: n // 10]
        pool = order[n // 10 :]
        chosen = np.setdiff1d(coreset, test)
        if len(chosen) == 0:
            raise InvalidInput(f"A coreset of {len(coreset):,} is too small to audit. Use a larger budget.", "budget")
        subsets = {"coreset": chosen, "random": numbers.choice(pool, size=len(chosen), replace=False)}
        for name, subset in subsets.items():
            model = fit(
                embeddings[subset],
                y[subset],
                num_classes=len(classes),
                config=config,
                seed=own,
                device=device,
            )
            results[name].append(float(np.mean(model.predict(embeddings[test]) == y[test])))
        progress((repeat + 1) / seeds, f"seed {repeat + 1} of {seeds}")
    return Audit(
        pseudo_label_accuracy(pseudo_labels, y),
        np.array(results["coreset"]),
        np.array(results["random"]),
        len(coreset),
    )


ZONES = ("hard", "coreset", "easy")


@dataclass(frozen=True)
class ZoneAudit:
    """What the zones hold, by true labels.

    ``classes`` (K,) names, sorted; ``counts`` (3, K) samples of each class in hard, coreset and easy;
    ``pseudo_label_accuracy`` (3,) with one matching of clusters to classes for all zones, NaN for an empty zone.
    """

    classes: list
    counts: np.ndarray
    pseudo_label_accuracy: np.ndarray

    def to_dict(self):
        return {"zones": list(ZONES), **{name: plain(value) for name, value in vars(self).items()}}


def audit_zones(zones, pseudo_labels, true_labels):
    """Counts true classes, and right pseudo-labels, in each zone. For reporting only.

    Args:
        zones: :class:`~..pruning.zones.Zones`, or (N,) names out of ``"hard"``, ``"coreset"``, ``"easy"``
        pseudo_labels: (N,); true_labels: (N,) of any sortable type

    Returns:
        :class:`ZoneAudit`
    """
    names = zones.zone if isinstance(zones, Zones) else np.asarray(zones)
    classes, y = np.unique(np.asarray(true_labels), return_inverse=True)
    if not len(names) == len(pseudo_labels) == len(y):
        raise InvalidInput("Zones, pseudo-labels and true labels must be as many.")
    if len(unknown := set(np.unique(names).tolist()) - set(ZONES)):
        raise InvalidInput(f"Unknown zone {min(unknown)!r}. Use: {', '.join(ZONES)}.")
    right = _right(pseudo_labels, y) if len(y) else np.zeros(0, dtype=bool)
    inside = [names == zone for zone in ZONES]
    return ZoneAudit(
        [str(name) for name in classes.tolist()],
        np.stack([np.bincount(y[rows], minlength=len(classes)) for rows in inside]),
        np.array([right[rows].mean() if rows.any() else np.nan for rows in inside]),
    )


def compare(selections, pool, *, seeds=5, seed=0, device="auto", progress=silent):
    """Compares two to ten coresets of one pool, see :func:`~.comparison.compare`.

    Args:
        selections: name -> :class:`~..selectors.Selection`, or (b,) indices into the pool
        pool: :class:`~..selectors.Pool` with embeddings and pseudo-labels; its neighbours are used when it has them

    Returns:
        :class:`~.comparison.Comparison`
    """
    for need in ("embeddings", "pseudo_labels"):
        if getattr(pool, need) is None:
            raise InvalidInput(f"A comparison needs {need}; {how_to_get(need)}.", "members")
    chosen = {name: getattr(selection, "indices", selection) for name, selection in selections.items()}
    return comparison.compare(
        chosen,
        pool.embeddings,
        pool.pseudo_labels,
        ids=pool.ids,
        neighbors=pool.neighbors,
        seeds=seeds,
        seed=seed,
        device=device,
        progress=progress,
    )


def audit_methods(compared, embeddings, true_labels, *, ids=None, seed=0, device="auto", progress=silent):
    """(M, B, S) accuracies on true labels of what methods have chosen, in the splits of the comparison. For reporting
    only.

    Args:
        compared: :class:`~.methods.MethodComparison`; it was made without these labels
        ids, seed: as it was made with
        true_labels: (N,) of any sortable type
    """
    if len(true_labels) != compared.size_of_pool:
        raise InvalidInput(f"{compared.size_of_pool:,} samples need as many true labels, not {len(true_labels):,}.")
    classes, y = np.unique(np.asarray(true_labels), return_inverse=True)
    if len(classes) < 2:
        raise InvalidInput("An audit needs at least two classes.")
    return method_comparison.probe_accuracies(
        compared.chosen, embeddings, y, ids=ids, seed=seed, device=device, progress=progress
    )
