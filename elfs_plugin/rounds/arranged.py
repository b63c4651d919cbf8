"""A pool and its labels in the order of the ids, in which everything is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..contracts import Integers
from ..errors import InvalidInput
from ..selectors.pool import Pool
from .labelled import Labelled

_NO_DATA = ("ids", "locked", "excluded")


@dataclass(frozen=True)
class Arranged:
    """``pool`` with its samples in the order of their ids, whose masks say what is locked (everything labelled is) and
    excluded; ``labelled`` and ``failures`` (F,) as rows of it; ``order`` (N,) its samples as rows of the caller's."""

    pool: Pool
    labelled: Labelled
    failures: Integers | None
    order: Integers


def arranged(pool: Pool, labelled: Labelled | None, failures: ArrayLike | None) -> Arranged:
    """Puts the caller's arrays in order. Labels of excluded samples are left out: the golden set must teach nothing.

    Raises:
        InvalidInput: for what does not fit together
    """
    if pool.embeddings is None:
        raise InvalidInput("The pool has no embeddings.", "embeddings")
    n = len(pool)
    rows = np.zeros(0, dtype=np.int64) if labelled is None else _rows(labelled.rows, n, "labels_field")
    labels = np.zeros(0) if labelled is None else np.asarray(labelled.labels)
    if labels.shape != rows.shape:
        raise InvalidInput(f"There are {len(rows):,} labelled rows and {labels.size:,} labels.", "labels_field")
    if len(np.unique(rows)) < len(rows):
        raise InvalidInput("A sample is labelled twice.", "labels_field")
    pool, order = pool.prepared([f.name for f in fields(pool) if _is_given(pool, f.name)])
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    rows = place[rows]
    kept = np.flatnonzero(~pool.excluded[rows])
    kept = kept[np.argsort(rows[kept])]
    known = Labelled(rows[kept], labels[kept])
    locked = pool.locked.copy()
    locked[known.rows] = True
    given = None if failures is None else place[_rows(failures, n, "failures")]
    return Arranged(replace(pool, locked=locked), known, given, order)


def _is_given(pool: Pool, name: str) -> bool:
    return name not in _NO_DATA and getattr(pool, name) is not None


def _rows(values: ArrayLike | Sequence[Any], n: int, what: str) -> Integers:
    rows = np.asarray(values)
    if rows.size == 0:
        return np.zeros(0, dtype=np.int64)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= n:
        raise InvalidInput(f"Rows of the pool are whole numbers from 0 to {n - 1:,}.", what)
    return rows.astype(np.int64)
