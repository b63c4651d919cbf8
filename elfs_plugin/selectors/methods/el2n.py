"""EL2N, the early error norm (Paul et al. 2021)."""

from ..base import Ranked
from ..difficulty import hardness


class EL2N(Ranked):
    """Largest error ||p - onehot(y)|| over the first epochs first."""

    name = "el2n"
    listed = 110
    purpose = "The images a proxy gets most wrong in its first epochs. Hardest first, wrong pseudo-labels included."
    paper = "Paul et al., Deep Learning on a Data Diet, NeurIPS 2021 (arXiv 2107.07075)"
    direction = "hard_first"
    needs = ("dynamics",)
    keeps = "high"

    def score(self, pool, seed, progress):
        return hardness(pool.dynamics, "el2n")
