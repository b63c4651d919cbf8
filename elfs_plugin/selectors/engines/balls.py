"""Balls of one radius that cover samples: the objective of ProbCover."""

import numpy as np

from ...contracts import Floats, Integers, Progress, Vectors
from .close_pairs import close_pairs


def cosine_at(delta: float) -> np.float32:
    """The inner product of unit vectors at the Euclidean distance δ; a rounding error below it, so that what lies on
    the ball counts."""
    return np.float32(1.0 - delta**2 / 2.0 - 1e-6)


class Balls:
    """How many samples of (M, D) unit vectors are within δ of a sample and not covered yet, as an
    :class:`~.heap_greedy.Objective`. ``by`` (M,) is the first chosen one that covered each, -1 for none.

    Memory: 8 bytes for each pair within δ, see :func:`~.close_pairs.close_pairs`.
    """

    def __init__(self, vectors: Vectors, delta: float, progress: Progress) -> None:
        n = len(vectors)
        floors = np.full(n, cosine_at(delta), dtype=np.float32)
        self._pairs = close_pairs(vectors, np.arange(n), floors, progress)
        self._covered = np.zeros(n, dtype=bool)
        self.by = np.full(n, -1, dtype=np.int64)

    def empty(self) -> None:
        """Covers nothing again."""
        self._covered[:] = False

    def bounds(self) -> Floats:
        return np.diff(self._pairs.starts).astype(np.float64)

    def gain(self, j: int) -> float:
        return float(np.count_nonzero(~self._covered[self._ends(j)]))

    def add(self, j: int) -> None:
        ends = self._ends(j)
        self.by[ends[self.by[ends] < 0]] = j
        self._covered[ends] = True

    def _ends(self, j) -> Integers:
        return self._pairs.of(j)[0]
