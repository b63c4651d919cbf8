"""Facility location with a Gaussian kernel: each choice adds most to the sum of how well every sample is covered.

F(S) = sum over n of u_n max over j in S of k(x_j, x_n), with k(x, y) = exp(-||x - y||² / h²) and weights u_n >= 0:
MaxHerding (Bae et al., ECCV 2024), with the weights of UHerding (Bae et al., ICLR 2025). All vectors have unit length,
so k rises with the inner product, and a choice changes only samples that lie nearer to it than to any earlier one.

While little is chosen these are nearly all pairs; their share falls like 1 / (choices + 1). So the first choices, a few
dozen where there are 50,000 samples, are made by the gain over 4,096 samples drawn at random; as soon as the pairs that
still matter fit into memory they are kept, and from then on every choice is exact. Up to 8,000 samples all are.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from ...contracts import CandidateSource, Floats, Integers, Progress, Vectors
from ...progress import part, silent
from .close_pairs import ClosePairs, close_pairs, count_close
from .heap_greedy import heap_greedy

MOST_PAIRS = 64_000_000
_TARGETS = 4096
_ASKED = 256
"""Samples at which the number of pairs is estimated."""
_EVERY = 4
_ROWS, _COLUMNS = 512, 2048
_ROUNDING = np.float32(1e-6)


class Covered:
    """How well each of M samples is covered so far: ``products`` (M,) float32 the largest inner product with a chosen
    one, -2 for none, and ``by`` (M,) that one, -1 for none."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self.products = np.full(len(vectors), -2.0, dtype=np.float32)
        self.by = np.full(len(vectors), -1, dtype=np.int64)

    def add_all(self, chosen: Integers, threads: ThreadPoolExecutor) -> None:
        """Takes several as chosen, as :meth:`add` would one after the other: each by itself would read all vectors."""
        given = self._vectors[chosen]

        def of(start):
            some = slice(start, start + _COLUMNS)
            for first in range(0, len(chosen), _ROWS):
                products = given[first : first + _ROWS] @ self._vectors[some].T
                _nearest(products, chosen[first : first + _ROWS], self.products[some], self.by[some])

        list(threads.map(of, range(0, len(self._vectors), _COLUMNS)))

    def add(self, j: int) -> None:
        """Takes j as chosen."""
        products = self._vectors @ self._vectors[j]
        nearer = np.flatnonzero(products > self.products)
        self.products[nearer], self.by[nearer] = products[nearer], j


def kernel_greedy(
    vectors: Vectors,
    weights: Floats,
    bandwidth: float,
    budget: int,
    candidates: CandidateSource,
    *,
    rows: Integers,
    chosen: Integers,
    rng: np.random.Generator,
    most_pairs: int = MOST_PAIRS,
    progress: Progress = silent,
) -> tuple[Integers, Floats, Covered]:
    """Chooses the open sample of the highest gain, ``budget`` times.

    Args:
        vectors: (M, D) float32 of unit length
        weights: (M,) u_n
        bandwidth: h
        rows: (M,) the candidate that each of them is, see :func:`~.heap_greedy.heap_greedy`
        chosen: samples that are chosen already
        rng: draws the samples that the first choices are judged by

    Returns:
        ((budget,) int64 samples in order of choice, (M,) gains as far as they are up to date, :class:`Covered`)
    """
    kernel = Kernel(bandwidth)
    covered = Covered(vectors)
    m = len(vectors)
    asked = np.sort(rng.choice(m, min(m, _ASKED), replace=False))
    targets = np.sort(rng.choice(m, min(m, _TARGETS), replace=False))
    found: list[int] = []
    added: list[float] = []
    early = None

    def fits():
        return count_close(vectors, np.flatnonzero(candidates.open[rows]), covered.products, asked) <= most_pairs

    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        covered.add_all(chosen, threads)
        while len(found) < budget and not (len(found) % _EVERY == 0 and fits()):
            early = early or _Sampled(vectors, targets, weights, kernel, covered, threads)
            j = early.best(candidates.open[rows])
            candidates.take(int(rows[j]))
            found.append(j)
            added.append(float(early.gains[j]))
            early.add(j)
            progress(0.3 * min(1.0, len(found) / 64), f"{len(found):,} of {budget:,} chosen")
    first = np.array(found, dtype=np.int64)
    gains = np.zeros(m) if early is None else early.gains * m / len(targets)
    gains[first] = np.array(added) * m / len(targets)
    if len(found) == budget:
        return first, gains, covered
    open_rows = np.flatnonzero(candidates.open[rows])
    floors = covered.products + _ROUNDING
    floors[chosen] = floors[first] = np.inf  # nothing is nearer to them than they are
    pairs = close_pairs(vectors, open_rows, floors, part(progress, 0.3, 0.8))
    objective = _Paired(pairs, open_rows, weights, kernel, covered)
    rest, open_gains = heap_greedy(
        objective, budget - len(found), candidates, rows=rows[open_rows], progress=part(progress, 0.8, 1.0)
    )
    gains[open_rows] = open_gains
    return np.concatenate([first, open_rows[rest]]), gains, covered


