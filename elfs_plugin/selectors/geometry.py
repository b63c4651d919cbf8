"""What the methods on embeddings share: the metric, and distances in blocks."""

import numpy as np

from .. import scratch
from ..contracts import Floats, Integers, Vectors
from ..neighbors.vectors import normalize
from .parameter import Parameter

METRIC = Parameter(
    "metric",
    "choice",
    "cosine",
    "cosine: vectors are scaled to unit length first; euclidean: as they are.",
    choices=("cosine", "euclidean"),
)

_BLOCK = 65536


def prepare(embeddings: Vectors, metric: str) -> Vectors:
    """(N, D) float32, of unit length for ``"cosine"``; squared Euclidean distances are 2 - 2 cos then."""
    return normalize(embeddings) if metric == "cosine" else np.ascontiguousarray(scratch.as_float32(embeddings))


def distances_to_centres(vectors: Vectors, centres: Vectors, labels: Integers) -> Floats:
    """(N,) float64 Euclidean distance of each vector to the centre of its label."""
    found = np.empty(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        block = slice(start, start + _BLOCK)
        difference = vectors[block] - centres[labels[block]]
        found[block] = np.sqrt(np.einsum("ij,ij->i", difference, difference, dtype=np.float64))
    return found
