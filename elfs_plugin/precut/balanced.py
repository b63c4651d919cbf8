"""A balanced part of a pool: hierarchical k-means, then from the top down as even a share for each as it can give.

The idea is that of Vo et al., Automatic Data Curation for Self-Supervised Learning (2024, arXiv 2405.15613), written
from its description: a hierarchy of clusters, and targets that are spread by water filling. There the hierarchy is made
of clusters of centroids, which are found again on even samples; here from the top down, which takes about 16 N log16 N
similarities. Centroids found again on even samples did not make what follows better, and are left out.
"""

from __future__ import annotations

import math

import numpy as np

from ..contracts import Integers, Progress, Vectors
from ..errors import InvalidInput
from ..neighbors.vectors import normalize
from ..progress import silent
from ..pruning.quotas import shares
from ..seeds import Stream, rng

BRANCHES = 16
LEVELS = 32

_SAMPLE_PER_BRANCH = 128
_ITERATIONS = 8
_BLOCK = 32768


def balanced_rows(
    vectors: Vectors, target: int, *, among: Integers | None = None, seed: int = 0, progress: Progress = silent
) -> Integers:
    """``target`` of N rows, spread evenly over the clusters of a hierarchy.

    A node divides its rows by spherical k-means into at most 16 clusters and shares its target out among them: each
    gets as much as the others unless it has fewer rows. Where one row is to be taken it is the nearest to the centre;
    where nothing can be divided (exact duplicates) rows are drawn.

    Args:
        vectors: (N, D) or more rows, finite; a memory-mapped array is read in blocks, only directions count
        target: from 1 to N
        among: the N rows of the array, ascending; default: all

    Returns:
        (target,) int64, ascending; the same for the same seed

    Raises:
        InvalidInput: for a target that is not from 1 to N

    Memory beside ``vectors``: about 40 N bytes, and the vectors of 32,768 rows.
    """
    among = np.arange(len(vectors)) if among is None else among
    n = len(among)
    if not 1 <= target <= n:
        raise InvalidInput(f"The part must have from 1 to {n:,} rows, not {target:,}.", "precut")
    draws = rng(seed, Stream.PRECUT)
    waiting, kept, settled = [(among, int(target), 0)], [], 0
    while waiting:
        rows, share, level = waiting.pop()
        parts = None if share in (0, len(rows)) or level == LEVELS else _divided(vectors, rows, share, draws)
        if parts is None:
            settled += len(rows)
            kept.append(rows if share == len(rows) else draws.choice(rows, share, replace=False))
            progress(settled / n, f"pre-cut: {settled:,} of {n:,} images looked at")
        elif share <= BRANCHES and len(parts) >= share:
            settled += len(rows)
            kept.append(_central(parts, share))
            progress(settled / n, f"pre-cut: {settled:,} of {n:,} images looked at")
        else:
            sizes = [len(part) for part, _ in parts]
            each = shares(share, np.ones(len(parts), dtype=np.int64), sizes).tolist()
            waiting.extend((part, its, level + 1) for (part, _), its in reversed(list(zip(parts, each))))
    return np.sort(np.concatenate(kept))


def _central(parts, share):
    """Of the ``share`` largest parts the row nearest to the centre each."""
    largest = sorted(parts, key=lambda part: -len(part[0]))[:share]
    return np.array([part[np.argmax(similarities)] for part, similarities in largest], dtype=np.int64)


def _divided(vectors, rows, share, draws):
    """[(rows, their similarities to the centre), …] of the clusters that have any, or None for a single one."""
    count = max(1, min(BRANCHES, share, math.ceil(len(rows) / 2)))
    centroids = _centroids(vectors, rows, count, draws)
    nearest, similarities = np.empty(len(rows), dtype=np.int64), np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        similarities[block], nearest[block] = _nearest(normalize(vectors[rows[block]]), centroids)
    counts = np.bincount(nearest, minlength=len(centroids))
    if counts.max() == len(rows) and share > 1:
        return None
    order, limits = np.argsort(nearest, kind="stable"), np.cumsum(counts)[:-1]
    parts = zip(np.split(rows[order], limits), np.split(similarities[order], limits))
    return [part for part in parts if len(part[0])]


def _centroids(vectors, rows, count, draws):
    """``count`` unit centroids (count, D) of a sample of the rows."""
    most = _SAMPLE_PER_BRANCH * count
    sample = rows if len(rows) <= most else np.sort(draws.choice(rows, most, replace=False))
    return _k_means(normalize(vectors[sample]), count, draws)


def _k_means(unit, count, draws):
    import faiss

    count = min(count, len(unit))
    kmeans = faiss.Kmeans(
        unit.shape[1],
        count,
        niter=_ITERATIONS,
        spherical=True,
        seed=int(draws.integers(1 << 31)),
        min_points_per_centroid=1,
        max_points_per_centroid=_SAMPLE_PER_BRANCH,
    )
    kmeans.train(unit)
    return kmeans.centroids


def _nearest(unit, centroids):
    """Similarities (R,) and numbers (R,) of the nearest centroid."""
    import faiss

    similarities, found = faiss.knn(unit, centroids, 1, metric=faiss.METRIC_INNER_PRODUCT)
    return similarities[:, 0], found[:, 0]
