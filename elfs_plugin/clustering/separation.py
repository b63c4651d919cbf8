"""How far the clusters stand apart, measured by what a cloud without clusters would show.

Heads and seeds agree on clusters that are cut through an even cloud just as well as on real ones. What tells them apart
is how many of a sample's neighbours lie beyond the border of its cluster, beside how many would in a cloud.
"""

from __future__ import annotations

import numpy as np

from ..contracts import Integers, Vectors
from ..neighbors.vectors import normalize
from ..seeds import Stream, derived, rng
from .count_partitions import Components, without_clusters

ROWS = 4000
"""Rows looked at; of more, a seeded sample. The cloud has as many."""

NEIGHBORS = 10
DIMENSIONS = 64
STARTS = 3

FEWEST_ROWS = 50
ROWS_PER_CLUSTER = 10
"""Fewer rows than this say nothing."""


def separation(vectors: Vectors, labels: Integers, seed: int = 0) -> float:
    """1 - b / c: b is the share of the nearest neighbours that are in another cluster, c the same for k-means with as
    many clusters on one Gaussian cloud with the mean and the principal variances of the data.

    1: the neighbours of all samples are in their own clusters. 0: no better than pieces of a cloud (below 0: worse).
    NaN where there is too little to judge by: few rows, few different ones, or one cluster.

    Args:
        vectors: (N, D)
        labels: (N,) int from 0
    """
    rows = np.arange(len(vectors))
    if len(rows) > ROWS:
        rows = np.sort(rng(seed, Stream.SEPARATION_ROWS).choice(len(rows), ROWS, replace=False))
    unit, first = np.unique(normalize(np.asarray(vectors)[rows]), axis=0, return_index=True)
    labels = labels[rows][first]
    clusters = len(np.unique(labels))
    if clusters < 2 or len(unit) < max(FEWEST_ROWS, ROWS_PER_CLUSTER * clusters):
        return float("nan")
    components = Components.of(unit, min(DIMENSIONS, unit.shape[1]))
    cloud = without_clusters(unit, components, derived(seed, Stream.SEPARATION_CLOUD, 0))
    return 1 - beyond(unit, labels) / max(beyond(cloud, _pieces(cloud, clusters, seed)), 1e-12)


def beyond(unit: Vectors, labels: Integers) -> float:
    """Share of the :data:`NEIGHBORS` most similar vectors that are in another cluster, over all (N, D) unit vectors."""
    import faiss

    near = faiss.knn(unit, unit, NEIGHBORS + 1, metric=faiss.METRIC_INNER_PRODUCT)[1][:, 1:]
    return float(np.mean(labels[near] != labels[:, None]))


def _pieces(cloud, clusters, seed):
    """The (N,) labels of the best of some k-means, for directions from the cloud's middle."""
    import faiss

    directions = normalize(cloud - cloud.mean(axis=0))
    kmeans = faiss.Kmeans(
        directions.shape[1],
        clusters,
        niter=25,
        nredo=STARTS,
        spherical=True,
        seed=derived(seed, Stream.SEPARATION_CLOUD, 1, bits=31),
        min_points_per_centroid=1,
        max_points_per_centroid=ROWS,
    )
    kmeans.train(directions)
    return kmeans.index.search(directions, 1)[1][:, 0]
