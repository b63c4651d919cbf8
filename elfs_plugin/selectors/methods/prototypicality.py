"""Prototypicality: distance to the nearest k-means centre (Sorscher et al. 2022)."""

import numpy as np

from ...errors import InvalidInput
from ...seeds import Stream, derived, rng
from ..base import Parameter, Ranked
from ..geometry import METRIC, distances_to_centres, prepare

_ITERATIONS = 25
_PER_CENTRE = 1024


class Prototypicality(Ranked):
    """k-means on the embeddings; the score is the distance to the own centre."""

    name = "prototypicality"
    listed = 60
    purpose = "The least (or most) typical images of k-means clusters. The far end is full of outliers."
    paper = "Sorscher et al., Beyond neural scaling laws, NeurIPS 2022 (arXiv 2206.14486)"
    direction = "hard_first"
    needs = ("embeddings",)
    optional = ("pseudo_labels",)
    parameters = (
        Parameter(
            "keep",
            "choice",
            "far",
            "far: the least typical first (published for large budgets); near: the most typical first.",
            choices=("far", "near"),
        ),
        Parameter("clusters", "integer", None, "k of k-means; none: as many as the pseudo-labels have.", 1, 100000),
        METRIC,
    )

    @property
    def keeps(self):
        return "high" if self.settings.keep == "far" else "low"

    def score(self, pool, seed, progress):
        clusters = self.settings.clusters
        if clusters is None:
            if pool.pseudo_labels is None:
                raise InvalidInput("prototypicality needs a number of clusters, or pseudo-labels to count.", "clusters")
            clusters = len(np.unique(pool.pseudo_labels))
        vectors = prepare(pool.embeddings, self.settings.metric)
        progress(0.0, "k-means")
        return prototype_distances(vectors, clusters, seed, counted=~pool.excluded)

    def reasons(self, pool, scores, candidates):
        def reason(i, place):
            state = "not chosen" if place is None else f"number {place + 1:,}"
            return f"{state}: distance {scores[i]:.4g} to its prototype, {self.settings.keep} ones first"

        return reason


def prototype_distances(vectors, clusters, seed, counted=None):
    """(N,) distance of each of (N, D) float32 vectors to the nearest of k-means' centres.

    The centres are found on at most 1,024 vectors each; ``counted`` (N,) bool says which take part.
    """
    import faiss

    rows = np.arange(len(vectors)) if counted is None else np.flatnonzero(counted)
    clusters = min(clusters, len(rows))
    most = clusters * _PER_CENTRE
    if len(rows) > most:
        rows = np.sort(rng(seed, Stream.PROTOTYPE_ROWS).choice(rows, most, replace=False))
    own = derived(seed, Stream.PROTOTYPES, bits=31)
    kmeans = faiss.Kmeans(
        vectors.shape[1],
        clusters,
        niter=_ITERATIONS,
        seed=own,
        min_points_per_centroid=1,
        max_points_per_centroid=_PER_CENTRE,
    )
    kmeans.train(np.ascontiguousarray(vectors[rows]))
    centres = np.ascontiguousarray(kmeans.centroids)
    nearest = np.empty(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), 65536):
        nearest[start : start + 65536] = faiss.knn(vectors[start : start + 65536], centres, 1)[1][:, 0]
    return distances_to_centres(vectors, centres, nearest)
