"""The k nearest neighbours of every sample, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .. import scratch
from ..contracts import Floats, Integers


@dataclass(frozen=True)
class NeighborGraph:
    """``indices`` (N, k) int32, nearest first, never a point itself; ``similarities`` (N, k) float32, cosine.

    ``method`` is ``"exact"`` or ``"approximate"``; ``recall`` the share of the true k nearest neighbours that were
    found (measured on a sample of the points).
    """

    indices: Integers
    similarities: Floats
    method: str = "exact"
    recall: float = 1.0

    @property
    def k(self) -> int:
        return self.indices.shape[1]

    def reordered(self, order: Integers) -> NeighborGraph:
        """The same graph with its points in the order ``order`` (N,), a permutation."""
        place = np.empty(len(order), dtype=np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        indices = scratch.taken(self.indices, order)
        for block in scratch.blocks(len(indices)):
            indices[block] = place[indices[block]]
        return replace(self, indices=indices, similarities=scratch.taken(self.similarities, order))
