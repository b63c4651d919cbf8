"""TypiClust: the most typical sample of each cluster (Hacohen et al. 2022)."""

import numpy as np

from ... import scratch
from ...contracts import Floats, Integers, Progress, Vectors
from ...seeds import Stream
from ..base import Choice, Parameter, Selector
from ..candidates import Candidates
from ..geometry import prepare
from ..pool import Pool
from ..turns import take_turns

_NEAREST = 20


class TypiClust(Selector):
    """k-means with as many clusters as the budget and the locked samples together, at most 500. Clusters take turns,
    those with fewest locked samples first, then the largest; each gives its most typical open sample. Typicality is
    1 / (mean distance to the min(20, n_c // 2) nearest samples of the cluster); clusters of five or fewer come last.

    The authors' code measures it anew among what is left after each choice; here it is measured once, so that a dense
    spot is not rewarded again for the neighbours that it has lost. Scores: typicality."""

    name = "typiclust"
    listed = 25
    purpose = "The image in the densest spot of each cluster. Made for the first few labels."
    paper = "Hacohen et al., Active Learning on a Budget, ICML 2022 (arXiv 2202.02794)"
    direction = "coverage"
    needs = ("embeddings",)
    parameters = (
        Parameter("most_clusters", "integer", 500, "Clusters at most. Published: 500.", 1, 100_000),
        Parameter("smallest", "integer", 6, "Images that a cluster needs to have a turn. Published: 6.", 1, 1000),
    )

    def choose(self, pool: Pool, budget: int, seed: int, candidates: Candidates, progress: Progress) -> Choice:
        from ..engines.k_means import k_means

        rows = np.flatnonzero(~pool.excluded)
        vectors = prepare(pool.embeddings, "cosine")
        vectors = vectors if len(rows) == len(pool) else scratch.taken(vectors, rows)
        clusters = min(budget + int(pool.locked.sum()), self.settings.most_clusters, len(rows))
        labels, _ = k_means(vectors, clusters, seed, Stream.TYPICLUST, progress)
        typical = typicality(vectors, labels, clusters, progress)
        sizes = np.bincount(labels, minlength=clusters)
        labelled = np.bincount(labels[pool.locked[rows]], minlength=clusters)
        small = sizes < self.settings.smallest
        ordered = np.lexsort((-sizes, labelled, small))
        large = ordered[~small[ordered]]
        found = take_turns(large, labels, rows, -typical, budget, candidates)
        rest = take_turns(ordered[small[ordered]], labels, rows, -typical, budget - len(found), candidates)
        scores, cluster = np.full(len(pool), np.nan), np.full(len(pool), -1, dtype=np.int64)
        scores[rows], cluster[rows] = typical, labels

        def reason(i: int, place: int | None) -> str:
            state = "not chosen" if place is None else f"number {place + 1:,}"
            return f"{state}: typicality {scores[i]:.4g} in a cluster of {sizes[cluster[i]]:,} images"

        return Choice(np.concatenate([found, rest]), scores, reason)


def typicality(vectors: Vectors, labels: Integers, clusters: int, progress: Progress) -> Floats:
    """(M,) float64 of unit vectors: 1 / (mean Euclidean distance to the nearest samples of the own cluster + 1e-5); 0
    for a sample alone in it."""
    from ...neighbors.graph import knn_graph

    found = np.zeros(len(vectors))
    order = np.argsort(labels, kind="stable")
    limits = np.searchsorted(labels[order], np.arange(clusters + 1))
    for cluster in range(clusters):
        members = order[limits[cluster] : limits[cluster + 1]]
        if len(members) < 2:
            continue
        k = max(min(_NEAREST, len(members) // 2), 1)
        similarities = knn_graph(vectors[members], k).similarities.astype(np.float64)
        found[members] = 1.0 / (np.sqrt((2.0 - 2.0 * similarities).clip(0.0)).mean(axis=1) + 1e-5)
        progress(cluster / clusters, "measuring how typical the images are")
    return found
