"""Embeddings by column, each divided into at most 256 bins of equal count: what ZCore's search looks through."""

import math
from dataclasses import dataclass

import numpy as np

from ....contracts import Array, Floats, Integers, Progress
from ....errors import InvalidInput
from ....progress import silent
from .draws import compiled

_BLOCK = 8192
_MAX_BINS = 256  # so that a bin's number fits in one byte
_PER_CELL = 64


@dataclass(frozen=True)
class Table:
    """``columns`` (D, N) float32 and ``bins`` (D, N) uint8: 5 bytes a value.

    Bin j of dimension d holds the values in [lows[d, j], highs[d, j]]; both are values that occur, equal values share a
    bin, and a value that fills two bins or more has one of its own. ``used`` (D,) is the number of bins. ``low``,
    ``median`` and ``high`` (D,) float64 are those of each dimension.
    """

    columns: Floats
    bins: Integers
    lows: Floats
    highs: Floats
    used: Integers
    low: Floats
    median: Floats
    high: Floats


def make_table(embeddings: Array, rank: Integers | None = None, *, progress: Progress = silent) -> Table:
    """Columns and bins of (N, D) embeddings; a single dimension gets a second one of zeros beside it.

    Args:
        embeddings: (N, D), anything that slices like an array; read in blocks of rows, once
        rank: (N,) the place each row takes; default its own

    Raises:
        InvalidInput: for no rows or columns, NaN or values beyond float32
    """
    if getattr(embeddings, "ndim", 0) != 2 or 0 in embeddings.shape:
        raise InvalidInput("ZCore needs at least one embedding, as rows of a matrix.", "embeddings")
    n, dimensions = embeddings.shape
    columns = np.zeros((max(dimensions, 2), n), dtype=np.float32)
    for start in range(0, n, _BLOCK):
        with np.errstate(over="ignore"):
            block = np.asarray(embeddings[start : start + _BLOCK], dtype=np.float32)
        wrong = ~np.isfinite(block).all(axis=1)
        if wrong.any():
            raise InvalidInput(
                f"Row {start + int(wrong.argmax()):,} of the embeddings is not finite. Exclude such samples first.",
                "embeddings",
            )
        place = slice(start, start + len(block)) if rank is None else rank[start : start + len(block)]
        columns[:dimensions, place] = block.T
        progress(0.5 * (start + len(block)) / n, "reading embeddings")
    return _binned(columns, progress)


def _binned(columns, progress):
    dimensions, n = columns.shape
    marks = max(1, min(_MAX_BINS, math.isqrt(n // _PER_CELL)))
    at = np.arange(1, marks) * n // marks
    bins = np.empty((dimensions, n), dtype=np.uint8)
    lows, highs = (np.zeros((dimensions, _MAX_BINS), dtype=np.float32) for _ in range(2))
    used = np.empty(dimensions, dtype=np.int64)
    low, median, high = np.empty((3, dimensions))
    for d, column in enumerate(columns):
        column += 0.0  # -0.0 becomes 0.0, which is the same value
        ordered = np.sort(column)
        starts = _edges(ordered, at)
        used[d] = len(starts)
        lows[d, : len(starts)] = ordered[starts]
        highs[d, : len(starts)] = ordered[np.append(starts[1:], n) - 1]
        _into_bins(column, lows[d, : len(starts)], bins[d])
        low[d], high[d] = ordered[0], ordered[-1]
        median[d] = (float(ordered[(n - 1) // 2]) + float(ordered[n // 2])) / 2
        progress(0.5 + 0.5 * (d + 1) / dimensions, f"dividing {dimensions} dimensions into bins")
    return Table(columns, bins, lows, highs, used, low, median, high)


def _edges(ordered, at):
    """The positions where the bins of an ordered column begin."""
    values, times = np.unique(ordered[at], return_counts=True)
    begin = np.searchsorted(ordered, values, side="left")
    # A value that fills a whole bin gets one of its own: however often it occurs, its samples need not be searched.
    end = np.searchsorted(ordered, values[times > 1], side="right")
    starts = np.unique(np.concatenate([[0], begin, end]))
    return starts[starts < len(ordered)]


@compiled
def bin_of(value: float, lows: Floats) -> int:
    """The last bin that begins at or below ``value``; the first one for a value below all."""
    first, count = 0, len(lows)
    while count > 1:
        half = count // 2
        if lows[first + half] <= value:
            first += half
        count -= half
    return first


@compiled
def _into_bins(column, lows, out):
    for i in range(len(column)):
        out[i] = bin_of(column[i], lows)
