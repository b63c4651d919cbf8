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
