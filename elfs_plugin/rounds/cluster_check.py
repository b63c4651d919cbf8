"""How right were the clusters? The labels say it at no cost, and name the classes that no cluster covers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..clustering.matching import matching
from ..contracts import Integers
from ..errors import InvalidInput
from .labelled import Labelled


@dataclass(frozen=True)
class Judged:
    """How right clusters are on n labelled samples, and for which classes there is none.

    Attributes:
        accuracy: share of the samples whose cluster is matched (Hungarian) to their class; None without any
        cluster_of: {class: the cluster that covers it, or None}. A cluster covers the class that it is matched to if
            that is its largest one
        covered: {class: (its samples in that cluster, its samples)}
    """

    accuracy: float | None
    n: int
    cluster_of: dict[Any, int | None] = field(default_factory=dict)
    covered: dict[Any, tuple[int, int]] = field(default_factory=dict)

    @property
    def uncovered(self) -> list[Any]:
        """Classes that no cluster covers."""
        return [name for name, cluster in self.cluster_of.items() if cluster is None]


def judged(clusters: ArrayLike, labelled: Labelled) -> Judged:
    """How right the clusters were, on the samples that have been labelled since. These were chosen, not drawn at
    random: where hard ones were, the accuracy is lower than that of all samples."""
    clusters = as_clusters(clusters, None)
    if len(labelled) == 0:
        return Judged(None, 0)
    classes, own = labelled.classes, clusters[labelled.rows]
    table = overlap(own, labelled.codes, (int(clusters.max()) + 1, len(classes)))
    partner = matching(table)
    right = partner[own] == labelled.codes
    largest = table.max(axis=1)
    cluster_of: dict[Any, int | None] = dict.fromkeys(classes.tolist())
    covered = {name: (0, int(total)) for name, total in zip(classes.tolist(), table.sum(axis=0))}
    for cluster in np.flatnonzero(partner >= 0).tolist():
        code = int(partner[cluster])
        hits = int(table[cluster, code])
        if 0 < hits == largest[cluster]:
            name = classes[code].item() if hasattr(classes[code], "item") else classes[code]
            cluster_of[name] = cluster
            covered[name] = (hits, covered[name][1])
    return Judged(float(right.mean()), len(labelled), cluster_of, covered)


def overlap(rows: Integers, columns: Integers, shape: tuple[int, int]) -> Integers:
    """(R, C) int64, how often each pair of codes occurs."""
    table = np.zeros(shape, dtype=np.int64)
    np.add.at(table, (rows, columns), 1)
    return table


def as_clusters(clusters: ArrayLike, n: int | None) -> Integers:
    """(N,) whole numbers from 0, ``n`` of them where that is known.

    Raises:
        InvalidInput: for anything else
    """
    clusters = np.asarray(clusters)
    if clusters.ndim != 1 or clusters.dtype.kind not in "iu" or clusters.min(initial=0) < 0:
        raise InvalidInput("The clusters must be whole numbers from 0, one for each sample.", "clusters")
    if n is not None and len(clusters) != n:
        raise InvalidInput(f"There are {len(clusters):,} clusters for {n:,} samples; they must be as many.", "clusters")
    return clusters
