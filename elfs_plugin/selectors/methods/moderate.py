"""Moderate coreset: neither close to nor far from the centre of their class (Xia et al. 2023)."""

import numpy as np

from ..base import Parameter, Ranked
from ..geometry import METRIC, distances_to_centres, prepare


class Moderate(Ranked):
    """Samples whose distance to the centre of their own cluster is nearest to the median, by rank. The median is that
    of all clusters together, as in the authors' code."""

    name = "moderate"
    listed = 70
    purpose = "Images at a middling distance from the centre of their cluster: neither trivial nor odd."
    paper = "Xia et al., Moderate Coreset, ICLR 2023 (openreview 7D5EECbOaf9)"
    direction = "middle"
    needs = ("embeddings", "pseudo_labels")
    parameters = (
        Parameter(
            "centre",
            "choice",
            "median",
            "The median of each dimension (published), or the mean.",
            choices=("median", "mean"),
        ),
        METRIC,
    )

    def score(self, pool, seed, progress):
        vectors = prepare(pool.embeddings, self.settings.metric)
        labels = pool.pseudo_labels
        middle = np.median if self.settings.centre == "median" else np.mean
        centres = np.zeros((int(labels.max()) + 1, vectors.shape[1]), dtype=np.float32)
        by_label = np.argsort(labels, kind="stable")
        counted = by_label[~pool.excluded[by_label]]
        cuts = np.searchsorted(labels[counted], np.arange(len(centres) + 1))
        for label, (start, stop) in enumerate(zip(cuts[:-1], cuts[1:])):
            if stop > start:
                centres[label] = middle(vectors[counted[start:stop]], axis=0)
            progress((label + 1) / len(centres), "the centres of the clusters")
        return distances_to_centres(vectors, centres, labels)

    def priority(self, pool, scores, candidates, seed):
        """Distance in ranks from the middle of what can be chosen; of two equally far the nearer sample first."""
        rows = np.flatnonzero(candidates.open)
        rows = rows[np.argsort(scores[rows], kind="stable")]
        # Twice the distance in ranks is a whole number; a half more for those above the middle breaks the tie.
        away = 2.0 * np.arange(len(rows)) - (len(rows) - 1)
        keys = np.full(len(scores), np.inf)
        keys[rows] = np.abs(away) + np.where(away > 0, 0.5, 0.0)
        return keys

    def reasons(self, pool, scores, candidates):
        median = np.median(scores[~pool.excluded])

        def reason(i, place):
            state = "not chosen" if place is None else f"number {place + 1:,}"
            return f"{state}: distance {scores[i]:.4g} to the centre of its cluster; the median is {median:.4g}"

        return reason
