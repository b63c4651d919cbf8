"""Greedy choice of the samples whose neighbourhoods gain most confidence, on the neighbour graph.

Maximises F(S) = sum over i of tanh(K_i(S) / η) with K_i(S) = sum over j in S of w_ij conf_j: the objective of Prune4ReL
(Park et al., NeurIPS 2023). F is monotone and submodular.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix

from ...contracts import CandidateSource, Floats, Integers, Progress
from ...neighbors.neighbor_graph import NeighborGraph
from ...progress import silent
from .heap_greedy import heap_greedy


def neighborhoods(graph: NeighborGraph, tau: float) -> Any:
    """(N, N) sparse matrix of the similarities w_ij = 0.5 + 0.5 cos above ``tau`` between neighbours in either
    direction, and 1 on the diagonal."""
    n = len(graph.indices)
    weights = 0.5 + 0.5 * np.asarray(graph.similarities, dtype=np.float64)
    rows, columns = np.nonzero(weights > tau)
    ends, values = np.asarray(graph.indices)[rows, columns], weights[rows, columns]
    links = coo_matrix((values, (rows, ends)), shape=(n, n)).tocsr()
    links = links.maximum(links.T)
    links.setdiag(1.0)
    return links.tocsr()


def greedy(
    links: Any,
    confidence: Floats,
    eta: float,
    budget: int,
    candidates: CandidateSource,
    *,
    keys: Integers,
    chosen: Sequence[int] | Integers = (),
    progress: Progress = silent,
) -> tuple[Integers, Floats]:
    """Chooses the open sample of the highest gain, ``budget`` times.

    Args:
        links: of :func:`neighborhoods`
        confidence: (N,) in [0, 1]
        candidates: has ``open`` (N,) bool and ``take(i)``, see :class:`~..candidates.Candidates`
        keys: (N,) distinct, the lowest wins a tie
        chosen: samples that are chosen already and count on top of the budget

    Returns:
        ((budget,) int64 in order of choice, (N,) gains; those of samples that were not looked at again are bounds)
    """
    objective = _Filled(links, confidence / eta)
    for j in chosen:
        objective.add(j)
    return heap_greedy(objective, budget, candidates, keys=keys, progress=progress)


class _Filled:
    """K_i(S) / η of all samples, as an :class:`~.heap_greedy.Objective`; ``share`` (N,) is what each adds to itself."""

    def __init__(self, links, share):
        self._links, self._share = links, share
        self._filled = np.zeros(len(share))

    def bounds(self):
        return _all_gains(self._links, self._filled, self._share)

    def gain(self, j):
        ends, added = self._adds(j)
        return float(rise(self._filled[ends], added).sum())

    def add(self, j):
        ends, added = self._adds(j)
        self._filled[ends] += added

    def _adds(self, j):
        near = slice(self._links.indptr[j], self._links.indptr[j + 1])
        return self._links.indices[near], self._links.data[near] * self._share[j]


def rise(a: Floats, c: Floats) -> Floats:
    """tanh(a + c) - tanh(a) for a, c >= 0 as sinh(c) / (cosh(a) cosh(a + c)): exact where both round to 1."""
    x, y = np.exp(-2.0 * a), np.exp(-2.0 * (a + c))
    return -2.0 * x * np.expm1(-2.0 * c) / ((1.0 + x) * (1.0 + y))


def _all_gains(links, filled, share):
    """(N,) gain of each sample, in blocks of rows."""
    gains = np.empty(len(share))
    for start in range(0, len(share), 65_536):
        stop = min(start + 65_536, len(share))
        first, last = links.indptr[start], links.indptr[stop]
        owner = np.repeat(np.arange(start, stop), np.diff(links.indptr[start : stop + 1]))
        each = rise(filled[links.indices[first:last]], links.data[first:last] * share[owner])
        gains[start:stop] = np.bincount(owner - start, weights=each, minlength=stop - start)
    return gains
