"""Vectors that come one after the other, joined in memory, or where there are many in a file."""

from __future__ import annotations

import logging
import tempfile
from typing import Any

import numpy as np

from ..contracts import Vectors
from ..files import named

logger = logging.getLogger(__name__)

IN_MEMORY = 200_000
"""Vectors of more images than these are gathered in a file that the operating system removes with the process."""

_AT_ONCE = 1024


class Rows:
    """Gathers the vectors of at most ``most`` images, all of one length.

    Args:
        folder: where the file is made; None: the temporary folder
        or_memory: whether they are held in memory, with a warning, when there is no room for the file
    """

    def __init__(self, most: int, folder: Any = None, *, or_memory: bool = False) -> None:
        self._most, self._folder, self._or_memory = most, folder, or_memory
        self._held: list[Any] | None = None
        self._written = 0
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
            OSError: with the name of the folder, when there is no room for it; not where memory is allowed
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
        if self._held is None:
            try:
                self._write_file()
            except OSError as error:
                if not self._or_memory:
                    raise
                self._hold(error)
        if self._held is not None and self._waiting:
            self._held.append(np.array(self._waiting, dtype=np.float32))
        self._waiting = []

    def _write_file(self):
        # Written, not mapped: a full disk is an error then, and no end of the process.
        folder = self._folder or tempfile.gettempdir()
        with named(folder):
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="elfs-", dir=folder, buffering=0)
            _write_all(self._file, np.array(self._waiting, dtype=np.float32))
        self._written += len(self._waiting)

    def _hold(self, error):
        """Takes what the file has into memory: it may end with a part of what could not be written."""
        folder = self._folder or tempfile.gettempdir()
        logger.warning("There is no room for the vectors in %s (%s): they are held in memory.", folder, error)
        self._held = []
        if self._file is not None:
            self._file.seek(0)
            shape = self._written, self._length or 0
            self._held.append(np.fromfile(self._file, np.float32, shape[0] * shape[1]).reshape(shape))
            self._file.close()

    def array(self) -> Vectors:
        """(count, D) float32 of all of them, one at least; memory-mapped where they are in a file."""
        assert self._length is not None
        if self._array is not None:
            return self._array[: self.count]
        self._write()
        if self._held is None:
            return np.memmap(self._file, dtype=np.float32, mode="r+", shape=(self.count, self._length))
        self._array, start = np.empty((self.count, self._length), dtype=np.float32), 0
        for at, block in enumerate(self._held):
            self._array[start : start + len(block)] = block
            start += len(block)
            self._held[at] = None  # so that they are not held twice
        return self._array


def _write_all(file, array):
    left = memoryview(array.tobytes())
    while left:
        left = left[file.write(left) :]
