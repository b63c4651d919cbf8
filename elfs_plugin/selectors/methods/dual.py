"""DUAL: difficulty and uncertainty of early training (Cho et al. 2025)."""

from ..base import Ranked
from ..difficulty import hardness


class Dual(Ranked):
    """Highest DUAL score first. The paper's β sampling for very small budgets weights the score by the mean
    probability of the label, which the dynamics do not keep; it is not part of this method."""

    name = "dual"
    listed = 50
    purpose = "Images that are uncertain and hard, yet learnt in the end; needs no cut at the hard end."
    paper = "Cho et al., Lightweight Dataset Pruning without Full Training, ICML 2025 (arXiv 2502.06905)"
    direction = "hard_first"
    needs = ("dynamics",)
    keeps = "high"

    def score(self, pool, seed, progress):
        return hardness(pool.dynamics, "dual")
