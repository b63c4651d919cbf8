"""GraNd, the norm of the loss gradient (Paul et al. 2021)."""

from ..base import Ranked


class GraNd(Ranked):
    """Largest gradient norm first; the norm is that of the last layer, see :mod:`~...proxy.warm_up`."""

    name = "grand"
    listed = 120
    purpose = "The images whose loss pulls hardest at a network early in training."
    paper = "Paul et al., Deep Learning on a Data Diet, NeurIPS 2021 (arXiv 2107.07075)"
    direction = "hard_first"
    needs = ("grand",)
    keeps = "high"

    def score(self, pool, seed, progress):
        return pool.grand
