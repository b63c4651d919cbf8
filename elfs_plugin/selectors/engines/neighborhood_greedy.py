"""Greedy choice of the samples whose neighbourhoods gain most confidence, on the neighbour graph.

Maximises F(S) = sum over i of tanh(K_i(S) / η) with K_i(S) = sum over j in S of w_ij conf_j: the objective of Prune4ReL
(Park et al., NeurIPS 2023). F is monotone and submodular, so a gain that was computed earlier is an upper bound now,
and only the samples at the top of a heap are looked at again (lazy evaluation: Minoux 1978).
"""

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix

from ...contracts import CandidateSource, Floats, Integers, Progress
from ...neighbors.neighbor_graph import NeighborGraph
from ...progress import silent


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
    starts, ends, weights = links.indptr, links.indices, links.data
    filled = np.zeros(len(confidence))

    def add(j):
        near = slice(starts[j], starts[j + 1])
        filled[ends[near]] += weights[near] * confidence[j] / eta

    def gain(j):
        near = slice(starts[j], starts[j + 1])
        return float(rise(filled[ends[near]], weights[near] * confidence[j] / eta).sum())

    for j in chosen:
        add(j)
    gains = _all_gains(links, filled, confidence / eta)
    heap = [(-gains[j], int(keys[j]), int(j)) for j in np.flatnonzero(candidates.open)]
    heapq.heapify(heap)
    found: list[int] = []
    seen = np.zeros(len(confidence), dtype=np.int64)
    while len(found) < budget:
        negative, key, j = heapq.heappop(heap)
        if not candidates.open[j]:
            continue
        if seen[j] < len(found):
            gains[j] = gain(j)
            seen[j] = len(found)
            heapq.heappush(heap, (-gains[j], key, j))
            continue
        candidates.take(j)
        found.append(j)
        add(j)
        if len(found) % 1024 == 0:
            progress(len(found) / budget, f"{len(found):,} of {budget:,} chosen")
    return np.array(found, dtype=np.int64), gains


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
