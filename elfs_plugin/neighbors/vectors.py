"""What every search does to vectors first. NumPy only."""

import numpy as np


def normalize(vectors):
    """Rows scaled to unit length, float32; rows of zeros stay zero (similarity 0 to everything)."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    # Summed in double precision: the square of a large or tiny float32 would be infinite or zero.
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)).astype(np.float32)[:, None]
    return vectors / np.where(norms > 0, norms, np.float32(1))
