"""How good is it, by true labels? Apart from everything that selects, which never sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..clustering.matching import matching
from ..contracts import Array, Floats, Integers, Progress, Vectors
from ..errors import InvalidInput
from ..plain import plain
from ..progress import silent
from ..pruning.zones import ZONES, Zones
from .probe import MIN_SAMPLES, beside_random, probe_accuracies

if TYPE_CHECKING:
    import torch

    from .methods import MethodComparison


@dataclass(frozen=True)
class Audit:
    """Accuracies against true labels, each in [0, 1].

    ``pseudo_label_accuracy`` after Hungarian matching; ``coreset`` and ``random`` (seeds,) of a probe trained on true
    labels of the coreset, and of random subsets of the same size, each tested on the same held-out tenth.
    """

    pseudo_label_accuracy: float
    coreset: Floats
    random: Floats
    budget: int


def pseudo_label_accuracy(pseudo_labels: ArrayLike, true_labels: ArrayLike) -> float:
    """Share of samples whose cluster is matched (Hungarian) to their class; their numbers may differ."""
    return float(_right(pseudo_labels, true_labels).mean())


def _right(pseudo_labels, true_labels):
    """(N,) bool: whether the class of each sample is the one that its cluster is matched to."""
    clusters, a = np.unique(pseudo_labels, return_inverse=True)
    classes, b = np.unique(true_labels, return_inverse=True)
    overlap = np.zeros((len(clusters), len(classes)), dtype=np.int64)
    np.add.at(overlap, (a, b), 1)
    return matching(overlap)[a] == b


def audit(
    embeddings: Vectors,
    pseudo_labels: ArrayLike,
    coreset: ArrayLike,
    true_labels: ArrayLike,
    *,
    ids: Sequence[Any] | Array | None = None,
    seeds: int = 5,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> Audit:
    """Compares a coreset with random subsets of its size, using true labels. For reporting only.

    For each seed a tenth of all samples is held out as the test set; the probe of all comparisons (an MLP on the
    embeddings, as many steps for every set) is trained on the coreset without the test samples, and on as many random
    others.

    Args:
        embeddings: (N, D); pseudo_labels: (N,); coreset: (b,) indices; true_labels: (N,) of any sortable type
        ids: (N,) distinct and sortable; they take the place of positions in everything random

    Returns:
        :class:`Audit`
    """
    n = len(embeddings)
    y = _classes(true_labels)
    if n < MIN_SAMPLES or y.max() < 1:
        raise InvalidInput(f"An audit needs at least {MIN_SAMPLES} samples of at least two classes.")
    coreset = np.asarray(coreset)
    own, random = beside_random(
        [coreset], embeddings, y, repeats=seeds, ids=ids, seed=seed, device=device, progress=progress
    )
    if np.isnan(own).any():
        raise InvalidInput(f"A coreset of {len(coreset):,} is too small to audit. Use a larger budget.", "budget")
    return Audit(pseudo_label_accuracy(pseudo_labels, y), own[0], random[0], len(coreset))


def _classes(true_labels):
    """(N,) int: the number of each sample's class."""
    return np.unique(np.asarray(true_labels), return_inverse=True)[1]


@dataclass(frozen=True)
class ZoneAudit:
    """What the zones hold, by true labels.

    ``classes`` (K,) names, sorted; ``counts`` (3, K) samples of each class in hard, coreset and easy;
    ``pseudo_label_accuracy`` (3,) with one matching of clusters to classes for all zones, NaN for an empty zone.
    """

    classes: list[str]
    counts: Integers
    pseudo_label_accuracy: Floats

    def to_dict(self) -> dict[str, Any]:
        return {"zones": list(ZONES), **{name: plain(value) for name, value in vars(self).items()}}


def audit_zones(zones: Zones | ArrayLike, pseudo_labels: Sequence[int] | Integers, true_labels: ArrayLike) -> ZoneAudit:
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


def audit_methods(
    compared: MethodComparison,
    embeddings: Vectors,
    true_labels: Sequence[Any] | Array,
    *,
    ids: Sequence[Any] | Array | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> Floats:
    """(M, B, S) accuracies on true labels of what methods have chosen, in the splits of the comparison. For reporting
    only.

    Args:
        compared: :class:`~.methods.MethodComparison`; it was made without these labels
        ids, seed: as it was made with
        true_labels: (N,) of any sortable type
    """
    if len(true_labels) != compared.size_of_pool:
        raise InvalidInput(f"{compared.size_of_pool:,} samples need as many true labels, not {len(true_labels):,}.")
    y = _classes(true_labels)
    if y.max() < 1:
        raise InvalidInput("An audit needs at least two classes.")
    return probe_accuracies(compared.chosen, embeddings, y, ids=ids, seed=seed, device=device, progress=progress)
