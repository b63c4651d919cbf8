"""k-centre greedy: farthest point first (Sener & Savarese 2018)."""

import numpy as np

from ...errors import InvalidInput
from ...pruning.scores import SCORES
from ...seeds import Stream, rng
from ..base import Choice, Cost, Parameter, Selector
from ..difficulty import hardness, keep_after_cut
from ..engines.lazy_greedy import lazy_greedy
from ..geometry import METRIC, prepare


class KCenter(Selector):
    """Each choice is the sample farthest from all chosen and locked ones; without locked ones the first is drawn at
    random. The radius is at most twice the best possible (Gonzalez 1985). Scores: the distance a sample had to what was
    chosen before it; an upper bound of the distance to the coreset for the samples that are not chosen."""

    name = "k_center"
    listed = 80
    purpose = "Images that leave no part of the pool far from a chosen one. Picks outliers unless the hard end is cut."
    paper = "Sener & Savarese, Active Learning for CNNs: A Core-Set Approach, ICLR 2018 (arXiv 1708.00489)"
    direction = "coverage"
    nested = True
    cost = Cost(5e13, ("samples", "budget", "dimensions"))
    needs = ("embeddings",)
    parameters = (
        METRIC,
        Parameter(
            "drop_hardest",
            "number",
            0.0,
            "Fraction of the hardest images that cannot be chosen (above 0 it needs dynamics).",
            0.0,
            1.0,
        ),
        Parameter("score", "choice", "aum", "The difficulty score of that cut.", choices=tuple(SCORES)),
    )

    def required(self):
        return self.needs + (("dynamics",) if self.settings.drop_hardest else ())

    def eligible(self, pool, free, budget):
        if not self.settings.drop_hardest:
            return super().eligible(pool, free, budget)
        return keep_after_cut(hardness(pool.dynamics, self.settings.score), self.settings.drop_hardest, free, budget)

    def choose(self, pool, budget, seed, candidates, progress):
        vectors = prepare(pool.embeddings, self.settings.metric)
        lengths = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
        if not np.isfinite(lengths.max() * 4):
            raise InvalidInput("The embeddings are too large for Euclidean distances. Use the cosine metric.", "metric")
        values = np.full(len(vectors), np.inf)
        order = np.flatnonzero(pool.locked)
        first = []
        if len(order) == 0:
            first = [int(rng(seed, Stream.K_CENTER).choice(np.flatnonzero(candidates.open)))]
            candidates.take(first[0])
            order = first

        def update(rows, products, picks):
            squares = lengths[rows, None] + lengths[picks] - 2.0 * products
            values[rows] = np.minimum(values[rows], squares.min(axis=1).clip(0.0))

        # From the distances to one centre on, every bound is finite.
        update(slice(None), (vectors @ vectors[order[0]])[:, None], np.asarray(order[:1]))
        rest = lazy_greedy(vectors, values, update, budget - len(first), candidates, chosen=order, progress=progress)
        indices = np.concatenate([np.array(first, dtype=np.int64), rest])
        distances = np.sqrt(values)

        def reason(i, place):
            if place is None:
                return f"not chosen: at most {distances[i]:.4g} from a chosen or labelled image"
            if place < len(first):
                return "number 1: drawn at random as the first centre"
            return f"number {place + 1:,}: the farthest from all chosen before"

        return Choice(indices, distances, reason)
