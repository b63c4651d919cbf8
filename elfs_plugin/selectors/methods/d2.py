"""D2 pruning: difficulty and diversity by messages on the neighbour graph (Maharana et al. 2024)."""

import heapq

import numpy as np

from ...errors import InvalidInput
from ...pruning.scores import SCORES
from ..base import Choice, Parameter, Selector
from ..difficulty import hardness, keep_after_cut
from ..geometry import prepare
from .prototypicality import prototype_distances

LABEL_FREE = ("prototypicality", "constant")


class D2(Selector):
    """Forward: s_i + sum over the k nearest j of exp(-d_ij) s_j. Then the highest is chosen again and again, and its k
    nearest j lose exp(-γ d_ij) s_i (nothing when s_i has fallen below 0). d is the Euclidean distance of the unit
    vectors, s the difficulty scaled to [0, 1], 1 = hardest. Neighbours of locked samples lose before the first choice.
    Scores: after the forward pass."""

    name = "d2"
    listed = 40
    purpose = "Hard images that are spread out: each choice makes its neighbours less likely."
    paper = "Maharana et al., D2 Pruning, ICLR 2024 (arXiv 2310.07931)"
    direction = "coverage"
    nested = True
    needs = ("neighbors",)
    optional = ("pseudo_labels",)
    parameters = (
        Parameter(
            "score",
            "choice",
            "forgetting",
            "Difficulty: of the training dynamics, or without any labels "
            "prototypicality (distance to a k-means centre) or constant.",
            choices=(*SCORES, *LABEL_FREE),
        ),
        Parameter("neighbors", "integer", 5, "k, the neighbours that messages go to.", 1, 1000),
        Parameter("gamma", "number", 0.1, "γ, how fast the loss fades with distance.", 0.0, 1000.0),
        Parameter("beta", "number", 0.0, "β, the fraction dropped as too hard, at most 1 - budget / N.", 0.0, 1.0),
    )

    def required(self):
        more = {"prototypicality": ("embeddings",), "constant": ()}.get(self.settings.score, ("dynamics",))
        return (*self.needs, *more)

    def eligible(self, pool, free, budget):
        return keep_after_cut(self._difficulty(pool), self.settings.beta, free, budget)

    def _difficulty(self, pool):
        """(N,) in [0, 1], 1 = hardest."""
        if self.settings.score == "constant":
            return np.ones(len(pool))
        if self.settings.score == "prototypicality":
            if pool.pseudo_labels is None:
                raise InvalidInput("prototypicality needs the number of clusters: pseudo-labels to count.", "score")
            vectors = prepare(pool.embeddings, "cosine")
            values = prototype_distances(vectors, len(np.unique(pool.pseudo_labels)), 0, counted=~pool.excluded)
        else:
            values = hardness(pool.dynamics, self.settings.score)
        low, high = values[~pool.excluded].min(), values[~pool.excluded].max()
        return np.ones(len(pool)) if high == low else ((values - low) / (high - low)).clip(0.0, 1.0)

    def choose(self, pool, budget, seed, candidates, progress):
        k = min(self.settings.neighbors, pool.neighbors.k)
        neighbors = np.asarray(pool.neighbors.indices[:, :k])
        distances = np.sqrt((2.0 - 2.0 * pool.neighbors.similarities[:, :k].astype(np.float64)).clip(0.0))
        weights = np.exp(-distances)
        # An excluded sample is no part of the pool and sends nothing.
        weights[pool.excluded[neighbors]] = 0.0
        difficulty = candidates.eligible.hard
        start = difficulty + np.einsum("ij,ij->i", weights, difficulty[neighbors])
        lost = np.exp(-self.settings.gamma * distances)
        values = start.copy()
        for i in np.flatnonzero(pool.locked):
            values[neighbors[i]] -= lost[i] * max(values[i], 0.0)
        indices = _descend(values, neighbors, lost, budget, candidates, progress)

        def reason(i, place):
            state = "not chosen" if place is None else f"number {place + 1:,}"
            left = f", {values[i]:.4g} left when its neighbours were chosen" if place is None else ""
            return f"{state}: difficulty {difficulty[i]:.3g}, {start[i]:.4g} with its neighbours{left}"

        return Choice(indices, start, reason)


def _descend(values, neighbors, lost, budget, candidates, progress):
    """Chooses the highest open value ``budget`` times. Every changed value goes onto the heap anew, a stale entry is
    known by its value: O((N + b k) log N). ``values`` is changed in place."""
    heap = [(-value, i) for i, value in zip(range(len(values)), values.tolist()) if candidates.open[i]]
    heapq.heapify(heap)
    chosen = []
    while len(chosen) < budget:
        negative, i = heapq.heappop(heap)
        if not candidates.open[i] or -negative != values[i]:
            continue
        candidates.take(i)
        chosen.append(i)
        near = neighbors[i]
        values[near] -= lost[i] * max(values[i], 0.0)
        for j, value in zip(near.tolist(), values[near].tolist()):
            if candidates.open[j]:
                heapq.heappush(heap, (-value, j))
        if len(chosen) % 4096 == 0:
            progress(len(chosen) / budget, f"{len(chosen):,} of {budget:,} chosen")
    return np.array(chosen, dtype=np.int64)
