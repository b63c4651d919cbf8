"""Embeddings kept block by block while they are computed, so that a job that was killed goes on where it was.

A block is one file, written whole under another name and then renamed. It says which files it is of (paths, sizes and
times of change) and which encoder made it; what is of others, or cannot be read, is computed again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints import KeptFile, fingerprint
from ..contracts import AnyPath, Array
from ..errors import is_out_of_memory
from ..files import disk_error, whole_file
from .inference import engine_of

logger = logging.getLogger(__name__)

BLOCK = 256
"""Images of a block: with more of them a killed job loses more, with fewer it writes more files."""

_END = ".block.npz"


def stamps(paths: Sequence[AnyPath]) -> Array:
    """(N, 2) int64 sizes and times of change, so that a changed file is embedded anew; -1 for one that is not there."""
    found = []
    for path in paths:
        try:
            stat = os.stat(path)
            found.append((stat.st_size, stat.st_mtime_ns))
        except (OSError, ValueError):  # a path with a NUL is a ValueError
            found.append((-1, -1))
    return np.array(found, dtype=np.int64).reshape(-1, 2)


class BlockStore:
    """Blocks of one job in a folder of their own; with ``folder=None`` nothing is kept.

    Args:
        folder: may be a :class:`~..checkpoints.KeptFile`, which is told where nothing can be written
        identity: of the encoder

    Attributes:
        inference: what computes the vectors, see :mod:`.inference`; blocks by another engine count as not there. At
            first that of the first whole block (None where there is none)
    """

    def __init__(self, folder: AnyPath | None, paths: Sequence[AnyPath], identity: str) -> None:
        self._folder = None if folder is None else Path(folder)
        self._report: Callable[[BaseException], None] = folder.report if isinstance(folder, KeptFile) else _log
        self._paths, self._identity = paths, identity
        self._keys: dict[int, str] = {}
        self._refused = False
        self.inference: str | None = None

    def count(self, block: range) -> int | None:
        """How many vectors are kept of a block; None without a whole file of these images, as they are now, and this
        encoder."""
        arrays = None if self._folder is None else self._read(block, ("rows",), check=True)
        return None if arrays is None else len(arrays["rows"])

    def load(self, block: range) -> list[tuple[int, Any]] | None:
        """(index, vector or reason) of a block's images in order; None where :meth:`count` is None."""
        arrays = None if self._folder is None else self._read(block, ("rows", "vectors", "failures"))
        if arrays is None:
            return None
        found: dict[int, Any] = dict(zip(arrays["rows"].tolist(), arrays["vectors"]))
        found.update({int(row): reason for row, reason in json.loads(str(arrays["failures"])).items()})
        return [(index, found[row]) for row, index in enumerate(block)]

    def save(self, block: range, found: Sequence[tuple[int, Any]]) -> bool:
        """Keeps (index, vector or reason) of a block; False where it could not. What the disk refuses is told, once."""
        if self._folder is None or self._refused:
            return False
        rows = [row for row, (_, value) in enumerate(found) if not isinstance(value, str)]
        lengths = {len(found[row][1]) for row in rows}
        if len(lengths) > 1:  # an odd encoder; its block is computed again
            return False
        vectors = np.array([found[row][1] for row in rows], dtype=np.float32).reshape(len(rows), *lengths or (0,))
        failures = {str(row): value for row, (_, value) in enumerate(found) if isinstance(value, str)}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with whole_file(self._file(block)) as file:
                np.savez(
                    file,
                    key=np.array(self._key(block)),
                    rows=np.array(rows, dtype=np.int64),
                    vectors=vectors,
                    failures=np.array(json.dumps(failures)),
                    inference=np.array(self.inference or ""),
                )
        except Exception as error:  # archives wrap the disk's error in their own
            if disk_error(error) is None:
                raise
            self._refused = True
            self._report(error)
            return False
        return True

    def _file(self, block):
        assert self._folder is not None
        return self._folder / f"{block.start:09d}{_END}"

    def _key(self, block):
        if block.start not in self._keys:
            paths = [os.fspath(self._paths[index]) for index in block]
            self._keys[block.start] = fingerprint(self._identity, [str(path) for path in paths], stamps(paths))
        return self._keys[block.start]

    def _read(self, block, names, check=False):
        """The arrays of a block's file; each has a checksum in the archive, which reading it compares."""
        path = self._file(block)
        try:
            with np.load(path, allow_pickle=False) as file:
                if str(file["key"]) != self._key(block):
                    return None
                inference = str(file["inference"]) if "inference" in file else ""  # earlier versions kept none
                if self.inference is not None and engine_of(inference) != engine_of(self.inference):
                    return None
                if check and file.zip.testzip() is not None:
                    raise zipfile.BadZipFile("a checksum does not fit")
                found = {name: file[name] for name in names}
            self.inference = inference if self.inference is None else self.inference
            return found
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:  # a damaged archive raises nearly anything
            if is_out_of_memory(error):
                raise
            logger.warning("%s cannot be read (%s); its images are embedded again.", path, error)
            return None


def remove_blocks(folder: AnyPath) -> None:
    """Removes a folder of blocks, of whatever images and encoder; what else is in it stays."""
    folder = Path(folder)
    if folder.is_symlink() or not folder.is_dir():
        return
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.name.endswith(_END):
                path.unlink(missing_ok=True)
        folder.rmdir()


def _log(error):
    logger.warning("Finished blocks of embeddings cannot be kept (%s).", error)