class Kernel:
    """k of inner products of unit vectors: exp(-(2 - 2 p) / h²); 0 for what nothing covers (p < -1)."""

    def __init__(self, bandwidth: float) -> None:
        self._scale = np.float32(2.0 / bandwidth**2)

    def __call__(self, products: Any) -> Any:
        values = np.exp((products - np.float32(1.0)) * self._scale)
        return np.where(products < -1.5, np.float32(0.0), values)


class _Sampled:
    """Gains of all M samples over some of them, kept up to date."""

    def __init__(self, vectors, targets, weights, kernel, covered, threads):
        self._vectors, self._targets, self._threads = vectors, targets, threads
        self._weights, self._kernel, self._covered = weights[targets].astype(np.float32), kernel, covered
        self._before = kernel(covered.products[targets])
        self.gains = self._sums(np.arange(len(targets)), self._before, np.float32(np.inf))

    def best(self, open_rows):
        return int(np.argmax(np.where(open_rows, self.gains, -np.inf)))

    def add(self, j):
        self._covered.add(j)
        now = self._kernel(self._covered.products[self._targets])
        changed = np.flatnonzero(now > self._before)
        self.gains -= self._sums(changed, self._before[changed], now[changed])
        self._before = now

    def _sums(self, some, low, high):
        """(M,) sum over some targets of their weight times the part of k between ``low`` and ``high``."""
        targets, weights = self._vectors[self._targets[some]], self._weights[some]

        def of(start):
            k = self._kernel(self._vectors[start : start + _ROWS] @ targets.T)
            np.minimum(k, high, out=k)
            np.maximum(k - low, 0.0, out=k)
            return k @ weights

        parts = list(self._threads.map(of, range(0, len(self._vectors), _ROWS)))
        return np.concatenate(parts).astype(np.float64)


class _Paired:
    """The objective over the pairs that still matter, as an :class:`~.heap_greedy.Objective` of the rows of these."""

    def __init__(self, pairs: ClosePairs, rows, weights, kernel, covered):
        self._pairs, self._rows = pairs, rows
        self._values = kernel(pairs.values)
        self._weights, self._covered = weights.astype(np.float32), covered
        self._before = kernel(covered.products)

    def bounds(self):
        return _sums(self._pairs.starts, self._pairs.ends, self._values, self._weights, self._before)

    def gain(self, j):
        row = slice(self._pairs.starts[j], self._pairs.starts[j + 1])
        return _sum(self._pairs.ends[row], self._values[row], self._weights, self._before)

    def add(self, j):
        row = slice(self._pairs.starts[j], self._pairs.starts[j + 1])
        ends, products, values = self._pairs.ends[row], self._pairs.values[row], self._values[row]
        nearer = products > self._covered.products[ends]
        ends = ends[nearer]
        self._covered.products[ends], self._covered.by[ends] = products[nearer], self._rows[j]
        self._before[ends] = values[nearer]


_CACHED = __package__.split(".")[0] == "elfs_plugin"


@numba.njit(nogil=True, cache=_CACHED)
def _nearest(products, chosen, best, by):
    """Of (b, c) products with chosen samples the largest of each column, the first of equal ones, where it is above
    ``best`` (c,)."""
    for r in range(len(chosen)):
        for n in range(len(best)):
            if products[r, n] > best[n]:
                best[n], by[n] = products[r, n], chosen[r]


@numba.njit(nogil=True, cache=_CACHED)
def _sum(ends, values, weights, before):
    total = 0.0
    for at in range(len(ends)):
        n = ends[at]
        if values[at] > before[n]:
            total += weights[n] * (values[at] - before[n])
    return total


@numba.njit(nogil=True, cache=_CACHED)
def _sums(starts, ends, values, weights, before):
    found = np.empty(len(starts) - 1)
    for r in range(len(found)):
        found[r] = _sum(ends[starts[r] : starts[r + 1]], values[starts[r] : starts[r + 1]], weights, before)
    return found
