"""What every search does to vectors first. NumPy only."""

import numpy as np

from .. import scratch
from ..contracts import Vectors


def normalize(vectors: Vectors) -> Vectors:
    """Rows scaled to unit length, float32; rows of zeros stay zero (similarity 0 to everything). A large result is
    mapped, see :mod:`~..scratch`."""
    if not scratch.is_large(np.shape(vectors)):
        return _unit(vectors)
    found = scratch.empty(vectors.shape)
    for block in scratch.blocks(len(vectors)):
        found[block] = _unit(vectors[block])
    return found


def _unit(vectors):
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    # Summed in double precision: the square of a large or tiny float32 would be infinite or zero.
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)).astype(np.float32)[:, None]
    return vectors / np.where(norms > 0, norms, np.float32(1))
