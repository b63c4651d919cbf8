"""Choosing parents, such as images, by how far all their children together, such as objects, reach on the graph.

F is that of :mod:`.graph_coverage`, over children; a chosen parent brings all of its own. F stays submodular, for a
union of sets takes the place of single samples. Parents have costs, and together they stay within a budget.

Greedy by gain per cost, and then the better of that choice and one that begins with the best single parent: at least
0.405 of the best possible (Tang et al. 2021, arXiv 2008.05391; first of this kind: Khuller, Moss and Naor 1999).
With equal costs it is the plain greedy choice, at least 1 - 1/e (Nemhauser et al. 1978).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from ...contracts import Floats, Integers, Mask, Progress
from ...errors import InvalidInput
from ...progress import silent
from .graph_coverage import GraphCoverage, column_of, gain_of

_REPORT = 256
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ParentChoice:
    """Parents in order of choice, (b,) int64; ``gains`` (b,), what each added to F; ``costs`` (b,); ``covered``, F in
    the end, with what was locked; ``by`` (N,), the child that stands for each child, -1 for none."""

    parents: Integers
    gains: Floats
    costs: Floats
    covered: float
    by: Integers


class ParentCoverage(GraphCoverage):
    """F of a growing set of parents.

    Args:
        links: A of the N children, of :func:`~.graph_coverage.adjacency`
        parents: (N,) int, the parent of each child, from 0
        count: P, how many parents there are; those without children gain nothing

    Memory: A and O(N), however many children a parent has. A gain takes about k² steps for each child.
    """

    def __init__(self, links: Any, parents: Integers, count: int) -> None:
        super().__init__(links)
        self._count = count
        self._parents = np.asarray(parents, dtype=np.int64)
        self._order = np.argsort(self._parents, kind="stable")
        self._first = np.searchsorted(self._parents[self._order], np.arange(count + 1))
        self._best = np.zeros(len(self._parents))
        self._from = np.empty(len(self._parents), dtype=np.int64)
        self._reached = np.empty(len(self._parents), dtype=np.int64)

    def bounds(self) -> Floats:
        """(P,) upper bounds of the gains of parents."""
        found = np.bincount(self._parents, weights=self._bounds, minlength=self._count)
        return found.astype(np.float64)

    def gain(self, j: int) -> float:
        """What parent j would add now."""
        reached = self._union(j)
        return gain_of(reached, self._best, self.covered)

    def add(self, j: int) -> None:
        """Takes parent j as chosen."""
        reached = self._union(j)
        _add(reached, self._best, self._from, self.covered, self.by)

    def _union(self, j):
        """The children that parent j reaches; how well is in ``_best``, from which child in ``_from``."""
        own = self._order[self._first[j] : self._first[j + 1]]
        scratch = self._column, self._met, self._best, self._from, self._reached
        return self._reached[: _union(own, *self._links, self._own, *scratch)]


def choose_parents(
    links: Any,
    parents: Integers,
    costs: Floats,
    budget: float,
    *,
    locked: Mask | None = None,
    allowed: Mask | None = None,
    progress: Progress = silent,
) -> ParentChoice:
    """Chooses parents until none that fits into the rest of the budget adds anything.

    Args:
        links: A of the N children, of :func:`~.graph_coverage.adjacency`
        parents: (N,) int, the parent of each child, from 0 to P - 1
        costs: (P,) above 0
        budget: of all that is chosen together, in the unit of the costs
        locked: (P,) bool, parents that count as chosen already, on top of the budget
        allowed: (P,) bool, parents that may be chosen (default: all)

    Returns:
        :class:`ParentChoice`; ties go to the lower index

    Raises:
        InvalidInput: for costs that are not above 0, or when not one parent fits into the budget
    """
    costs = np.asarray(costs, dtype=np.float64)
    count = len(costs)
    if not (np.isfinite(costs) & (costs > 0)).all():
        raise InvalidInput("Each cost must be a number above 0.", "cost")
    free = np.ones(count, dtype=bool) if allowed is None else np.array(allowed, dtype=bool)
    if locked is not None:
        free &= ~locked
    fits = free & (costs <= budget + _ROUNDING)
    if not fits.any():
        raise InvalidInput("Not one of those that can be chosen fits into the budget. Make it larger.", "budget")

    def start():
        coverage = ParentCoverage(links, parents, count)
        for parent in np.flatnonzero(locked if locked is not None else []):
            coverage.add(int(parent))
        return coverage

    choice = _greedy(start(), costs, budget, fits, [], progress)
    if len(np.unique(costs[fits])) == 1:
        return choice
    best, alone = _best_single(start(), fits)
    before = choice.covered - choice.gains.sum()
    if before + alone <= choice.covered + _ROUNDING:
        return choice
    return _greedy(start(), costs, budget, fits, [best], progress)


def _greedy(coverage, costs, budget, fits, first, progress):
    bounds = coverage.bounds() / costs
    heap = [(-bounds[p], p) for p in np.flatnonzero(fits).tolist() if p not in first]
    heapq.heapify(heap)
    chosen, gains, left = [], [], budget

    def take(parent, gain):
        coverage.add(parent)
        chosen.append(parent)
        gains.append(gain)
        return left - costs[parent]

    for parent in first:
        left = take(parent, coverage.gain(parent))
    seen: dict[int, int] = {}
    looks = 0
    while heap:
        _, parent = heapq.heappop(heap)
        if costs[parent] > left + _ROUNDING:
            continue  # what is left only falls
        gain = coverage.gain(parent)
        looks += 1
        if looks % _REPORT == 0:
            progress(1 - left / budget, f"{len(chosen):,} chosen")
        ratio = gain / costs[parent]
        if seen.get(parent) == len(chosen) or not heap or (-ratio, parent) <= heap[0]:
            if gain <= 0:
                break
            left = take(parent, gain)
        else:
            seen[parent] = len(chosen)
            heapq.heappush(heap, (-ratio, parent))
    found = np.array(chosen, dtype=np.int64)
    return ParentChoice(found, np.array(gains), costs[found], float(coverage.covered.sum()), coverage.by)


def _best_single(coverage, fits):
    """(the parent that adds most by itself, what it adds)."""
    bounds = coverage.bounds()
    order = np.flatnonzero(fits)[np.argsort(-bounds[fits], kind="stable")]
    best, most = int(order[0]), -1.0
    for parent in order.tolist():
        if bounds[parent] <= most:
            break
        gain = coverage.gain(parent)
        if gain > most:
            best, most = parent, gain
    return best, most


_CACHED = __package__.split(".")[0] == "elfs_plugin"


@numba.njit(cache=_CACHED)
def _union(children, starts, ends, weights, own, column, met, best, source, reached):
    count = 0
    for j in children:
        for i in met[: column_of(j, starts, ends, weights, own[j], column, met)]:
            if column[i] > best[i]:
                if best[i] == 0.0:
                    reached[count] = i
                    count += 1
                best[i] = column[i]
                source[i] = j
            column[i] = 0.0
    return count


@numba.njit(cache=_CACHED)
def _add(reached, best, source, covered, by):
    for i in reached:
        if best[i] > covered[i]:
            covered[i] = best[i]
            by[i] = source[i]
        best[i] = 0.0
