"""Random: the baseline that every accuracy stands beside."""

import numpy as np

from .base import Selection, Selector


class Random(Selector):
    name = "random"
    purpose = "Uniform random sample; the baseline for everything else."

    def choose(self, pool, budget, seed):
        # Drawn over the sorted ids, so that the same seed gives the same ids in whatever order they come.
        by_id = np.argsort(np.asarray(pool.ids), kind="stable")
        keys = np.empty(len(pool))
        keys[by_id] = np.random.default_rng(seed).random(len(pool))
        order = np.argsort(keys, kind="stable")
        place = np.empty(len(pool), dtype=np.int64)
        place[order] = np.arange(len(pool))
        reasons = ["drawn at random" if p < budget else "not drawn" for p in place.tolist()]
        return Selection(order[:budget], keys, reasons)
