"""ELFS: double-end pruning of a difficulty score (Zheng et al., ICLR 2025)."""

import numpy as np

from ...contracts import Mask, Progress
from ...pruning.scores import rank_text, zone_reason
from ..base import Choice, Selector
from ..candidates import Candidates
from ..difficulty import BETA, SCORE, Cut, hardness, keep_after_cut
from ..pool import Pool


class Elfs(Selector):
    """Drops the β hardest, keeps the next ``budget``, drops the easiest."""

    name = "elfs"
    listed = 10
    purpose = "Double-end pruning: neither mislabelled-looking nor trivial images."
    paper = "Zheng et al., ELFS, ICLR 2025 (arXiv 2406.04273)"
    direction = "double_end"
    needs = ("dynamics",)
    parameters = (
        BETA,
        SCORE,
    )

    def eligible(self, pool: Pool, free: Mask, budget: int) -> Cut:
        return keep_after_cut(hardness(pool.dynamics, self.settings.score), self.settings.beta, free, budget)

    def choose(self, pool: Pool, budget: int, seed: int, candidates: Candidates, progress: Progress) -> Choice:
        score, cut = self.settings.score, candidates.eligible
        rank, n = cut.rank, cut.ranked
        scores = np.asarray(getattr(pool.dynamics, score), dtype=np.float64)
        order = np.argsort(rank, kind="stable")
        indices = candidates.walk(order, budget)
        free_choice = not candidates.restricted

        def reason(i, place):
            if free_choice or rank[i] < cut.dropped:
                return zone_reason(int(rank[i]), n, cut.dropped, budget, score)
            state = "not chosen" if place is None else "in the coreset"
            return f"{state}: {rank_text(rank[i], n, score)} is at or above β = {cut.beta:.1%}"

        return Choice(indices, scores, reason)
