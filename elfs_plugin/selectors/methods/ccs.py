"""CCS: coverage-centric coreset selection, stratified by difficulty (Zheng et al. 2023)."""

import numpy as np

from ...contracts import Floats, Integers, Mask, Progress
from ...pruning.scores import rank_text
from ...seeds import Stream, rng
from ..base import Choice, Parameter, Selector
from ..candidates import Candidates
from ..difficulty import BETA, SCORE, Cut, hardness, keep_after_cut
from ..pool import Pool


class CCS(Selector):
    """Drops the β hardest, cuts the rest into strata of equal width of the score, and takes as many of each as there
    are, at random within a stratum."""

    name = "ccs"
    listed = 30
    purpose = "Images of every difficulty in equal parts, after a cut at the hard end."
    paper = "Zheng et al., Coverage-centric Coreset Selection, ICLR 2023 (arXiv 2210.15809)"
    direction = "stratified"
    needs = ("dynamics",)
    parameters = (
        BETA,
        Parameter("strata", "integer", 50, "Bins of equal width between the lowest and the highest score.", 1, 10000),
        SCORE,
    )

    def eligible(self, pool: Pool, free: Mask, budget: int) -> Cut:
        return keep_after_cut(hardness(pool.dynamics, self.settings.score), self.settings.beta, free, budget)

    def choose(self, pool: Pool, budget: int, seed: int, candidates: Candidates, progress: Progress) -> Choice:
        cut = candidates.eligible
        rows = np.flatnonzero(cut.mask)
        stratum = np.full(len(pool), -1, dtype=np.int64)
        stratum[rows] = bins(cut.hard[rows], self.settings.strata)
        keys = rng(seed, Stream.CCS).random(len(pool))
        order = rows[round_robin(stratum[rows], keys[rows])]
        n = cut.ranked

        def reason(i, place):
            if stratum[i] < 0:
                return f"too hard: {rank_text(cut.rank[i], n, self.settings.score)} is below β = {cut.beta:.1%}"
            state = "not drawn" if place is None else "drawn"
            return f"{state} from stratum {stratum[i] + 1} of {self.settings.strata} (1 = easiest)"

        scores = np.asarray(getattr(pool.dynamics, self.settings.score), dtype=np.float64)
        return Choice(candidates.walk(order, budget), scores, reason)


def bins(values: Floats, count: int) -> Integers:
    """(N,) number of the bin of equal width in [min, max]; the highest value belongs to the last bin."""
    low, high = values.min(), values.max()
    if high == low:
        return np.zeros(len(values), dtype=np.int64)
    return np.minimum(((values - low) / (high - low) * count).astype(np.int64), count - 1)


def round_robin(groups: Integers, keys: Floats) -> Integers:
    """An order in which every group gives one after the other, by its own lowest keys; in each round the larger groups
    come first. The first b are what CCS's allocation takes: the budget left is shared equally among the groups
    left, the smallest group first, a group that cannot fill its share giving all it has."""
    n = len(groups)
    by_group = np.lexsort((keys, groups))
    sizes = np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    turn = np.empty(n, dtype=np.int64)
    turn[by_group] = np.arange(n) - starts[groups[by_group]]
    return np.lexsort((groups, -sizes[groups], turn))
