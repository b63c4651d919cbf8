"""Exact neighbours on a GPU: every block of rows against all others, as a matrix product and a selection."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from ..contracts import Floats, Integers, Vectors
from ..gpu_memory import OUT_OF_MEMORY, empty_cache, free_bytes

SHARE = 0.3
"""Share of the free memory for one block of similarities; selecting from it takes about as much again."""

MOST_ROWS = 4096
FEWEST_ROWS = 32

COLUMNS = 1 << 20
"""Rows that a block is compared with at once, at most."""

_ON_CPU = 256 << 20
"""Bytes a CPU may take, which plays the device in tests."""


def nearest(unit: Vectors, count: int, device: torch.device) -> Iterator[tuple[Integers, Floats, Integers]]:
    """The ``count`` most similar rows of every row, itself among them.

    Products are in float32 without TF32. Which of equal similarities are taken, and in which order, is as on a CPU
    (:func:`_of_equals`; of those that are taken the last row comes first).

    Args:
        unit: (N, D) float32 rows of unit length
        count: from 1 to N

    Yields:
        (rows (R,), similarities (R, count) float32, row numbers (R, count) int64), best first, block by block

    Raises:
        torch.OutOfMemoryError: where the vectors themselves, or 32 rows, do not fit
    """
    n = len(unit)
    base = torch.from_numpy(unit).to(device)
    rows, start = block_rows(n, device), 0
    with full_float32():
        while start < n:
            stop = min(start + rows, n)
            try:
                similarities, found = _block(base[start:stop], base, count)
                result = np.arange(start, stop), similarities.cpu().numpy(), found.cpu().numpy()
            except OUT_OF_MEMORY:
                if rows <= FEWEST_ROWS:
                    raise
                result = None
            if result is None:  # outside the handler, which holds on to the tensors of the failed attempt
                empty_cache(device)
                rows = max(FEWEST_ROWS, rows // 2)
                continue
            yield result
            start = stop


def block_rows(n: int, device: torch.device) -> int:
    """How many rows are compared with N at once in the memory that is free."""
    fit = int(SHARE * free_bytes(device, _ON_CPU)) // (4 * min(n, COLUMNS))
    return max(FEWEST_ROWS, min(MOST_ROWS, fit))


def _block(queries, base, count):
    values: Any = None
    numbers: Any = None
    for start in range(0, len(base), COLUMNS):
        similarities = queries @ base[start : start + COLUMNS].T
        best, places = _first(similarities, min(count, similarities.shape[1]))
        places += start
        if values is not None:
            # The order of the places goes on, on which the rule for equal values rests.
            both = torch.cat([values, best], dim=1)
            best, at = _first(both, min(count, both.shape[1]))
            places = torch.cat([numbers, places], dim=1).gather(1, at)
        values, numbers = best, places
    # Best first; of equal ones the last row first.
    numbers, order = numbers.sort(dim=1, descending=True)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, numbers.gather(1, order)


def _first(values, count):
    """The ``count`` largest of each row of (R, N) ``values`` with their places, in the order of the places."""
    top, places = values.topk(count, dim=1, sorted=False)
    least = top.amin(dim=1, keepdim=True)
    # topk takes any of the values that are equal to the least it takes; where it left some out, the rule decides.
    tied = ((values == least).sum(dim=1) > (top == least).sum(dim=1)).nonzero()[:, 0]
    for some in tied.split(FEWEST_ROWS):
        places[some] = _of_equals(values[some], least[some], count)
    places = places.sort(dim=1).values
    return values.gather(1, places), places


def _of_equals(values, least, count):
    """Places (R, count) of what a heap of that size holds in the end, when (R, N) ``values`` come one after another: an
    equal value gets in while there is room, and each larger one that comes later drives out the first of them."""
    larger, equal = values > least, values == least
    came = equal & ((larger | equal).cumsum(dim=1) <= count)
    left = came.flip(1).cumsum(dim=1).flip(1)  # of those that came, so many from here on
    kept = larger | (came & (left <= count - larger.sum(dim=1, keepdim=True)))
    return kept.nonzero()[:, 1].view(len(values), count)


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Matrix products of float32 in float32: TF32, where a program has allowed it, keeps three digits."""
    matmul, before = torch.backends.cuda.matmul, torch.get_float32_matmul_precision()
    if before != "highest":
        torch.set_float32_matmul_precision("highest")
    newer = getattr(matmul, "fp32_precision", None)  # a second setting of newer versions, which the first one changes
    if newer == "tf32":
        matmul.fp32_precision = "ieee"
    try:
        yield
    finally:
        if newer == "tf32":
            matmul.fp32_precision = newer
        if before != "highest":
            torch.set_float32_matmul_precision(before)
