"""ELFS: double-end pruning of a difficulty score (Zheng et al., ICLR 2025)."""

import numpy as np

from ..dynamics import HARD_WHEN
from ..errors import InvalidInput
from ..pruning import double_end
from .base import Selection, Selector


class Elfs(Selector):
    """Drops the β hardest, keeps the next ``budget``, drops the easiest.

    Args:
        beta: fraction of the pool dropped as too hard, 0 <= β <= 1 - budget / N
        score: a score of :class:`~..dynamics.Dynamics`
    """

    name = "elfs"
    purpose = "Double-end pruning: neither mislabelled-looking nor trivial images."
    needs = ("dynamics",)

    def __init__(self, beta, score="aum"):
        if score not in HARD_WHEN:
            raise InvalidInput(f"Unknown score {score!r}. Use one of: {', '.join(HARD_WHEN)}.", "score")
        self._beta = beta
        self._score = score

    def choose(self, pool, budget, seed):
        scores = np.asarray(getattr(pool.dynamics, self._score))
        zones = double_end(scores, budget, self._beta, hard=HARD_WHEN[self._score], ids=pool.ids)
        n = len(pool)
        reasons = [zone_reason(rank, n, zones.hard_count, zones.budget, self._score) for rank in zones.rank.tolist()]
        return Selection(zones.coreset, scores, reasons)


def zone_reason(rank, n, hard_count, budget, score="aum"):
    """Why a sample of that rank (0 = hardest of n) is in or out, as a sentence."""
    place = f"{score.upper() if score == 'aum' else score} rank {rank / n:.1%}"
    if rank < hard_count:
        return f"too hard: {place} is below β = {hard_count / n:.1%}"
    if rank < hard_count + budget:
        return f"in the coreset: {place} is between {hard_count / n:.1%} and {(hard_count + budget) / n:.1%}"
    return f"too easy: {place} is at or above {(hard_count + budget) / n:.1%}"
