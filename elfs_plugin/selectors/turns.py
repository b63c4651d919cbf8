"""Clusters that take turns: the best open sample of each, again and again until the budget is met."""

import numpy as np

from ..contracts import Array, Integers
from .candidates import Candidates


def take_turns(
    clusters: Integers, labels: Integers, rows: Integers, keys: Array, budget: int, candidates: Candidates
) -> Integers:
    """``budget`` open samples: in each round one of every cluster that has one left.

    Args:
        clusters: numbers of the clusters in the order of their turns
        labels: (M,) the cluster of each of the rows
        rows: (M,) distinct samples
        keys: (M,), the lowest of a cluster comes first; ties by row

    Returns:
        (budget,) samples in order of choice
    """
    order = np.lexsort((rows, keys, labels))
    starts = np.searchsorted(labels[order], clusters)
    ends = np.searchsorted(labels[order], clusters, side="right")
    at = starts.copy()
    found: list[int] = []
    turns = list(range(len(clusters)))
    while len(found) < budget and turns:
        left = []
        for turn in turns:
            while at[turn] < ends[turn] and not candidates.open[rows[order[at[turn]]]]:
                at[turn] += 1
            if at[turn] == ends[turn]:
                continue
            i = int(rows[order[at[turn]]])
            candidates.take(i)
            found.append(i)
            left.append(turn)
            if len(found) == budget:
                break
        turns = left
    return np.array(found, dtype=np.int64)
