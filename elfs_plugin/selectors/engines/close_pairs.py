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
    """The pairs (r, n) of which the inner product is above ``floors[n]``. Each product is computed once for both of its
    samples.

    Args:
        vectors: (M, D) float32
        rows: (R,) the samples that get a row, in this order
        floors: (M,) float32; infinite for samples that are the end of no pair, which then cost nothing

    Memory: 8 to 10 bytes a pair, twice that at the end, and 32 MB for each processor.
    """
    number = np.full(len(vectors), -1, dtype=np.int64)
    number[rows] = np.arange(len(rows))
    counted = np.flatnonzero((number >= 0) | np.isfinite(floors))
    own = vectors if len(counted) == len(vectors) else vectors[counted]
    number, floors = number[counted], floors[counted]
    size = max(1, min(_ROWS, _PRODUCTS // len(vectors)))
    starts = range(0, len(counted), size)
    parts = []

    def found(start):
        products = own[start : start + size] @ own[start:].T
        return _above(products, floors[start:], number[start:] >= 0)

    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        for count, part in enumerate(threads.map(found, starts), start=1):
            parts.append(part)
            if count % 16 == 0:
                progress(1.0 - (1.0 - count / len(starts)) ** 2, "finding close pairs")
    limits = np.zeros(len(rows) + 1, dtype=np.int64)
    for start, found_there in zip(starts, parts):
        _count(number[start:], found_there, limits[1:])
    limits = np.cumsum(limits)
    ends, values = np.empty(limits[-1], dtype=np.int32), np.empty(limits[-1], dtype=np.float32)
    at = limits[:-1].copy()
    names = counted.astype(np.int32)
    for place, start in enumerate(starts):
        _place(number[start:], names[start:], parts[place], at, ends, values)
        parts[place] = None
    return ClosePairs(limits, ends, values)


def count_close(vectors: Vectors, rows: Integers, floors: Floats, some: Integers) -> float:
    """How many pairs :func:`close_pairs` would find, estimated at the samples ``some``."""
    share = np.mean([(vectors[some[at : at + _ROWS]] @ vectors.T > floors).mean() for at in range(0, len(some), _ROWS)])
    return float(share) * len(rows) * len(vectors)


_CACHED = __package__.split(".")[0] == "elfs_plugin"


@numba.njit(nogil=True, cache=_CACHED)
def _above(products, floors, wanted):
    """The close pairs of a block of b samples with themselves and the c - b samples that come after them.

    Args:
        products: (b, c)
        floors, wanted: (c,) of all of them, the block's first: the floor as an end, and whether a sample gets a row

    Returns:
        Of the pairs that begin in the block: (b,) counts, ends as columns of ``products``, and values; and of those
        that end there and begin after it: the columns that they begin at, counts, ends, which are rows of ``products``,
        and values
    """
    rows, columns = products.shape
    direct = np.zeros(rows, dtype=np.int64)
    mirrored = np.zeros(columns - rows, dtype=np.uint8)
    for r in range(rows):
        if wanted[r]:
            for n in range(columns):
                direct[r] += products[r, n] > floors[n]
        for n in range(rows, columns):
            mirrored[n - rows] += products[r, n] > floors[r]
    for n in range(rows, columns):
        if not wanted[n]:
            mirrored[n - rows] = 0
    ends, values = np.empty(direct.sum(), dtype=np.int32), np.empty(direct.sum(), dtype=np.float32)
    starts = np.zeros(columns - rows + 1, dtype=np.int64)
    for n in range(columns - rows):
        starts[n + 1] = starts[n] + mirrored[n]
    others, their_values = np.empty(starts[-1], dtype=np.uint8), np.empty(starts[-1], dtype=np.float32)
    at = 0
    for r in range(rows):
        if wanted[r]:
            for n in range(columns):
                if products[r, n] > floors[n]:
                    ends[at], values[at] = n, products[r, n]
                    at += 1
        for n in range(rows, columns):
            if products[r, n] > floors[r] and wanted[n]:
                place = starts[n - rows]
                others[place], their_values[place] = r, products[r, n]
                starts[n - rows] += 1
    begin = np.flatnonzero(mirrored)
    return direct, ends, values, (begin + rows).astype(np.int32), mirrored[begin], others, their_values


@numba.njit(cache=_CACHED)
def _count(number, part, counts):
    """Adds the pairs of a block to those of the rows, ``number`` (c,) of each of its samples."""
    direct, _, _, begin, mirrored, _, _ = part
    for r in range(len(direct)):
        if direct[r]:
            counts[number[r]] += direct[r]
    for at in range(len(begin)):
        counts[number[begin[at]]] += mirrored[at]


@numba.njit(cache=_CACHED)
def _place(number, names, part, at, ends, values):
    """Appends the pairs of a block to their rows, which end ``at`` so far. Blocks come in their order, so that the ends
    of each row ascend."""
    direct, own_ends, own_values, begin, mirrored, others, their_values = part
    place = 0
    for r in range(len(direct)):
        for _ in range(direct[r]):
            to = at[number[r]]
            ends[to], values[to] = names[own_ends[place]], own_values[place]
            at[number[r]] += 1
            place += 1
    place = 0
    for which in range(len(begin)):
        row = number[begin[which]]
        for _ in range(mirrored[which]):
            ends[at[row]], values[at[row]] = names[others[place]], their_values[place]
            at[row] += 1
            place += 1
