"""Herding: the mean of the chosen follows the mean of the pool (Welling 2009)."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from ..errors import InvalidInput
from .base import Choice, Selector
from .geometry import METRIC, prepare

_BLOCK = 16384
_REPORT = 100


class Herding(Selector):
    """Choice t + 1 is the sample x that minimises ||(t + 1) μ - (sum of the chosen and locked) - x||, each once.
    Scores: cosine of each embedding with the mean μ of the pool."""

    name = "herding"
    purpose = "Images whose mean stays as close as possible to the mean of the pool."
    paper = "Welling, Herding Dynamical Weights to Learn, ICML 2009; Chen et al., UAI 2010 (arXiv 1203.3472)"
    direction = "coverage"
    nested = True
    needs = ("embeddings",)
    parameters = (METRIC,)

    def choose(self, pool, budget, seed, candidates, progress):
        vectors = prepare(pool.embeddings, self.settings.metric)
        counted = ~pool.excluded
        mean = _sum(vectors, counted) / counted.sum()
        if not np.isfinite(mean @ mean):
            raise InvalidInput("The embeddings are too large for Euclidean distances. Use the cosine metric.", "metric")
        locked = int(pool.locked.sum())
        chosen = _sum(vectors, pool.locked)
        indices = np.empty(budget, dtype=np.int64)
        with _Products(vectors) as products:
            for t in range(budget):
                i = products.best((locked + t + 1) * mean - chosen, candidates.open)
                candidates.take(i)
                chosen += vectors[i]
                indices[t] = i
                if t % _REPORT == 0:
                    progress(t / budget, f"{t:,} of {budget:,} chosen")
            scores = products.with_(mean) / np.maximum(products.lengths * np.linalg.norm(mean), 1e-30)

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


class _Products:
    """Inner products of all vectors with one, by as many threads as there are cores, and the best sample by them."""

    def __init__(self, vectors):
        self._vectors = vectors
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
        self.lengths = np.sqrt(squares)
        self._half = (squares / 2).astype(np.float32)
        self._starts = range(0, len(vectors), _BLOCK)
        self._found = np.empty(len(vectors), dtype=np.float32)

    def __enter__(self):
        # Threads that share the rows never wait for each other, as those within one product do.
        self._limits = threadpool_limits(1)
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)
        return self

    def __exit__(self, *_):
        self._pool.shutdown(cancel_futures=True)
        self._limits.restore_original_limits()

    def with_(self, w):
        """(N,) float32, reused by the next call."""
        w = w.astype(np.float32)

        def multiply(start):
            block = slice(start, start + _BLOCK)
            np.dot(self._vectors[block], w, out=self._found[block])

        for _ in self._pool.map(multiply, self._starts):
            pass
        return self._found

    def best(self, w, open_rows):
        """Index of the open sample of the largest x . w - ||x||² / 2, the lowest among equals."""
        found = self.with_(w)
        found -= self._half
        found[~open_rows] = -np.inf
        # Those within the rounding of float32 are looked at again.
        slack = 1e-5 * (np.linalg.norm(w) * self.lengths.max() + self._half.max())
        rows = np.flatnonzero(found >= found.max() - slack)
        x = self._vectors[rows].astype(np.float64)
        return int(rows[np.argmax(x @ w - np.einsum("ij,ij->i", x, x) / 2)])
