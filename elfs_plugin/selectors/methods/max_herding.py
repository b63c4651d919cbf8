"""MaxHerding: the samples under whose kernel most of the pool lies (Bae et al. 2024)."""

import numpy as np

from ... import scratch
from ...contracts import Floats, Progress, Vectors
from ...seeds import Stream, rng
from ..base import Choice, Parameter, Selector
from ..bounded import bounded_note, bounded_rows, is_whole
from ..candidates import Candidates
from ..geometry import prepare
from ..pool import Pool
from ..representatives import standing_for


class MaxHerding(Selector):
    """Maximises the sum over the pool of the largest exp(-||x_n - x_j||² / h²) with a chosen or locked j, on vectors of
    unit length (:mod:`~..engines.kernel_coverage`, which says which of the first choices are estimates). Of more
    than 50,000 samples, or twice the budget, it sees as many, drawn at random. Scores: what a sample would have added
    when it was last looked at; NaN for those not drawn."""

    name = "max_herding"
    listed = 23
    purpose = "Images that have as many others as possible close by. Made for small budgets."
    paper = "Bae et al., Generalized Coverage for More Robust Low-Budget Active Learning, ECCV 2024 (arXiv 2407.12212)"
    direction = "coverage"
    nested = True
    needs = ("embeddings",)
    parameters = (Parameter("bandwidth", "number", 1.0, "h, the width of the kernel. Published: 1.", 1e-3, 1e3),)

    def is_nested(self, samples: int, budget: int) -> bool:
        return is_whole(samples, budget)

    def choose(self, pool: Pool, budget: int, seed: int, candidates: Candidates, progress: Progress) -> Choice:
        vectors = prepare(pool.embeddings, "cosine")
        weights = np.ones(len(pool), dtype=np.float32)
        return herd(pool, vectors, weights, self.settings.bandwidth, budget, seed, candidates, progress)


def herd(
    pool: Pool,
    vectors: Vectors,
    weights: Floats,
    bandwidth: float,
    budget: int,
    seed: int,
    candidates: Candidates,
    progress: Progress,
) -> Choice:
    """The :class:`~..base.Choice` of :func:`~..engines.kernel_coverage.kernel_greedy` on a pool; ``weights`` (N,)."""
    from ..engines.kernel_coverage import kernel_greedy

    random = rng(seed, Stream.MAX_HERDING)
    rows = bounded_rows(pool, candidates, budget, random)
    whole = len(rows) == len(pool)
    found, gains, covered = kernel_greedy(
        vectors if whole else scratch.taken(vectors, rows),
        weights[rows],
        bandwidth,
        budget,
        candidates,
        rows=rows,
        chosen=np.flatnonzero(pool.locked[rows]),
        rng=random,
        progress=progress,
    )
    scores, by = np.full(len(pool), np.nan), np.full(len(pool), -1, dtype=np.int64)
    scores[rows] = gains
    by[rows] = np.where(covered.by >= 0, rows[covered.by], -1)
    reason = standing_for(pool, by, ~np.isnan(scores))
    return Choice(rows[found], scores, reason, notes=bounded_note(pool, rows), represented_by=by)
