"""Why each sample is in or out: sentences made when they are read, so that a million of them cost nothing."""

from collections.abc import Sequence


class Reasons(Sequence):
    """N sentences; ``describe(i)`` makes the one of sample i."""

    def __init__(self, n, describe):
        self._n = n
        self._describe = describe

    def __len__(self):
        return self._n

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [self._describe(j) for j in range(*i.indices(self._n))]
        i = int(i)
        if not -self._n <= i < self._n:
            raise IndexError(i)
        return self._describe(i % self._n)

    def __repr__(self):
        return f"<{self._n:,} reasons>"
