"""Pseudo-labels that the labels so far correct, cluster by cluster (the idea of SemiPrune).

Where the encoder knows the domain clusters are good pseudo-labels; where it does not a model of a few labels is better.
Which of them it is can be measured on the labelled samples, and may differ from cluster to cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from ..contracts import Floats, Integers, Mask
from ..proxy.labelled import learn
from .cluster_check import as_clusters, overlap
from .labelled import Labelled

FEW = 5
"""Labelled samples of a cluster below which its agreement says little."""


@dataclass(frozen=True)
class Corrected:
    """Pseudo-labels of N samples in C clusters.

    Attributes:
        labels: (N,) places in ``names``
        names: the classes of the labels in order, then the clusters that stay classes of their own
        confidence: (N,) float32: 1 of a label that was given; the model's probability; of a cluster's majority
            (m + 1) / (n + 2) for m of n labels
        by_model: (C,) bool, the clusters whose samples have the model's classes
        agreement: (C,) share of the cluster's labelled samples that are of its largest class; NaN without any
        right_by_model: (C,) share of the same samples that a model is right on which has not learnt them; NaN without
            any, or without a model
        counts: (C,) labelled samples
        warnings: sentences for the user
    """

    labels: Integers
    names: list[str]
    confidence: Floats
    by_model: Mask
    agreement: Floats
    right_by_model: Floats
    counts: Integers
    warnings: list[str] = field(default_factory=list)


def corrected(
    embeddings: ArrayLike,
    clusters: ArrayLike,
    labelled: Labelled,
    seed: int = 0,
    names: Mapping[int, str] | None = None,
) -> Corrected:
    """Gives every cluster the classes of a model of the labels, or the class that most of its labels are of.

    A cluster has the model's classes where the model, on labels it has not learnt, is right more often than the largest
    class of the cluster's *other* labels. Where both are right equally often, or fewer than two labels say nothing of a
    cluster, what is right more often over all clusters decides. A cluster without a label that the model does not get
    stays a class of its own. Labelled samples have the label that was given.

    Args:
        embeddings: (N, D) finite
        clusters: (N,) int from 0
        names: {cluster: what the user calls it}; one that is called like a class, and has no label, is of that class
    """
    clusters = as_clusters(clusters, len(np.asarray(embeddings)))
    count = int(clusters.max(initial=-1)) + 1
    home, codes = clusters[labelled.rows], labelled.codes
    table = overlap(home, codes, (count, len(labelled.classes)))
    sizes = table.sum(axis=1)
    warnings = []
    model = learn(embeddings, labelled.rows, labelled.labels, seed) if len(labelled.classes) > 1 else None
    if model is None:
        kinds = "one class" if len(labelled) else "no class"
        warnings.append(f"The labels are of {kinds}: there is no model to compare the clusters with.")
        right = np.zeros(count, dtype=np.int64)
        by_model = np.zeros(count, dtype=bool)
    else:
        right = np.bincount(home[model.held_out == codes], minlength=count)
        by_model = _model_is_better(right, _right_by_others(table), sizes)
    class_names = [str(name) for name in labelled.classes]
    labels, confidence, all_names = _of_clusters(table, class_names, names or {}, by_model)
    labels, confidence = labels[clusters], confidence[clusters]
    if model is not None:
        modelled = by_model[clusters]
        labels[modelled] = model.probabilities[modelled].argmax(axis=1)
        confidence[modelled] = model.probabilities[modelled].max(axis=1)
    labels[labelled.rows], confidence[labelled.rows] = codes, 1.0
    few = int(np.sum(sizes < FEW))
    if few:
        warnings.append(f"{few:,} of {count:,} clusters have fewer than {FEW} labels: what is said of them is a guess.")
    return Corrected(
        labels,
        all_names,
        confidence,
        by_model,
        _share(table.max(axis=1, initial=0), sizes),
        _share(right, sizes if model is not None else np.zeros_like(sizes)),
        sizes,
        warnings,
    )


def _right_by_others(table):
    """(C,) how many labels of each cluster are of the one class that most of its other labels are of."""
    found = np.zeros(len(table), dtype=np.int64)
    if table.shape[1] == 0:
        return found
    for code in range(table.shape[1]):
        rivals = np.delete(table, code, axis=1).max(axis=1, initial=0)
        found += np.where(table[:, code] - 1 > rivals, table[:, code], 0)
    return found


def _model_is_better(by_model, by_cluster, sizes):
    overall = int(by_model.sum()) > int(by_cluster.sum())
    return np.where((sizes < 2) | (by_model == by_cluster), overall, by_model > by_cluster)


def _of_clusters(table, classes, called, by_model):
    """((C,) label of each cluster, (C,) float32 confidence, names of all labels)."""
    names = list(classes)
    sizes = table.sum(axis=1)
    most = table.max(axis=1, initial=0)
    labels = np.zeros(len(table), dtype=np.int64)
    for cluster, size in enumerate(sizes):
        if size:
            labels[cluster] = table[cluster].argmax()
            continue
        if by_model[cluster]:
            continue
        name = str(called.get(cluster, f"cluster {cluster}"))
        if name not in names:
            names.append(name)
        labels[cluster] = names.index(name)
    return labels, ((most + 1) / (sizes + 2)).astype(np.float32), names


def _share(part, whole):
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
