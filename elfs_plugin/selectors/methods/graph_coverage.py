"""Graph coverage: the samples from which most of the neighbour graph is within two steps (MICCAI 2026)."""

import numpy as np

from ...contracts import Progress
from ...progress import part
from ..base import Choice, Parameter, Selector
from ..candidates import Candidates
from ..graphs import graph_with
from ..pool import Pool
from ..representatives import standing_for


class GraphCoverage(Selector):
    """Facility location on K = A + A² of the symmetrised, degree-normalised neighbour graph A
    (:mod:`~..engines.graph_coverage`), greedy: each choice adds most to the sum over all samples of how well the best
    chosen or locked one stands for them; at least 1 - 1/e of the best possible (Nemhauser et al. 1978). Scores: what a
    sample would have added when it was last looked at; an upper bound for those never looked at.

    The authors give every class its share; ``quota`` does, by pseudo-labels. Their k is 10; with more
    neighbours the smallest budgets are better (docs/evidence.md)."""

    name = "graph_coverage"
    listed = 21
    purpose = "Images that stand for as many others as possible on the neighbour graph. Strong at small budgets."
    paper = "Graph coverage selection, MICCAI 2026 (arXiv 2606.22002); greedy: Nemhauser et al. 1978"
    direction = "coverage"
    nested = True
    needs = ("neighbors",)
    optional = ("embeddings",)
    parameters = (
        Parameter(
            "neighbors",
            "integer",
            30,
            "k, the neighbours of each image that count. More than the run has found are searched for.",
            1,
            1000,
        ),
    )

    def choose(self, pool: Pool, budget: int, seed: int, candidates: Candidates, progress: Progress) -> Choice:
        from ..engines import graph_coverage
        from ..engines.heap_greedy import heap_greedy

        graph = graph_with(pool, self.settings.neighbors, seed, part(progress, 0.0, 0.5))
        progress = part(progress, 0.5, 1.0)
        progress(0.0, "weighing the neighbours")
        links = graph_coverage.adjacency(graph, self.settings.neighbors, ~pool.excluded)
        coverage = graph_coverage.GraphCoverage(links)
        for j in np.flatnonzero(pool.locked):
            coverage.add(int(j))
        indices, gains = heap_greedy(coverage, budget, candidates, progress=progress)
        return Choice(indices, gains, standing_for(pool, coverage.by), represented_by=coverage.by)
