"""Embeddings to an exact cosine k-nearest-neighbour graph."""

from dataclasses import dataclass

import numpy as np

from .errors import InvalidInput
from .progress import silent

DEFAULT_K = 50
"""The neighbourhood TEMI was published with."""

_QUERY_ROWS = 2048


@dataclass(frozen=True)
class NeighborGraph:
    """``indices`` (N, k) int32, nearest first, never a point itself; ``similarities`` (N, k) float32, cosine."""

    indices: np.ndarray
    similarities: np.ndarray

    @property
    def k(self):
        return self.indices.shape[1]


def suggest_k(n, num_clusters):
    """Neighbours for TEMI: the published 50, fewer where a cluster has few members (a tenth of an even share)."""
    return int(min(DEFAULT_K, max(5, n // (10 * num_clusters)), max(n - 1, 1)))


def normalize(vectors):
    """Rows scaled to unit length, float32; rows of zeros stay zero (similarity 0 to everything)."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)


def knn_graph(vectors, k=DEFAULT_K, *, metric="cosine", progress=silent):
    """The exact k nearest neighbours of every row.

    Args:
        vectors: (N, D), finite
        k: neighbours per point; at most N - 1 are returned
        metric: only ``"cosine"``

    Returns:
        :class:`NeighborGraph`. A point is never its own neighbour, exact duplicates included: two equal rows are each
        other's neighbours, with similarity 1.

    Memory is the normalised copy (4 N D bytes), the result (8 N k) and one block of queries.
    """
    import faiss

    if metric != "cosine":
        raise InvalidInput(f"metric {metric!r} is not supported; use 'cosine'.", "metric")
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or len(vectors) < 2:
        raise InvalidInput("At least two vectors are needed to find neighbours.")
    if k < 1:
        raise InvalidInput(f"k must be at least 1, not {k}.", "neighbors")
    unit = normalize(vectors)
    if not np.isfinite(unit).all():
        raise InvalidInput("The vectors hold NaN or infinite values; exclude those rows first.")
    n = len(unit)
    k = min(int(k), n - 1)
    index = faiss.IndexFlatIP(unit.shape[1])
    index.add(unit)
    indices = np.empty((n, k), dtype=np.int32)
    similarities = np.empty((n, k), dtype=np.float32)
    for start in range(0, n, _QUERY_ROWS):
        stop = min(start + _QUERY_ROWS, n)
        found_similarities, found = index.search(unit[start:stop], k + 1)
        keep = _without_self(found, np.arange(start, stop))
        indices[start:stop] = np.take_along_axis(found, keep, axis=1)
        similarities[start:stop] = np.take_along_axis(found_similarities, keep, axis=1)
        progress(stop / n, f"{stop:,} of {n:,} points")
    return NeighborGraph(indices, np.clip(similarities, -1.0, 1.0))


def _without_self(found, rows):
    """Column numbers (R, k) of ``found`` (R, k + 1) without each row's own index; without the last where it is absent
    (which happens when more than k exact duplicates tie with it)."""
    width = found.shape[1]
    own = found == rows[:, None]
    drop = np.where(own.any(axis=1), own.argmax(axis=1), width - 1)
    columns = np.arange(width - 1)[None, :]
    return columns + (columns >= drop[:, None])
