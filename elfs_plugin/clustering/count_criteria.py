"""How good a number of clusters is, from three sides."""

from typing import Any

import numpy as np

from ..contracts import Floats, Integers


def prediction_strength(own: Integers, predicted: Integers, count: int) -> float:
    """How well the other half's clusters predict which members belong together (Tibshirani, Walther 2005, section 2.1).

    ``own`` (n,) the half's own clusters, ``predicted`` (n,) the nearest centroids of the other half. Of each own
    cluster, the share of its pairs that are predicted to be together; the original takes the worst cluster, this sets
    one in twenty aside (none up to 20 clusters), for among a hundred clusters one is always unlucky.
    """
    pairs = cross_table(own, predicted, count)
    sizes = np.asarray(pairs.sum(axis=1)).ravel()
    pairs.data *= pairs.data - 1
    together = np.asarray(pairs.sum(axis=1)).ravel() / np.maximum(sizes * (sizes - 1), 1)
    return float(np.sort(together)[(count - 1) // 20])


def simplified_silhouette(distances: Floats) -> float:
    """Mean of 1 - a / b, a and b the (n, 2) distances to the nearest and the second nearest centroid (Hruschka,
    de Castro, Campello 2004)."""
    return float(np.mean(1 - distances[:, 0] / np.maximum(distances[:, 1], 1e-12)))


def modularity(labels: Integers, neighbors: Integers, count: int) -> float:
    """Share of the (n, k) neighbors in the same cluster, less what chance would give (Newman 2004, directed form of
    Leicht and Newman 2008)."""
    same = np.mean(labels[neighbors] == labels[:, None])
    out = np.bincount(labels, minlength=count) / len(labels)
    into = np.bincount(labels[neighbors].ravel(), minlength=count) / neighbors.size
    return float(same - out @ into)


def cross_table(rows: Integers, columns: Integers, height: int, width: int | None = None) -> Any:
    """Sparse table of how often each (row, column) occurs."""
    from scipy.sparse import csr_matrix

    return csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(height, width or height))
