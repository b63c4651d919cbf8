"""Arrays with something of every sample: in memory, or where they are large in temporary files that are mapped.

The system gives the memory of a mapped file to others when it is short, and reads it again when it is asked for; so a
stage needs memory for what it computes with at the moment, and disk for the rest. The files lie in Python's temporary
folder (set ``TMPDIR`` to have them elsewhere: a folder in memory saves none) and go with the process. Where that folder
has no room they are held in memory after all.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .contracts import Array, Vectors
from .files import reserved_temporary

logger = logging.getLogger(__name__)

IN_MEMORY = 1 << 30
"""Bytes of one array; larger ones are mapped, and computed block by block."""

ROWS = 1 << 16
"""Rows of a block."""


def is_large(shape: Sequence[int], dtype: DTypeLike = np.float32) -> bool:
    """Whether an array is too large to be held in memory beside others."""
    return math.prod(shape) * np.dtype(dtype).itemsize > IN_MEMORY


def empty(shape: Sequence[int], dtype: DTypeLike = np.float32) -> Array:
    """An array to be filled; a large one is a map of a temporary file."""
    return _mapped(shape, dtype) if is_large(shape, dtype) else np.empty(tuple(shape), dtype)


def zeros(shape: Sequence[int], dtype: DTypeLike = np.float32) -> Array:
    """An array of zeros; a large one is a map of a temporary file."""
    return _mapped(shape, dtype) if is_large(shape, dtype) else np.zeros(tuple(shape), dtype)


def blocks(n: int, rows: int = ROWS) -> Iterator[slice]:
    """Slices that cover ``n`` rows in order."""
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))


def taken(array: Array, rows: Any) -> Array:
    """``array[rows]``; ``rows`` (M,) are indices, or (N,) bool."""
    rows = np.asarray(rows)
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows
    shape = (len(rows), *array.shape[1:])
    if not is_large(shape, array.dtype):
        return array[rows]
    found = empty(shape, array.dtype)
    for block in blocks(len(rows)):
        found[block] = array[rows[block]]
    return found


def as_float32(values: ArrayLike) -> Vectors:
    """An array as float32, itself if it is; a large one of another type is converted block by block."""
    array = np.asarray(values)
    if array.dtype == np.float32 or not is_large(array.shape):
        return array.astype(np.float32, copy=False)
    found = empty(array.shape)
    for block in blocks(len(array)):
        found[block] = array[block]
    return found


def _mapped(shape, dtype):
    try:
        return reserved_temporary(dtype, shape)
    except OSError as error:
        logger.warning("There is no room for a large array in %s (%s): it is held in memory.", error.filename, error)
        return np.zeros(tuple(shape), dtype)
