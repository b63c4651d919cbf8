"""The labels so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..contracts import Array, Integers


@dataclass(frozen=True)
class Labelled:
    """``rows`` (L,) of a pool that somebody has labelled, each once, and ``labels`` (L,) of any kind that sorts."""

    rows: Integers
    labels: Array

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def classes(self) -> Array:
        """(C,) the distinct labels in order."""
        return np.unique(self.labels)

    @cached_property
    def codes(self) -> Integers:
        """(L,) the place of each label in :attr:`classes`."""
        return np.searchsorted(self.classes, self.labels)

    def without(self, rows: Integers) -> Labelled:
        """The others than these rows."""
        kept = ~np.isin(self.rows, rows)
        return Labelled(self.rows[kept], self.labels[kept])
