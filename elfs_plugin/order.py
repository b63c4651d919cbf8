"""The order of the ids, which takes the place of positions in everything that is drawn, and decides between equals."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from .contracts import Array, Integers


class Order:
    """N rows in the order of their ids, so that how they lie does not matter.

    Attributes:
        rows: (N,) the rows, smallest id first
        place: (N,) the place of each row among ``rows``

    Args:
        n: N
        ids: (N,) distinct and sortable (default: the rows are in order as they lie)
    """

    def __init__(self, n: int, ids: Sequence[Any] | Array | None = None) -> None:
        self.rows = np.arange(n) if ids is None else np.argsort(np.asarray(ids), kind="stable")

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def place(self) -> Integers:
        place = np.empty(len(self.rows), dtype=np.int64)
        place[self.rows] = np.arange(len(self.rows))
        return place

    def sorted(self, rows: Integers) -> Integers:
        """Some (b,) distinct rows, smallest id first."""
        return self.rows[np.sort(self.place[rows])]
