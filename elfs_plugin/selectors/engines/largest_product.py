"""The row of a large matrix that has the largest inner product with a vector, exactly, from a quarter of the bytes.

Reading N x D floats for every question is what takes the time. So the rows are kept once more as one byte for each
number, with the exact distance of each row from its rounded self; that bounds the error of a product with the rounded
one (Cauchy-Schwarz), and only the few rows that can still be the largest are looked at in full.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

from ...contracts import Floats, Mask, Vectors

_BLOCK = 8192
_LEVELS = 127
_ROUNDING = 1e-5
"""Share of ||x|| ||w|| that a sum in single precision may be wrong by."""


class LargestProduct:
    """Answers for the rows of ``vectors`` (N, D) float32, finite. A context manager: it holds threads.

    Memory: N D bytes beside the vectors, and 20 N.

    ``lengths`` (N,) float64 are those of the rows.
    """

    def __init__(self, vectors: Vectors) -> None:
        n = len(vectors)
        self._vectors = vectors
        self._starts = range(0, n, _BLOCK)
        self._codes = np.empty(vectors.shape, dtype=np.int8)
        self._scales = np.empty(n, dtype=np.float32)
        self._errors = np.empty(n, dtype=np.float32)
        self._upper = np.empty(n, dtype=np.float32)
        self.lengths = np.empty(n)
        for start in self._starts:
            self._round(slice(start, start + _BLOCK))
        self._half = (self.lengths**2 / 2).astype(np.float32)

    def _round(self, block):
        x = self._vectors[block].astype(np.float64)
        self.lengths[block] = np.sqrt(np.einsum("ij,ij->i", x, x))
        scales = np.maximum(np.abs(x).max(axis=1) / _LEVELS, np.finfo(np.float32).tiny).astype(np.float32)
        codes = np.rint(x / scales[:, None].astype(np.float64))
        lost = x - codes * scales[:, None].astype(np.float64)
        self._codes[block], self._scales[block] = codes.clip(-_LEVELS, _LEVELS), scales
        self._errors[block] = np.sqrt(np.einsum("ij,ij->i", lost, lost)) + _ROUNDING * self.lengths[block]

    def __enter__(self) -> LargestProduct:
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)
        return self

    def __exit__(self, *_: Any) -> None:
        self._pool.shutdown(cancel_futures=True)

    def nearest(self, w: Floats, open_rows: Mask) -> int:
        """Index of the open row nearest to ``w`` (D,), the one of the largest x · w - ||x||² / 2; the lowest among
        equals. At least one row must be open (N,) bool."""
        short = w.astype(np.float32)
        length = np.float32(np.linalg.norm(w) * (1 + _ROUNDING))

        def scan(start):
            block = slice(start, start + _BLOCK)
            return _scan(
                self._codes[block],
                self._scales[block],
                self._errors[block],
                self._half[block],
                open_rows[block],
                short,
                length,
                self._upper[block],
            )

        least = max(self._pool.map(scan, self._starts))
        return self._exactly(w, np.flatnonzero((self._upper >= least) & open_rows))

    def _exactly(self, w, rows):
        best, found = -np.inf, rows[0]
        for start in range(0, len(rows), _BLOCK):
            part = rows[start : start + _BLOCK]
            x = self._vectors[part].astype(np.float64)
            # Not a matrix product: its sums depend on where a row stands, and copies must tie.
            values = np.einsum("ij,j->i", x, w) - np.einsum("ij,ij->i", x, x) / 2
            at = int(np.argmax(values))
            if values[at] > best:
                best, found = values[at], part[at]
        return int(found)


@numba.njit(nogil=True, fastmath={"reassoc", "contract"}, cache=__package__.split(".")[0] == "elfs_plugin")
def _scan(codes, scales, errors, half, open_rows, w, length, upper):
    """Upper bounds of x · w - ||x||² / 2 of a block; returns the largest lower bound of an open row."""
    best = np.float32(-np.inf)
    for i in range(len(codes)):
        if not open_rows[i]:
            continue
        row = codes[i]
        total = np.float32(0.0)
        for j in range(len(w)):
            total += np.float32(row[j]) * w[j]
        value = total * scales[i] - half[i]
        slack = errors[i] * length + np.float32(_ROUNDING) * half[i]
        upper[i] = value + slack
        best = max(best, value - slack)
    return best
