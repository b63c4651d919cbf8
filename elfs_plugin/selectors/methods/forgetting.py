"""Forgetting events (Toneva et al. 2019)."""

import numpy as np

from ..base import Ranked
from ..difficulty import hardness


class Forgetting(Ranked):
    """Most often forgotten first; a sample never learnt counts as forgotten in every epoch. Ties by AUM, lowest first:
    the counts are few."""

    name = "forgetting"
    listed = 100
    purpose = "The images a proxy forgets most often. Alone it collapses at small budgets: see elfs and ccs."
    paper = "Toneva et al., An Empirical Study of Example Forgetting, ICLR 2019 (arXiv 1812.05159)"
    direction = "hard_first"
    needs = ("dynamics",)
    keeps = "high"

    def score(self, pool, seed, progress):
        return hardness(pool.dynamics, "forgetting")

    def priority(self, pool, scores, candidates, seed):
        keys = np.empty(len(scores), dtype=np.int64)
        keys[np.lexsort((pool.dynamics.aum, -scores))] = np.arange(len(scores))
        return keys
