"""Exact greedy choice under an objective whose gains only fall while others are chosen (a submodular one).

A gain that was computed earlier is an upper bound now, so only the samples at the top of a heap are looked at again
(lazy evaluation: Minoux 1978).
"""

import heapq
from typing import Protocol

import numpy as np

from ...contracts import CandidateSource, Floats, Integers, Progress
from ...progress import silent

_REPORT = 1024


class Objective(Protocol):
    """What is maximised, over M samples of which some are chosen."""

    def bounds(self) -> Floats:
        """(M,) upper bounds of the gains."""

    def gain(self, j: int) -> float:
        """What sample j would add now."""

    def add(self, j: int) -> None:
        """Takes sample j as chosen."""


def heap_greedy(
    objective: Objective,
    budget: int,
    candidates: CandidateSource,
    *,
    rows: Integers | None = None,
    keys: Integers | None = None,
    least: float = -np.inf,
    progress: Progress = silent,
) -> tuple[Integers, Floats]:
    """Chooses the open sample of the highest gain, ``budget`` times.

    Args:
        objective: an :class:`Objective` that has taken what was chosen before
        candidates: has ``open`` and ``take(i)``, see :class:`~..candidates.Candidates`
        rows: (M,) distinct, the candidate that each sample of the objective is (default: the same number)
        keys: (M,) distinct, the lowest wins a tie (default: the index)
        least: stops at the first best gain that is not above this one

    Returns:
        (at most ``budget`` int64 of the objective's samples in order of choice, (M,) gains; those of samples that were
        not looked at again are bounds)
    """
    gains = np.array(objective.bounds(), dtype=np.float64)
    rows = np.arange(len(gains)) if rows is None else rows
    open_rows = np.flatnonzero(candidates.open[rows]).tolist()
    # Without keys one number serves as both: of millions of samples they are most of the memory.
    heap = [(-gains[j], j if keys is None else int(keys[j]), j) for j in open_rows]
    heapq.heapify(heap)
    found: list[int] = []
    seen = np.full(len(gains), -1, dtype=np.int64)
    looks = 0
    while len(found) < budget and heap:
        negative, key, j = heapq.heappop(heap)
        if not candidates.open[rows[j]]:
            continue
        if seen[j] < len(found):
            gains[j] = objective.gain(j)
            looks += 1
            if looks % _REPORT == 0:
                progress(len(found) / budget, f"{len(found):,} of {budget:,} chosen")
            seen[j] = len(found)
            heapq.heappush(heap, (-gains[j], key, j))
            continue
        if gains[j] <= least:
            break
        candidates.take(int(rows[j]))
        found.append(j)
        objective.add(j)
    return np.array(found, dtype=np.int64), gains
