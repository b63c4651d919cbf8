"""Spectral embedding of a neighbour graph: where the start of a clustering can see shapes that k-means cannot."""

from __future__ import annotations

import numpy as np

from ..contracts import Floats, Integers, Progress
from ..seeds import Stream, rng

MAX_DIMENSIONS = 100
"""Eigenvectors at most; for more clusters the embedding takes longer than the clustering."""

TOLERANCE = 0
"""Of the eigenvalues; 0 is machine precision. A coarser one misses eigenvalues that occur more than once, and 1 occurs
once for each separate part of the graph."""


def possible(samples: int, clusters: int) -> bool:
    """Whether :func:`embedding` can give so many dimensions."""
    return clusters <= MAX_DIMENSIONS and clusters + 1 < samples


def embedding(neighbors: Integers, dimensions: int, seed: int, progress: Progress) -> Floats:
    """The first eigenvectors of the normalised Laplacian, rows at unit length (Ng, Jordan, Weiss 2001).

    Args:
        neighbors: (N, k) int; the graph is made symmetric, a mutual pair counts twice
        dimensions: at most :data:`MAX_DIMENSIONS`, below N - 1

    Returns:
        (N, dimensions) float32. Memory: about 50 N k bytes and 16 N bytes times ``dimensions``.
    """
    from scipy.sparse import csr_matrix, diags
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    n, k = neighbors.shape
    links = csr_matrix((np.ones(n * k, dtype=np.float64), neighbors.ravel(), np.arange(n + 1) * k), shape=(n, n))
    links = links + links.T
    scale = diags(1 / np.sqrt(np.asarray(links.sum(axis=1)).ravel()))
    links = (scale @ links @ scale).tocsr()
    products = 0

    def product(vector):
        nonlocal products
        products += 1
        progress(min(1.0, products / (20 * dimensions)), "spectral embedding of the neighbours")
        return links @ vector.ravel()

    # A start of its own: ARPACK's random one is not seeded.
    start = rng(seed, Stream.SPECTRAL).standard_normal(n)
    operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
    try:
        vectors = eigsh(operator, dimensions, which="LA", v0=start, tol=TOLERANCE)[1]
    except ArpackNoConvergence as error:
        vectors = error.eigenvectors
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
