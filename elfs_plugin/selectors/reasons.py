"""Why each sample is in or out: sentences made when they are read, so that a million of them cost nothing."""

from collections.abc import Callable, Sequence
from typing import overload


class Reasons(Sequence[str]):
    """N sentences; ``describe(i)`` makes the one of sample i."""

    def __init__(self, n: int, describe: Callable[[int], str]) -> None:
        self._n = n
        self._describe = describe

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, i: int) -> str: ...

    @overload
    def __getitem__(self, i: slice) -> list[str]: ...

    def __getitem__(self, i: int | slice) -> str | list[str]:
        if isinstance(i, slice):
            return [self._describe(j) for j in range(*i.indices(self._n))]
        i = int(i)
        if not -self._n <= i < self._n:
            raise IndexError(i)
        return self._describe(i % self._n)

    def __repr__(self) -> str:
        return f"<{self._n:,} reasons>"
