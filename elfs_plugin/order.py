"""The order of the ids, which takes the place of positions in everything that is drawn, and decides between equals."""

from functools import cached_property

import numpy as np


class Order:
    """N rows in the order of their ids, so that how they lie does not matter.

    Attributes:
        rows: (N,) the rows, smallest id first
        place: (N,) the place of each row among ``rows``

    Args:
        n: N
        ids: (N,) distinct and sortable (default: the rows are in order as they lie)
    """

    def __init__(self, n, ids=None):
        self.rows = np.arange(n) if ids is None else np.argsort(np.asarray(ids), kind="stable")

    def __len__(self):
        return len(self.rows)

    @cached_property
    def place(self):
        place = np.empty(len(self.rows), dtype=np.int64)
        place[self.rows] = np.arange(len(self.rows))
        return place

    def sorted(self, rows):
        """Some (b,) distinct rows, smallest id first."""
        return self.rows[np.sort(self.place[rows])]
