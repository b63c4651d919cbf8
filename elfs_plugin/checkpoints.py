"""Finished stages on disk, so that a job that died resumes from the last one.

What is kept makes a rerun resume and is needed for nothing else: where it cannot be kept (a folder of another user, a
read-only or a full disk) the job says so once and goes on.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .contracts import AnyPath, Array
from .files import disk_error, whole_file
from .text import first_line

logger = logging.getLogger(__name__)

MAPPED_BYTES = 256 << 20
"""Stored arrays of this size or more are mapped into memory, which the system can use for others meanwhile."""

_AT_ONCE = 16 << 20
_ZIP_LENGTHS = 26
"""Where in the head of a member of an archive its lengths stand."""
_ZIP_HEAD, _ZIP64 = 30, 20
"""Bytes of that head without the name, and of the field with the lengths of a large member."""
_PADDING = 0xD935
"""The field by which archives are commonly padded."""
_ALIGNED = 64


def fingerprint(*parts: Any) -> str:
    """A hex digest of arrays, strings, numbers and JSON-like structures: equal inputs, equal digest."""
    digest = hashlib.sha256()
    for item in parts:
        if isinstance(item, np.ndarray) and item.dtype != object:
            digest.update(f"{item.dtype.str}{item.shape}".encode())
            digest.update(np.ascontiguousarray(item).data)
        else:
            item = item.tolist() if isinstance(item, np.ndarray) else item  # str() of an array leaves out its middle
            digest.update(json.dumps(item, sort_keys=True, default=str).encode())
        digest.update(b"\0")
    return digest.hexdigest()


class StageStore:
    """Keeps the arrays of each finished stage in a folder, under the fingerprint of what they were made from.

    With ``folder=None`` nothing is kept. A stage is written to a temporary file that is then renamed, so a crash leaves
    either the whole stage or none of it. A folder that cannot be used costs no job: the first problem is logged, told
    to ``on_problem``, and kept in ``problems``.

    Args:
        on_problem: called with a sentence for the user, at most once
    """

    def __init__(self, folder: AnyPath | None = None, on_problem: Callable[[str], None] | None = None) -> None:
        self._folder = Path(folder) if folder is not None else None
        self._on_problem = on_problem
        self._lock = threading.Lock()
        self.problems: list[str] = []

    def file(self, name: str) -> KeptFile | None:
        """A file beside the stages, for a :class:`~.training_checkpoint.TrainingCheckpoint`; None without a folder."""
        return None if self._folder is None else KeptFile(self._folder / name, self.report)

    def load(self, stage: str, key: str) -> dict[str, Array] | None:
        """The arrays of a stage as a dict, or None when it is absent, of another fingerprint, or unreadable."""
        if self._folder is None:
            return None
        path = self._folder / f"{stage}.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                if str(file["fingerprint"]) != key:
                    return None
                return {name: _array(path, file, name) for name in file.files if name != "fingerprint"}
        except MemoryError:
            raise
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            self.report(error)
            return None
        except Exception as error:  # a damaged archive raises nearly anything, zipfile.BadZipFile among others
            logger.warning("%s cannot be read (%s); the stage is computed again.", path, error)
            return None

    def save(self, stage: str, key: str, arrays: Mapping[str, Array]) -> None:
        """Keeps the arrays of a finished stage, or reports that they cannot be kept."""
        if self._folder is None:
            return
        with self.optional():
            self._folder.mkdir(parents=True, exist_ok=True)
            contents: dict[str, Any] = {**arrays, "fingerprint": np.array(key)}
            with whole_file(self._folder / f"{stage}.npz") as file:
                _write(file, contents)

    @contextlib.contextmanager
    def optional(self) -> Iterator[None]:
        """A block that writes something the job can do without: what the disk refuses ends the block, not the job."""
        try:
            yield
        except Exception as error:  # archives and PyTorch's writer wrap the disk's error in their own
            if disk_error(error) is None:
                raise
            self.report(error)

    def report(self, error: BaseException) -> None:
        """Says once, in a sentence, that nothing can be kept in the folder."""
        with self._lock:  # trainings side by side report from threads of their own
            if self.problems:
                return
            self.problems.append(cannot_keep(self._folder, error))
        logger.warning("%s", self.problems[0])
        if self._on_problem is not None:
            self._on_problem(self.problems[0])


def _write(file, arrays):
    """An archive as ``np.savez`` writes it, but each array begins where it can be mapped and computed with."""
    with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")
            start = file.tell() + _ZIP_HEAD + len(member.filename.encode()) + _ZIP64
            member.extra = _padding(start)
            with archive.open(member, "w", force_zip64=True) as opened:
                np.lib.format.write_array(opened, np.asanyarray(array))


def _padding(start):
    """The field after which a multiple of :data:`_ALIGNED` follows; NumPy's own head is as long as one."""
    size = -(start + 4) % _ALIGNED
    return struct.pack("<HH", _PADDING, size) + bytes(size)


def _array(path, archive, name):
    """An array of an archive, read, or mapped copy-on-write when it is large; its checksum is compared either way.

    One that begins at an odd byte, as in archives of earlier versions, is read: NumPy would copy it for every product.
    """
    member = archive.zip.getinfo(f"{name}.npy")
    if member.file_size < MAPPED_BYTES or member.compress_type != zipfile.ZIP_STORED:
        return archive[name]
    with archive.zip.open(member) as whole:
        while whole.read(_AT_ONCE):
            pass
    with open(path, "rb") as file:
        file.seek(member.header_offset + _ZIP_LENGTHS)
        file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)  # the lengths of two fields in between
        read_head = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, columns_first, dtype = read_head[np.lib.format.read_magic(file)](file)
        if file.tell() % dtype.alignment:
            return archive[name]
        return np.memmap(path, dtype, "c", file.tell(), shape, "F" if columns_first else "C")


class KeptFile(os.PathLike):
    """The path of a file that a job can do without, and ``report(error)``, to be called where it cannot be written."""

    def __init__(self, path: AnyPath, report: Callable[[BaseException], None]) -> None:
        self._path = Path(path)
        self.report = report

    def __fspath__(self) -> str:
        return str(self._path)

    def beside(self, suffix: str) -> KeptFile:
        """The file of the same name with ``.suffix`` behind it."""
        return KeptFile(f"{self._path}.{suffix}", self.report)


def cannot_keep(folder: AnyPath | None, error: BaseException) -> str:
    """A sentence for the user: why nothing can be kept in ``folder``, what follows from it, and what to do."""
    found = disk_error(error)
    number = None if found is None else found.errno
    then = "This job goes on, but if it is stopped it begins anew."
    if number in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        why = "is full" if number == errno.ENOSPC else "holds as much as you may keep there"
        return (
            f"The disk of {folder} {why}, so finished stages cannot be kept. {then} Free some space, or set ELFS_HOME "
            "to a folder on another disk."
        )
    reason = (found.strerror if found is not None else None) or first_line(error)
    return (
        f"Finished stages cannot be kept in {folder} ({reason}). {then} Make the folder writable, or set ELFS_HOME to "
        "another one."
    )
