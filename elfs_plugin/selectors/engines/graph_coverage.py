"""How far chosen samples reach on the neighbour graph, within two steps.

A is the symmetrised k-NN graph with weights max(0, cos), scaled to D^-1/2 W D^-1/2, and K = A + A²: K_ij says how well
sample j stands for sample i. Maximised is F(S) = sum over i of max over j in S of K_ij (facility location). K itself
has about k² entries a sample and is never stored; its columns are made from A when they are asked for.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from scipy.sparse import csr_matrix

from ... import scratch
from ...contracts import Floats, Integers, Mask, Vectors
from ...neighbors.neighbor_graph import NeighborGraph


def adjacency(graph: NeighborGraph, k: int, counted: Mask | None = None) -> Any:
    """A: (N, N) sparse float32, symmetric, without a diagonal, of the first ``k`` neighbours of each sample.

    ``counted`` (N,) bool: samples outside it keep no link. Memory: at most 16 N k bytes and 40 N.
    """
    n, k = len(graph.indices), min(k, graph.k)
    counted = np.ones(n, dtype=np.bool_) if counted is None else counted
    starts = np.zeros(n + 1, dtype=np.int64)
    _count(graph.indices, graph.similarities, k, counted, starts[1:])
    np.cumsum(starts, out=starts)
    ends, weights = scratch.empty((int(starts[-1]),), np.int32), scratch.empty((int(starts[-1]),))
    _place(graph.indices, graph.similarities, k, counted, starts[:-1].copy(), ends, weights)
    total = _unite(starts, ends, weights)
    links = csr_matrix((n, n), dtype=np.float32)
    links.data, links.indices = weights[:total], ends[:total]
    links.indptr = starts if total > np.iinfo(np.int32).max else starts.astype(np.int32)
    degrees = np.asarray(links.sum(axis=1), dtype=np.float64).ravel()
    scale = (1.0 / np.sqrt(np.where(degrees > 0, degrees, 1.0))).astype(np.float32)
    _scale(links.indptr, links.indices, links.data, scale)
    return links


class GraphCoverage:
    """F of a growing S, as an :class:`~.heap_greedy.Objective`.

    ``covered`` (N,) is the largest K_ij of each sample so far, ``by`` (N,) the j it has it from, -1 for none.

    A sample without links stands for itself alone, as well as the least of the others stands for itself: it can be
    covered, and comes late.

    Args:
        links: A, of :func:`adjacency`

    Memory: A and O(N). A gain takes about k² steps.
    """

    def __init__(self, links: Any) -> None:
        n = links.shape[0]
        self._links = links.indptr, links.indices, links.data
        own = _squares(links)
        alone = np.diff(links.indptr) == 0
        self._own = np.where(alone, own[~alone].min(initial=1.0), 0.0)
        once = np.asarray(links.sum(axis=1), dtype=np.float64).ravel()
        self._bounds = once + links @ once + self._own
        self.covered = np.zeros(n)
        self.by = np.full(n, -1, dtype=np.int64)
        self._column = np.zeros(n)
        self._met = np.empty(n, dtype=np.int64)

    def bounds(self) -> Floats:
        return self._bounds

    def gain(self, j: int) -> float:
        met = self._reach(j)
        return gain_of(met, self._column, self.covered)

    def add(self, j: int) -> None:
        met = self._reach(j)
        _add(j, met, self._column, self.covered, self.by)

    def _reach(self, j) -> Integers:
        """The samples where column j of K is not 0; their values are in ``_column``."""
        return self._met[: column_of(j, *self._links, self._own[j], self._column, self._met)]


def _squares(links):
    """(N,) float64 sum of the squares of each row."""
    found = np.empty(links.shape[0])
    for rows in scratch.blocks(len(found)):
        some = links[rows]
        found[rows] = np.asarray(some.multiply(some).sum(axis=1), dtype=np.float64).ravel()
    return found


_CACHED = __package__.split(".")[0] == "elfs_plugin"


@numba.njit(cache=_CACHED)
def _count(indices, similarities, k, counted, degrees):
    """Adds to each sample's degree its links in both directions; one that both have counts twice."""
    for i in range(len(indices)):
        if counted[i]:
            for a in range(k):
                j = indices[i, a]
                if similarities[i, a] > 0 and counted[j]:
                    degrees[i] += 1
                    degrees[j] += 1


@numba.njit(cache=_CACHED)
def _place(indices, similarities, k, counted, at, ends, weights):
    """Writes these links of each sample from ``at`` on."""
    for i in range(len(indices)):
        if counted[i]:
            for a in range(k):
                j, weight = indices[i, a], np.float32(similarities[i, a])
                if weight > 0 and counted[j]:
                    ends[at[i]], weights[at[i]] = j, weight
                    ends[at[j]], weights[at[j]] = i, weight
                    at[i] += 1
                    at[j] += 1


@numba.njit(cache=_CACHED)
def _unite(starts, ends, weights):
    """Sorts each sample's links by their ends and keeps the larger weight of two to the same one, all moved together
    to the front. ``starts`` is changed to fit. Returns how many are left."""
    total = 0
    for i in range(len(starts) - 1):
        first, last = starts[i], starts[i + 1]
        order = np.argsort(ends[first:last], kind="mergesort")
        their_ends, their_weights = ends[first:last][order], weights[first:last][order]
        starts[i] = total
        for a in range(len(order)):
            if total > starts[i] and ends[total - 1] == their_ends[a]:
                weights[total - 1] = max(weights[total - 1], their_weights[a])
            else:
                ends[total], weights[total] = their_ends[a], their_weights[a]
                total += 1
    starts[-1] = total
    return total


@numba.njit(cache=_CACHED)
def _scale(starts, ends, weights, scale):
    for i in range(len(starts) - 1):
        for a in range(starts[i], starts[i + 1]):
            weights[a] *= scale[i] * scale[ends[a]]


@numba.njit(cache=_CACHED)
def column_of(
    j: int, starts: Integers, ends: Integers, weights: Vectors, own: float, column: Floats, met: Integers
) -> int:
    """Adds column j of K to ``column``, which is 0 everywhere; returns how many places of ``met`` hold where."""
    count = 0
    if own > 0.0:
        column[j] = own
        met[0] = j
        return 1
    for a in range(starts[j], starts[j + 1]):
        middle, first = ends[a], np.float64(weights[a])
        if column[middle] == 0.0:
            met[count] = middle
            count += 1
        column[middle] += first
        for b in range(starts[middle], starts[middle + 1]):
            end = ends[b]
            if column[end] == 0.0:
                met[count] = end
                count += 1
            column[end] += first * weights[b]
    return count


@numba.njit(cache=_CACHED)
def gain_of(met: Integers, column: Floats, covered: Floats) -> float:
    """What ``column`` (N,) adds at the places ``met`` to ``covered`` (N,); it is emptied on the way."""
    total = 0.0
    for i in met:
        if column[i] > covered[i]:
            total += column[i] - covered[i]
        column[i] = 0.0
    return total


@numba.njit(cache=_CACHED)
def _add(j, met, column, covered, by):
    for i in met:
        if column[i] > covered[i]:
            covered[i] = column[i]
            by[i] = j
        column[i] = 0.0
