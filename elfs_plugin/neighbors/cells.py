"""Rows divided into small cells of similar direction: what an approximate neighbour search looks through."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from ..devices import generator
from ..progress import silent
from ..seeds import Stream, derived
from .vectors import normalize

_BRANCHES = 64
_LEVELS = 12
_SAMPLE_PER_BRANCH = 128
_BLOCK = 32768


@dataclass(frozen=True)
class Cells:
    """``order`` (N,) int64, the rows, cell after cell; cell c is ``order[limits[c]:limits[c + 1]]``, ascending.

    Cells that follow each other tend to be neighbours in space as well.
    """

    order: np.ndarray
    limits: np.ndarray

    def __len__(self):
        return len(self.limits) - 1

    @property
    def sizes(self):
        return np.diff(self.limits)


def partition(vectors, size, *, seed=0, progress=silent):
    """Divides N rows into cells of about ``size`` rows, at most 1.5 times that.

    Spherical k-means with at most 64 centroids, then the same within each of its clusters until all are small: the work
    is about 64 N log64(N / size) similarities, where one flat k-means would take N² / size. What k-means cannot divide
    (exact duplicates) is cut into consecutive pieces, so that no cell is large whatever the data.

    Args:
        vectors: (N, D), finite; read in blocks, only their direction counts

    Returns:
        :class:`Cells`
    """
    n = len(vectors)
    expected = n * max(1, math.ceil(math.log(max(n / size, 1)) / math.log(_BRANCHES)))
    rng = generator(derived(seed, Stream.CELLS))
    waiting, leaves, assigned = [(np.arange(n), 0)], [], 0
    while waiting:
        rows, level = waiting.pop()
        if len(rows) <= 1.5 * size:
            leaves.append(rows)
            continue
        if level < _LEVELS:
            centroids = _centroids(vectors, rows, min(_BRANCHES, math.ceil(len(rows) / size)), rng)
            nearest = np.empty(len(rows), dtype=np.int64)
            for start in range(0, len(rows), _BLOCK):
                block = rows[start : start + _BLOCK]
                nearest[start : start + len(block)] = _nearest(normalize(vectors[block]), centroids)
                assigned += len(block)
                progress(min(assigned / expected, 1.0), f"dividing {n:,} points into cells")
            counts = np.bincount(nearest, minlength=len(centroids))
            if counts.max() < len(rows):
                parts = np.split(rows[np.argsort(nearest, kind="stable")], np.cumsum(counts)[:-1])
                waiting.extend((part, level + 1) for part in reversed(parts) if len(part))
                continue
        leaves.extend(np.array_split(rows, math.ceil(len(rows) / size)))
    return Cells(np.concatenate(leaves), np.concatenate([[0], np.cumsum([len(leaf) for leaf in leaves])]))


def _centroids(vectors, rows, count, rng):
    """``count`` unit centroids (count, D) of a random sample of the rows."""
    import faiss

    sample = rows
    if len(rows) > _SAMPLE_PER_BRANCH * count:
        sample = rows[torch.randperm(len(rows), generator=rng)[: _SAMPLE_PER_BRANCH * count].sort().values.numpy()]
    kmeans = faiss.Kmeans(
        vectors.shape[1],
        count,
        niter=8,
        spherical=True,
        seed=int(torch.randint(1 << 31, (1,), generator=rng)),
        min_points_per_centroid=1,
        max_points_per_centroid=_SAMPLE_PER_BRANCH,
    )
    kmeans.train(normalize(vectors[sample]))
    return kmeans.centroids


def _nearest(unit, centroids):
    import faiss

    return faiss.knn(unit, centroids, 1, metric=faiss.METRIC_INNER_PRODUCT)[1][:, 0]
