"""What methods of coverage say of a sample: whom it stands for, or who stands for it."""

import numpy as np

from ..contracts import Integers, Mask
from .base import Reason
from .pool import Pool


def standing_for(pool: Pool, by: Integers, seen: Mask | None = None) -> Reason:
    """``reason(i, place)`` as in :class:`~.base.Choice`.

    Args:
        by: (N,) the chosen or locked sample that stands for each, -1 for none
        seen: (N,) bool, the samples that the method has looked at (default: all)
    """
    counts = np.bincount(by[by >= 0], minlength=len(by))

    def reason(i: int, place: int | None) -> str:
        if place is None:
            if seen is not None and not seen[i]:
                return "not chosen: not among those, drawn at random, that the method looked at"
            if by[i] < 0:
                return "not chosen: no chosen image is near it"
            state = "the labelled image " if pool.locked[by[i]] else ""
            return f"not chosen: {state}{pool.ids[by[i]]} stands for it"
        others = int(counts[i]) - int(by[i] == i)
        return f"number {place + 1:,}: it stands for {others:,} other images better than any other choice"

    return reason


def first_of_each(clusters: Integers, indices: Integers, locked: Mask) -> Integers:
    """(N,) the sample that stands for each: of its cluster the first chosen one, else a locked one, else -1.

    Args:
        clusters: (N,) from 0, -1 for a sample in none
        indices: (b,) samples in order of choice
        locked: (N,) samples that are labelled already
    """
    first = np.full(int(clusters.max(initial=-1)) + 1, -1, dtype=np.int64)
    for samples in (np.flatnonzero(locked), indices):
        samples = samples[clusters[samples] >= 0][::-1]  # of several writes to a place the last one counts
        first[clusters[samples]] = samples
    return np.where(clusters < 0, -1, first[clusters])
