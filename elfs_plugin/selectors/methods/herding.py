"""Herding: the mean of the chosen follows the mean of the pool (Welling 2009)."""

import numpy as np

from ...errors import InvalidInput
from ..base import Choice, Cost, Selector
from ..geometry import METRIC, prepare

_BLOCK = 16384
_REPORT = 100
_LARGEST = 1e12


class Herding(Selector):
    """Choice t + 1 is the sample x that minimises ||(t + 1) μ - (sum of the chosen and locked) - x||, each once.
    Scores: cosine of each embedding with the mean μ of the pool."""

    name = "herding"
    listed = 90
    purpose = "Images whose mean stays as close as possible to the mean of the pool."
    paper = "Welling, Herding Dynamical Weights to Learn, ICML 2009; Chen et al., UAI 2010 (arXiv 1203.3472)"
    direction = "coverage"
    nested = True
    cost = Cost(1.5e13, ("samples", "budget", "dimensions"))
    needs = ("embeddings",)
    parameters = (METRIC,)

    def choose(self, pool, budget, seed, candidates, progress):
        from ..engines.largest_product import LargestProduct

        vectors = prepare(pool.embeddings, self.settings.metric)
        counted = ~pool.excluded
        mean = _sum(vectors, counted) / counted.sum()
        if not max(vectors.max(), -vectors.min()) < _LARGEST:
            raise InvalidInput("The embeddings are too large for Euclidean distances. Use the cosine metric.", "metric")
        locked = int(pool.locked.sum())
        chosen = _sum(vectors, pool.locked)
        indices = np.empty(budget, dtype=np.int64)
        with LargestProduct(vectors) as rows:
            for t in range(budget):
                i = rows.nearest((locked + t + 1) * mean - chosen, candidates.open)
                candidates.take(i)
                chosen += vectors[i]
                indices[t] = i
                if t % _REPORT == 0:
                    progress(t / budget, f"{t:,} of {budget:,} chosen")
        scores = _products(vectors, mean) / np.maximum(rows.lengths * np.linalg.norm(mean), 1e-30)

        def reason(i, place):
            if place is None:
                return f"not chosen: cosine {scores[i]:.3f} with the mean of the pool"
            return f"number {place + 1:,}: it brought the mean of the coreset closest to the mean of the pool"

        return Choice(indices, scores, reason)


def _sum(vectors, rows):
    """(D,) float64 sum of some of the rows."""
    total = np.zeros(vectors.shape[1])
    for start in range(0, len(vectors), _BLOCK):
        block = slice(start, start + _BLOCK)
        total += vectors[block][rows[block]].sum(axis=0, dtype=np.float64)
    return total


def _products(vectors, w):
    """(N,) float64 inner products with ``w`` (D,)."""
    found = np.empty(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        block = slice(start, start + _BLOCK)
        found[block] = vectors[block] @ w
    return found
