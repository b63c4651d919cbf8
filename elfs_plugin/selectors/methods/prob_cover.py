"""ProbCover: the samples whose balls of one radius hold most of the pool (Yehuda et al. 2022)."""

import math

import numpy as np

from ...contracts import Integers, Progress, Vectors
from ...errors import InvalidInput
from ...neighbors.neighbor_graph import NeighborGraph
from ...seeds import Stream, rng
from ..base import Choice, Parameter, Selector
from ..bounded import MOST, bounded_note, bounded_rows, is_whole
from ..candidates import Candidates
from ..geometry import prepare
from ..pool import Pool
from ..representatives import standing_for

_PURITY = 0.95
_ASKED, _ROWS = 256, 16
_BLOCK = 65536
_PAIRS, _MOST_PAIRS = 64_000_000, 128_000_000
"""Pairs within δ that it aims at, and that it keeps at most (16 bytes each while they are found)."""


class ProbCover(Selector):
    """Each choice covers most samples that no chosen or locked one has within the radius δ, on vectors of unit length.
    When all that can be is covered, a further cover begins. δ is, as published, the largest at which 95% of the balls
    hold one cluster alone, as far as the neighbour graph reaches (:func:`pure_radius`; by the pseudo-labels, where the
    authors take k-means): with few neighbours and large clusters it is smaller.

    Very sensitive to δ (Bae et al. 2025); here for comparison. Of more than 50,000 samples, or where the pairs within δ
    do not fit into memory, it sees a part drawn at random. Scores: how many a sample would have covered in the first
    cover when it was last looked at; NaN for those not drawn."""

    name = "prob_cover"
    listed = 26
    purpose = "Images that have most others within one radius. For comparison: graph_coverage needs no radius."
    paper = "Yehuda et al., Active Learning Through a Covering Lens, NeurIPS 2022 (arXiv 2205.11320)"
    direction = "coverage"
    needs = ("embeddings", "neighbors", "pseudo_labels")
    nested = True
    parameters = (
        Parameter(
            "delta",
            "number",
            None,
            "δ, the radius, a Euclidean distance of unit vectors; none: by the purity of the balls.",
            0.0,
            2.0,
        ),
    )

    def is_nested(self, samples: int, budget: int) -> bool:
        return is_whole(samples, budget)

    def choose(self, pool: Pool, budget: int, seed: int, candidates: Candidates, progress: Progress) -> Choice:
        from ..engines.balls import Balls
        from ..engines.heap_greedy import heap_greedy

        delta = self.settings.delta
        if delta is None:
            delta = pure_radius(pool.neighbors, pool.pseudo_labels)
        vectors = prepare(pool.embeddings, "cosine")
        random = rng(seed, Stream.PROB_COVER)
        rows = bounded_rows(pool, candidates, budget, random, self._most(pool, vectors, delta, budget, random))
        balls = Balls(vectors[rows], delta, progress)
        for j in np.flatnonzero(pool.locked[rows]):
            balls.add(int(j))
        found, gains = heap_greedy(balls, budget, candidates, rows=rows, least=0.0, progress=progress)
        covers = 1
        while len(found) < budget:
            balls.empty()
            more, _ = heap_greedy(balls, budget - len(found), candidates, rows=rows, least=0.0, progress=progress)
            if len(more) == 0:  # what is left, vectors of zeros, is not even near itself
                break
            found, covers = np.concatenate([found, more]), covers + 1
        scores, by = np.full(len(pool), np.nan), np.full(len(pool), -1, dtype=np.int64)
        scores[rows] = gains
        by[rows] = np.where(balls.by >= 0, rows[balls.by], -1)
        chosen = np.concatenate([rows[found], candidates.walk(rows, budget - len(found))])
        notes = [f"δ = {delta:.3g}: {covers} covers in turn." if covers > 1 else f"δ = {delta:.3g}."]
        notes += bounded_note(pool, rows)
        reason = standing_for(pool, by, ~np.isnan(scores))
        return Choice(chosen, scores, reason, notes=notes, represented_by=by)

    def _most(self, pool: Pool, vectors: Vectors, delta: float, budget: int, random: np.random.Generator) -> int:
        """How many samples it can look at."""
        from ..engines.balls import cosine_at

        some = np.sort(random.choice(len(vectors), min(len(vectors), _ASKED), replace=False))
        blocks = [some[at : at + _ROWS] for at in range(0, len(some), _ROWS)]
        share = float(np.mean([(vectors[block] @ vectors.T > cosine_at(delta)).mean() for block in blocks]))
        least = min(2 * budget + int(pool.locked.sum()), len(pool))
        if least**2 * share > _MOST_PAIRS:
            raise InvalidInput(
                f"Within δ = {delta:.3g} an image has {share:.1%} of all others: too many for this budget. Choose a "
                "smaller δ, or graph_coverage.",
                "delta",
            )
        return min(MOST, max(1, math.isqrt(int(_PAIRS / max(share, 1e-12)))))


def pure_radius(graph: NeighborGraph, labels: Integers) -> float:
    """The largest radius at which 95% of the balls around the samples hold one label alone: the 5% quantile of the
    Euclidean distances to the nearest sample of another label. Where the graph shows none, its last neighbour's
    distance stands for it."""
    similarity = np.empty(len(labels))
    for start in range(0, len(labels), _BLOCK):
        block = slice(start, start + _BLOCK)
        other = labels[graph.indices[block]] != labels[block, None]
        first = np.where(other.any(axis=1), other.argmax(axis=1), graph.k - 1)
        similarity[block] = np.take_along_axis(graph.similarities[block], first[:, None], axis=1)[:, 0]
    return float(np.quantile(np.sqrt((2.0 - 2.0 * similarity).clip(0.0)), 1.0 - _PURITY))
