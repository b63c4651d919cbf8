"""Vectors that come one after the other, joined in memory, or where there are many in a file."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np

from ..contracts import Vectors
from ..files import named

IN_MEMORY = 200_000
"""Vectors of more images than these are gathered in a file that the operating system removes with the process."""

_AT_ONCE = 1024


class Rows:
    """Gathers the vectors of at most ``most`` images, all of one length.

    Args:
        folder: where the file is made; None: the temporary folder
    """

    def __init__(self, most: int, folder: Any = None) -> None:
        self._most, self._folder = most, folder
        self._file: Any = None
        self._array: Any = None
        self._waiting: list[Any] = []
        self._length: int | None = None
        self.count = 0

    @property
    def length(self) -> int | None:
        """D of the vectors so far; None before the first."""
        return self._length

    def append(self, vector: Vectors) -> None:
        """Takes one more (D,) vector.

        Raises:
            OSError: with the name of the folder, when there is no room for it
        """
        if self._length is None:
            self._length = len(vector)
            if self._most <= IN_MEMORY:
                self._array = np.empty((self._most, self._length), dtype=np.float32)
        if self._array is not None:
            self._array[self.count] = vector
        else:
            self._waiting.append(np.array(vector, dtype=np.float32))
            if len(self._waiting) == _AT_ONCE:
                self._write()
        self.count += 1

    def _write(self):
        # Written, not mapped: a full disk is an error then, and no end of the process.
        folder = self._folder or tempfile.gettempdir()
        with named(folder):
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="elfs-", dir=folder)
            for vector in self._waiting:
                self._file.write(vector.data)
            self._file.flush()
        self._waiting = []

    def array(self) -> Vectors:
        """(count, D) float32 of all of them, one at least; memory-mapped where they are in a file."""
        assert self._length is not None
        if self._array is not None:
            return self._array[: self.count]
        self._write()
        return np.memmap(self._file, dtype=np.float32, mode="r+", shape=(self.count, self._length))
