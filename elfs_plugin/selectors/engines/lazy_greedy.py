"""Exact greedy selection on vectors without looking at every sample at every step.

For objectives under which the value of a sample can only fall while others are chosen (submodular ones, and the
distance to the nearest centre). A value that does not yet account for the latest choices is then an upper bound. Only
a block of the samples with the highest bounds is kept up to date; as long as the best of the block beats every bound
outside it, it is the best of all. Otherwise a new block is taken and brought up to date by matrix products.
Lazy evaluation: Minoux 1978.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from ...contracts import CandidateSource, Floats, Integers, Progress, Vectors
from ...progress import silent

_CHUNK = 1024
"""Choices that are accounted for at once; their vectors stay in the cache while many samples meet them."""
_ROWS = 512
"""Samples of one product. The same on every machine, so that rounding does not depend on its cores."""
_LEAST_BLOCK, _LARGEST_BLOCK = 256, 4096


class Update(Protocol):
    """Makes the values of some samples account for others that were chosen, see :func:`lazy_greedy`."""

    def __call__(self, rows: Integers, products: Vectors, picks: Integers, /) -> None: ...


def lazy_greedy(
    vectors: Vectors,
    values: Floats,
    update: Update,
    budget: int,
    candidates: CandidateSource,
    *,
    keys: Integers | None = None,
    chosen: Sequence[int] | Integers = (),
    progress: Progress = silent,
) -> Integers:
    """Chooses the open sample of the highest value, ``budget`` times.

    Args:
        vectors: (N, D) float32
        values: (N,) float64 before any of ``chosen`` is accounted for; changed in place. After the call the values of
            samples that were never near the top are bounds.
        update: ``update(rows, products, picks)`` makes ``values[rows]`` account for the samples ``picks`` (P,), given
            ``products`` (R, P), the inner products of their vectors; called once for each pair
        candidates: has ``open`` (N,) bool and ``take(i)``, see :class:`~..candidates.Candidates`
        keys: (N,) distinct, the lowest wins a tie (default: the index)
        chosen: samples that are chosen already and count on top of the budget

    Returns:
        (budget,) int64 in order of choice

    Time: at most budget N D multiplications, usually a small part of them. Memory: O(N), and 4 budget D bytes.
    """
    # The threads of a small product would wait for each other longer than they compute; products side by side do not.
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        return _choose(vectors, values, update, budget, candidates, keys, chosen, progress, threads)


def _choose(vectors, values, update, budget, candidates, keys, chosen, progress, threads):
    n, dimensions = vectors.shape
    keys = np.arange(n) if keys is None else keys
    first = len(chosen)
    picks = np.empty(first + budget, dtype=np.int64)
    picks[:first] = chosen
    centres = np.empty((len(picks), dimensions), dtype=np.float32)
    centres[:first] = vectors[picks[:first]]
    seen = np.zeros(n, dtype=np.int32)
    size = min(max(n // 32, _LEAST_BLOCK), _LARGEST_BLOCK)
    count = first

    def products(rows, block):
        parts = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
        found = list(threads.map(lambda part: vectors[part] @ centres[block].T, parts))
        return found[0] if len(found) == 1 else np.concatenate(found)

    def refresh(rows):
        behind = rows[seen[rows] < count]
        if len(behind) == 0:
            return
        # Chunk by chunk and not sample by sample: whoever lacks all of a chunk meets it together.
        for start in range(seen[behind].min() // _CHUNK * _CHUNK, count, _CHUNK):
            end = min(start + _CHUNK, count)
            since = np.maximum(seen[behind], start)
            for at in np.unique(since[since < end]):
                some, block = behind[since == at], slice(int(at), end)
                update(some, products(some, block), picks[block])
        seen[behind] = count

    while count < len(picks):
        rows, limit, limit_key = _block(np.where(candidates.open, values, -np.inf), keys, size)
        refresh(rows)
        here, here_keys = vectors[rows], keys[rows]
        while count < len(picks):
            best = _best(np.where(candidates.open[rows], values[rows], -np.inf), here_keys)
            value = values[rows[best]]
            if not candidates.open[rows[best]] or (value, -here_keys[best]) < (limit, -limit_key):
                break
            i = rows[best]
            candidates.take(i)
            picks[count], centres[count] = i, vectors[i]
            count += 1
            update(rows, (here @ vectors[i])[:, None], picks[count - 1 : count])
            seen[rows] = count
        progress((count - first) / budget, f"{count - first:,} of {budget:,} chosen")
    return picks[first:]


def _best(values, keys):
    ties = np.flatnonzero(values == values.max())
    return ties[0] if len(ties) == 1 else ties[np.argmin(keys[ties])]


def _block(bounds, keys, size):
    """(rows of the ``size`` highest bounds, ties by key; the highest bound outside them and its lowest key)."""
    n = len(bounds)
    if size >= n:
        return np.flatnonzero(bounds > -np.inf), -np.inf, np.inf
    least = np.partition(bounds, n - size)[n - size]
    inside = bounds > least
    ties = np.flatnonzero(bounds == least)
    wanted = size - int(inside.sum())
    if wanted < len(ties):
        ties = ties[np.argpartition(keys[ties], wanted)]
    inside[ties[:wanted]] = True
    inside &= bounds > -np.inf
    outside = np.where(inside, -np.inf, bounds)
    best = _best(outside, keys)
    return np.flatnonzero(inside), outside[best], keys[best]
