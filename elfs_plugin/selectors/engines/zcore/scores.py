"""ZCore: how much each sample covers and how little it repeats, from embeddings alone.

Griffin, Marks, Corso, "Zero-Shot Coreset Selection via Iterative Subspace Sampling", WACV 2026, arXiv 2411.15349, with
the settings of the authors' code. A draw takes two random dimensions and a point in them, each coordinate from the
triangular distribution over (minimum, median, maximum). The sample nearest to the point (L1) gets +1; its 1,000 nearest
neighbours in the two dimensions share -1 in proportion to 1/d^4, and where another sample lies at the very same place,
that one takes it all. Here a sample is never its own neighbour, and ties go to the sample that comes first.

A single draw says nothing about nearly all samples, so their number decides how much of a ranking is chance. They are
therefore made as two independent halves, until the halves agree.
"""

import os
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import numpy as np

from ....arrays import as_matrix
from ....errors import InvalidInput
from ....progress import part, silent
from ....seeds import Stream, rng
from ....validation import derived_seed

DRAWS_PER_SAMPLE = 100
"""The default limit, in draws per sample."""

NEIGHBORS = 1000
EXPONENT = 4
TARGET = 0.9
TOP = 0.1

_LEAST_DRAWS = 10_000
_FIRST = 0.1
_RESERVE = 1.1
_PAIRS_PER_TASK = 64
_DRAWS_PER_TASK = 20_000
_THREAD_BYTES = 2e9


@dataclass(frozen=True)
class Convergence:
    """After ``draws`` draws: Spearman's ``correlation`` of the halves' scores and the ``overlap`` of their tops."""

    draws: int
    correlation: float
    overlap: float
    top: float = TOP

    def __str__(self):
        return (
            f"After {self.draws:,} draws two half-runs of ZCore correlate by {self.correlation:.2f} and share "
            f"{self.overlap:.0%} of their top {self.top:.0%}."
        )


@dataclass(frozen=True)
class ZCoreScores:
    """``scores`` (N,) float64 in [0, 1], high = keep; all 0 when all are equal. ``draws``, ``history`` (a
    :class:`Convergence` a round), ``converged``: whether the last one reached the target; ``warnings``: sentences."""

    scores: np.ndarray = field(repr=False)
    draws: int
    history: list
    converged: bool
    warnings: list


def zcore_scores(
    embeddings,
    *,
    max_draws=None,
    target=TARGET,
    neighbors=NEIGHBORS,
    exponent=EXPONENT,
    random_init=False,
    top=TOP,
    ids=None,
    threads=None,
    seed=0,
    progress=silent,
):
    """Scores every sample; the highest are the coreset.

    Rounds of draws follow each other until the halves' ranks correlate by ``target``: a first one, and then as many as
    its correlation says are needed (with c = n / (n + x) for n draws, x from what was measured).

    The memory beside the embeddings is 5 bytes a value, and 40 bytes a sample for each thread.

    Args:
        embeddings: (N, D), finite, in an array or a memory-mapped file; taken as float32
        max_draws: the limit; default 100 a sample, at least 10,000
        target: Spearman's correlation of the two halves at which it stops, in (0, 1]; 1 draws up to the limit
        neighbors: how many samples share the penalty (all others when there are fewer)
        exponent: of the distance in the weights, >= 0
        random_init: adds a random number in [0, 1) to every score, as the authors do; breaks the ties of samples that
            were never drawn
        top: the fraction of samples whose overlap between the halves is told
        ids: (N,) distinct; results then belong to ids, whatever order the samples come in
        threads: default one a processor; the result does not depend on it

    Returns:
        :class:`ZCoreScores`

    Raises:
        InvalidInput: for embeddings that are not finite, parameters out of range
    """
    # Imported here, as the scorer's engine is: importing this module must not cost importing a compiler.
    from .draws import plan
    from .table import make_table

    embeddings, seed = as_matrix(embeddings, "The embeddings", "embeddings"), derived_seed(seed)
    n = len(embeddings)
    max_draws = max(DRAWS_PER_SAMPLE * n, _LEAST_DRAWS) if max_draws is None else max_draws
    _check(n, max_draws, target, neighbors, exponent, top, ids, threads)
    rank = None if ids is None else _ranks(ids)
    table = make_table(embeddings, rank, progress=part(progress, 0.0, 0.05))
    totals = np.zeros((2, n), dtype=np.int64)
    history = []
    with Scorer(table, neighbors, exponent, threads) as scorer:
        made, goal = 0, max(2, round(_FIRST * max_draws))
        while True:
            chances = plan(len(table.columns), goal - made, seed=seed, stream=len(history))
            totals += scorer.score(chances, part(_shown(progress, goal), made / max_draws, goal / max_draws))
            made = goal
            history.append(Convergence(made, *agreement(totals[0], totals[1], top), top))
            reached = history[-1].correlation
            if reached >= target or made == max_draws:
                break
            goal = _next_goal(made, reached, target, max_draws)
    scores = totals.sum(axis=0) / scorer.unit
    if random_init:
        scores += rng(seed, Stream.ZCORE_START).random(n)
    scores = _normalized(scores)
    progress(1.0, f"{made:,} draws, the halves correlate by {reached:.2f}")
    converged = bool(reached >= target)
    return ZCoreScores(
        scores if rank is None else scores[rank],
        made,
        history,
        converged,
        [] if converged else [_warning(history[-1], target)],
    )


