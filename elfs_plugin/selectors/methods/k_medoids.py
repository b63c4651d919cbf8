"""k-means medoids: the sample nearest to each centre of as many clusters as there are images to choose."""

import numpy as np

from ... import scratch
from ...contracts import Progress
from ...seeds import Stream
from ..base import Choice, Cost, Selector
from ..candidates import Candidates
from ..geometry import METRIC, prepare
from ..pool import Pool
from ..representatives import first_of_each
from ..turns import take_turns


class KMedoids(Selector):
    """k-means with as many centres as the budget and the locked samples together; the open sample nearest to the centre
    of each cluster, largest clusters first, those that hold a locked sample last. Where rules forbid the one of a
    cluster, clusters give another in a further round. Scores: the distance to the own centre."""

    name = "k_medoids"
    listed = 22
    purpose = "The most central image of as many clusters as there are images to choose. Not nested."
    paper = (
        "Gupte et al., Revisiting Active Learning in the Era of Vision Foundation Models, TMLR 2024 (arXiv 2401.14555)"
    )
    direction = "coverage"
    cost = Cost(3e15, ("samples", "budget", "dimensions"))
    needs = ("embeddings",)
    parameters = (METRIC,)

    def choose(self, pool: Pool, budget: int, seed: int, candidates: Candidates, progress: Progress) -> Choice:
        from ..engines.k_means import k_means

        vectors = prepare(pool.embeddings, self.settings.metric)
        rows = np.flatnonzero(~pool.excluded)
        clusters = min(budget + int(pool.locked.sum()), len(rows))
        whole = len(rows) == len(pool)
        labels, distances = k_means(
            vectors if whole else scratch.taken(vectors, rows), clusters, seed, Stream.K_MEDOIDS, progress
        )
        sizes = np.bincount(labels, minlength=clusters)
        labelled = np.bincount(labels[pool.locked[rows]], minlength=clusters) > 0
        turns = np.lexsort((-sizes, labelled))
        indices = take_turns(turns, labels, rows, distances, budget, candidates)
        scores = np.full(len(pool), np.nan)
        scores[rows] = distances
        cluster = np.full(len(pool), -1, dtype=np.int64)
        cluster[rows] = labels

        def reason(i: int, place: int | None) -> str:
            size, number = sizes[cluster[i]], f"{scores[i]:.3g} from the centre of its cluster"
            if place is None:
                return f"not chosen: {number} of {size:,} images"
            return f"number {place + 1:,}: {number} of {size:,} images, the nearest that may be chosen"

        return Choice(indices, scores, reason, represented_by=first_of_each(cluster, indices, pool.locked))
