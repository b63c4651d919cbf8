"""The pairs of samples that are similar enough, by blocks of products; never the whole matrix."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from ...contracts import Floats, Integers, Progress, Vectors
from ...progress import silent

_ROWS, _PRODUCTS = 128, 1 << 23
"""Samples of one product, and its numbers, at most. The same on every machine, so that rounding does not depend on its
cores."""


@dataclass(frozen=True)
class ClosePairs:
    """Row r: ``ends[starts[r]:starts[r + 1]]`` int32 are the samples that are close to it, ascending, and ``values``
    float32 their inner products with it."""

    starts: Integers
    ends: Integers
    values: Floats

    def of(self, r: int) -> tuple[Integers, Floats]:
        """(ends, values) of a row."""
        row = slice(self.starts[r], self.starts[r + 1])
        return self.ends[row], self.values[row]


def close_pairs(vectors: Vectors, rows: Integers, floors: Floats, progress: Progress = silent) -> ClosePairs:
    """The pairs (r, n) of which the inner product is above ``floors[n]``.

    Args:
        vectors: (M, D) float32
        rows: (R,) the samples that get a row, in this order
        floors: (M,) float32

    Memory: 8 bytes a pair, twice that at the end, and 32 MB for each processor.
    """
    size = max(1, min(_ROWS, _PRODUCTS // len(vectors)))
    starts = range(0, len(rows), size)
    parts = []

    def found(start):
        products = vectors[rows[start : start + size]] @ vectors.T
        return _above(products, floors)

    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        for count, part in enumerate(threads.map(found, starts), start=1):
            parts.append(part)
            if count % 16 == 0:
                progress(count / len(starts), "finding close pairs")
    counts = np.concatenate([counts for counts, _, _ in parts]) if parts else np.zeros(0, dtype=np.int64)
    limits = np.concatenate([[0], np.cumsum(counts)])
    ends, values = np.empty(limits[-1], dtype=np.int32), np.empty(limits[-1], dtype=np.float32)
    at = 0
    for place, (_, part_ends, part_values) in enumerate(parts):
        ends[at : at + len(part_ends)], values[at : at + len(part_ends)] = part_ends, part_values
        at += len(part_ends)
        parts[place] = None
    return ClosePairs(limits, ends, values)


def count_close(vectors: Vectors, rows: Integers, floors: Floats, some: Integers) -> float:
    """How many pairs :func:`close_pairs` would find, estimated at the samples ``some``."""
    share = np.mean([(vectors[some[at : at + _ROWS]] @ vectors.T > floors).mean() for at in range(0, len(some), _ROWS)])
    return float(share) * len(rows) * len(vectors)


@numba.njit(nogil=True, cache=__package__.split(".")[0] == "elfs_plugin")
def _above(products, floors):
    """(counts of the rows; ends; values) where a product is above the floor of its column."""
    rows, columns = products.shape
    counts = np.zeros(rows, dtype=np.int64)
    for r in range(rows):
        for n in range(columns):
            counts[r] += products[r, n] > floors[n]
    total = counts.sum()
    ends, values = np.empty(total, dtype=np.int32), np.empty(total, dtype=np.float32)
    at = 0
    for r in range(rows):
        for n in range(columns):
            if products[r, n] > floors[n]:
                ends[at], values[at] = n, products[r, n]
                at += 1
    return counts, ends, values
