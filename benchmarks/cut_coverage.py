"""A selector that was tried and is not kept: the cut of ELFS at the hard end, then coverage."""

from elfs_plugin.selectors.difficulty import hardness, keep_after_cut
from elfs_plugin.selectors.methods.graph_coverage import GraphCoverage


class CutCoverage(GraphCoverage):
    """Graph coverage of the whole pool by images that are not among the β hardest."""

    def __init__(self, beta):
        super().__init__()
        self._beta = beta

    def required(self):
        return (*self.needs, "dynamics")

    def eligible(self, pool, free, budget):
        return keep_after_cut(hardness(pool.dynamics, "aum"), self._beta, free, budget)


def chosen_rows(pool, budgets, seed, betas):
    """(b,) rows for each budget, with the β that ELFS found for it."""
    return [CutCoverage(float(beta)).run(pool, budget, seed).indices for budget, beta in zip(budgets, betas)]