def agreement(first, second, top=TOP):
    """Spearman's rank correlation of two score vectors, and the share of their top ``top`` that they have in common.

    Two vectors without any difference in them agree (1.0), one with and one without do not (0.0). Ties in the top go to
    the earlier sample.
    """
    from scipy.stats import rankdata

    kept = max(1, round(top * len(first)))
    tops = [np.argsort(-np.asarray(scores), kind="stable")[:kept] for scores in (first, second)]
    overlap = len(np.intersect1d(*tops)) / kept
    ranks = [rankdata(scores) for scores in (first, second)]
    ranks = [rank - rank.mean() for rank in ranks]
    norms = [float(np.sqrt(rank @ rank)) for rank in ranks]
    if min(norms) == 0:
        return float(max(norms) == 0), overlap
    return min(1.0, float(ranks[0] @ ranks[1]) / (norms[0] * norms[1])), overlap


class Scorer:
    """Scores plans of draws with several threads; a context, because it owns them.

    Args:
        table: :class:`~.table.Table`
    """

    def __init__(self, table, neighbors, exponent, threads=None):
        from . import search as zcore_search

        self._engine = zcore_search
        self.unit = int(zcore_search.UNIT)
        self._table = (
            table.columns,
            table.bins,
            table.lows,
            table.highs,
            table.used,
            table.low,
            table.median,
            table.high,
        )
        self._bins = int(table.used.max())
        self._neighbors, self._exponent = int(min(neighbors, table.columns.shape[1])), float(exponent)
        fit = max(1, int(_THREAD_BYTES / (40 * table.columns.shape[1])))
        self._threads = min(threads or os.cpu_count() or 1, fit)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="zcore")
        self._local = threading.local()
        self._workspaces = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pool.shutdown(cancel_futures=True)

    def score(self, chances, progress=silent):
        """(2, N) int64: what each half of a plan adds to every sample, in units of ``1 / unit``."""
        for work in self._workspaces:
            work.totals[:] = 0
        tasks, running, done = self._tasks(chances), set(), 0
        total = max(1, chances.draws)
        try:
            for task in tasks:
                running.add(self._pool.submit(self._run, chances, *task))
                if len(running) >= 4 * self._threads:
                    finished, running = wait(running, return_when=FIRST_COMPLETED)
                    done += sum(future.result() for future in finished)
                    progress(done / total)
            for future in running:
                done += future.result()
                progress(done / total)
        except BaseException:
            for future in running:
                future.cancel()
            wait(running)
            raise
        return sum(work.totals for work in self._workspaces)

    def _tasks(self, chances):
        """(a, from b, to b, part, parts) so that each is a second or less of work, and none is empty."""
        dimensions = len(self._table[0])
        per_pair = chances.counts.sum(axis=0, dtype=np.int64)
        parts = max(1, -(-int(per_pair.max()) // _DRAWS_PER_TASK))
        for a in range(dimensions - 1):
            row = a * dimensions - a * (a + 1) // 2 - a - 1
            for start in range(a + 1, dimensions, _PAIRS_PER_TASK):
                stop = min(start + _PAIRS_PER_TASK, dimensions)
                if per_pair[row + start : row + stop].any():
                    yield from ((a, start, stop, at, parts) for at in range(parts))

    def _run(self, chances, a, start, stop, at, parts):
        work = getattr(self._local, "work", None)
        if work is None:
            work = self._local.work = self._engine.workspace(self._table[0].shape[1], self._bins)
            self._workspaces.append(work)
        return self._engine.score_pairs(
            self._table, chances.counts, chances.keys, a, start, stop, at, parts, self._neighbors, self._exponent, work
        )


def _check(n, max_draws, target, neighbors, exponent, top, ids, threads):
    if not _whole(max_draws) or not 2 <= max_draws < 1 << 28:
        raise InvalidInput(f"The limit of draws must be a whole number from 2 to {(1 << 28) - 1:,}.", "max_draws")
    if not 0 < target <= 1:
        raise InvalidInput("The wanted correlation of the halves must be above 0 and at most 1.", "target")
    if not _whole(neighbors) or neighbors < 1:
        raise InvalidInput("The penalty needs a whole number of neighbours, at least 1.", "neighbors")
    if not 0 <= exponent <= 64:
        raise InvalidInput("The exponent of the distance must be from 0 to 64.", "exponent")
    if not 0 < top <= 1:
        raise InvalidInput("The top must be a fraction above 0 and at most 1.", "top")
    if threads is not None and (not _whole(threads) or threads < 1):
        raise InvalidInput("At least 1 thread is needed.", "threads")
    if ids is not None and (len(ids) != n or len(np.unique(ids)) != n):
        raise InvalidInput(f"{n:,} embeddings need as many distinct ids.", "ids")


def _whole(value):
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _ranks(ids):
    """(N,) the place of each id in the sorted order."""
    rank = np.empty(len(ids), dtype=np.int64)
    rank[np.argsort(np.asarray(ids), kind="stable")] = np.arange(len(ids))
    return rank


def _next_goal(made, reached, target, limit):
    """How many draws, all together, the target needs.

    Half-runs of n draws each correlate by n / (n + x) when x is the noise of one draw (Spearman, Brown, 1910).
    """
    if reached <= 0 or target == 1:
        needed = limit
    else:
        needed = _RESERVE * made * (1 - reached) / reached * target / (1 - target)
    goal = round(min(max(needed, 1.5 * made), limit))
    return limit if goal > 0.9 * limit else goal


def _normalized(scores):
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else np.zeros(len(scores))


def _shown(progress, goal):
    def report(fraction, detail=""):
        progress(0.05 + 0.94 * fraction, detail or f"drawing up to {goal:,} points")

    return report


def _warning(last, target):
    return f"{last} A correlation of {target:g} was wanted: part of this ranking is chance. Allow more draws."
