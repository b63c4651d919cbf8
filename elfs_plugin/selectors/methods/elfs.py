"""ELFS: double-end pruning of a difficulty score (Zheng et al., ICLR 2025)."""

import numpy as np

from ...pruning.scores import rank_text, zone_reason
from ..base import Choice, Parameter, Selector
from ..difficulty import SCORE, hardness, keep_after_cut


class Elfs(Selector):
    """Drops the β hardest, keeps the next ``budget``, drops the easiest."""

    name = "elfs"
    purpose = "Double-end pruning: neither mislabelled-looking nor trivial images."
    paper = "Zheng et al., ELFS, ICLR 2025 (arXiv 2406.04273)"
    direction = "double_end"
    needs = ("dynamics",)
    parameters = (
        Parameter(
            "beta",
            "number",
            None,
            "β, the fraction dropped as too hard, at most 1 - budget / N; none: what "
            "published settings use at this budget.",
            0.0,
            1.0,
        ),
        SCORE,
    )

    def eligible(self, pool, free, budget):
        self._rank, self._hard_count = keep_after_cut(
            hardness(pool.dynamics, self.settings.score), self.settings.beta, free, budget
        )
        return self._rank >= self._hard_count

    def choose(self, pool, budget, seed, candidates, progress):
        score, rank, hard_count = self.settings.score, self._rank, self._hard_count
        scores = np.asarray(getattr(pool.dynamics, score), dtype=np.float64)
        n = int((rank >= 0).sum())
        order = np.argsort(rank, kind="stable")
        indices = candidates.walk(order, budget)
        free_choice = not candidates.restricted

        def reason(i, place):
            if free_choice or rank[i] < hard_count:
                return zone_reason(int(rank[i]), n, hard_count, budget, score)
            state = "not chosen" if place is None else "in the coreset"
            return f"{state}: {rank_text(rank[i], n, score)} is at or above β = {hard_count / n:.1%}"

        return Choice(indices, scores, reason)
