"""k-means for any number of centres: directly up to 1,000, in two levels above."""

from __future__ import annotations

import numpy as np

from ...contracts import Integers, Progress, Vectors
from ...progress import part, silent
from ...pruning.quotas import shares
from ...seeds import Stream, derived
from ..geometry import distances_to_centres

DIRECT = 1000
_ITERATIONS = 20
_PER_CENTRE, _AT_LEAST = 256, 20_000
"""Vectors that the centres are found on."""
_FEW, _STARTS = 200, 5
"""Few centres are the best of several starts: one bad start would cost much there, and little time."""
_BLOCK = 65536


def k_means(vectors: Vectors, clusters: int, seed: int, stream: Stream, progress: Progress) -> tuple[Integers, Vectors]:
    """Clusters (N, D) float32 vectors, Euclidean.

    Above 1,000 clusters the square root of their number is found first, and each of these is divided into its share of
    the clusters, by size.

    Returns:
        (labels (N,) int64 from 0 to below ``clusters``, some may be empty; distances (N,) float64 to the centre)
    """
    if clusters <= DIRECT:
        return _one_level(vectors, clusters, derived(seed, stream, 0, bits=31), progress)
    groups = round(np.sqrt(clusters))
    coarse, _ = _one_level(vectors, groups, derived(seed, stream, 0, bits=31), part(progress, 0.0, 0.3))
    sizes = np.bincount(coarse, minlength=groups)
    counts = shares(clusters, sizes, sizes)
    labels, distances = np.zeros(len(vectors), dtype=np.int64), np.zeros(len(vectors))
    first = 0
    for group in range(groups):
        members = np.flatnonzero(coarse == group)
        if len(members):
            count = max(int(counts[group]), 1)
            found, distances[members] = _one_level(vectors[members], count, derived(seed, stream, 1 + group, bits=31))
            # A group too small for a share of its own joins the last label.
            labels[members] = np.minimum(found + first, clusters - 1)
        first += int(counts[group])
        progress(0.3 + 0.7 * (group + 1) / groups, f"k-means {group + 1:,} of {groups:,}")
    return labels, distances


def _one_level(vectors, clusters, seed, progress=silent):
    import faiss

    clusters = min(clusters, len(vectors))
    few = clusters <= _FEW
    kmeans = faiss.Kmeans(
        vectors.shape[1],
        clusters,
        niter=_ITERATIONS if few else 1,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=max(_PER_CENTRE, _AT_LEAST // clusters),
        nredo=_STARTS if few else 1,
    )
    vectors = np.ascontiguousarray(vectors)
    progress(0.0, f"k-means with {clusters:,} centres")
    kmeans.train(vectors)
    for iteration in range(1, 1 if few else _ITERATIONS):  # one by one, so that it can be stopped
        progress(iteration / _ITERATIONS, f"k-means with {clusters:,} centres")
        kmeans.train(vectors, init_centroids=kmeans.centroids)
    centres = np.ascontiguousarray(kmeans.centroids)
    labels = np.empty(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK):
        labels[start : start + _BLOCK] = faiss.knn(vectors[start : start + _BLOCK], centres, 1)[1][:, 0]
    return labels, distances_to_centres(vectors, centres, labels)
