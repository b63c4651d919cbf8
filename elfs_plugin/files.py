"""Files that are whole or not there, and space that is reserved before it is written to."""

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike

from .contracts import AnyPath
from .partial_files import partial_path

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""The errors of a write for which there is no room."""

_BLOCK = 16 << 20
_NOT_SUPPORTED = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}


@contextlib.contextmanager
def whole_file(path: AnyPath, mode: str = "w+b", *, flush: bool = False, **options: Any) -> Iterator[IO[Any]]:
    """A file object to write ``path`` with; the file appears, whole, when the block ends without an error.

    It is written beside ``path`` under a name of its own that nothing has (a link is never followed, a file never
    overwritten) and then takes its place; on an error it is removed and what was at ``path`` stays as it is.

    Args:
        mode: ``"w+b"``, ``"wb"`` or ``"w"``; ``options`` are those of :func:`open` (encoding, newline)
        flush: whether it must be on the disk before it takes the place of an older one

    Raises:
        OSError: with the name of ``path`` when there is no room for it
        ValueError: for a path with a NUL character
    """
    path = Path(path)
    _refuse_folder(path)
    partial = partial_path(path)
    descriptor = _create(partial)
    try:
        with named(path):
            with open(descriptor, mode, **options) as file:
                yield file
                file.flush()
                if flush:
                    os.fsync(file.fileno())
            os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def _refuse_folder(path):
    """Raises what writing ``path`` would raise in the end, a name that is too long among others."""
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    except FileNotFoundError:
        pass


def _create(path):
    # Exclusive: a file or a link that is there already, whoever made it, is neither overwritten nor followed.
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, flags, 0o666)


def keep(path: AnyPath, write: Callable[[IO[Any]], object], *, make_folder: bool = True) -> bool:
    """Writes a file that one can do without: ``write(file)`` into ``path``. Returns whether it was kept; a disk that
    refuses, or a folder that is neither there nor to be made, is no error."""
    try:
        if make_folder:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            write(file)
    except Exception as error:  # archives wrap the disk's error in their own
        if disk_error(error) is None:
            raise
        return False
    return True


def check_writable(folder: AnyPath) -> None:
    """Raises OSError unless a file can be made in ``folder``."""
    probe = partial_path(Path(folder, "writable"))
    os.close(_create(probe))
    probe.unlink()


def disk_error(error: BaseException | None) -> OSError | None:
    """The OSError behind ``error``, or None: archives and PyTorch's writer raise errors of their own on a full disk."""
    seen = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


@contextlib.contextmanager
def named(path: AnyPath) -> Iterator[None]:
    """Lets an error that there is no room say for what: writing to an open file, it names none."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL and error.filename is None:
            error.filename = str(path)
        raise


def reserved_npy(path: AnyPath, dtype: DTypeLike, shape: Sequence[int]) -> np.memmap[Any, Any]:
    """A new ``.npy`` file, memory-mapped for writing, whose space is reserved.

    Without that a full disk would not be an error but end the process (SIGBUS) when the array is filled.

    Returns:
        ``np.memmap`` of zeros, of that shape

    Raises:
        FileExistsError: when there is something at ``path``
        OSError: with the name of ``path`` when there is no room for it; nothing is left there then
    """
    path = Path(path)
    path.open("xb").close()
    try:
        with named(path):
            array = np.lib.format.open_memmap(path, "w+", dtype, tuple(shape))
            with path.open("r+b") as file:
                reserve(file, os.fstat(file.fileno()).st_size, start=array.offset)
        return array
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def reserved_temporary(dtype: DTypeLike, shape: Sequence[int]) -> np.memmap[Any, Any]:
    """An array in a temporary file that the operating system removes with the process, its space reserved.

    Raises:
        OSError: with the name of the temporary folder when there is no room in it
    """
    with named(tempfile.gettempdir()), tempfile.TemporaryFile(prefix="elfs-") as file:
        array = np.memmap(file, dtype=dtype, mode="w+", shape=tuple(shape))
        reserve(file, array.nbytes)
        return array


def reserve(file: IO[bytes], size: int, start: int = 0) -> None:
    """Makes sure that there is room for the bytes from ``start`` to ``size`` of a new file. They are zeros.

    Raises:
        OSError: when there is no room
    """
    if size <= start:
        return
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), start, size - start)
            return
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
    # Elsewhere only writing a byte makes sure that there is room for it.
    file.seek(start)
    zeros = bytes(min(_BLOCK, size - start))
    for at in range(start, size, _BLOCK):
        file.write(zeros[: size - at])
    file.flush()
    os.fsync(file.fileno())
