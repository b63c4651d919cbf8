"""Files that are whole or not there at all, and what a killed process left of those it was writing.

A file is written under another name beside its own and then renamed. The other name carries who writes it, so that two
processes never share one, and that the leftovers of a dead one can be told from the work of a living one.
"""

import contextlib
import hashlib
import os
import shutil
import socket
import time
import uuid
from functools import lru_cache
from pathlib import Path

PARTIAL = ".partial"

LEFT_SECONDS = 3600
"""A partial file of an unknown writer that nobody has touched for this long is a leftover."""


def partial_path(path):
    """A name beside ``path`` that no other process writes to: ``<name>.<machine>-<process>-<random>.partial``."""
    path = Path(path)
    name = os.fsencode(path.name)[:180].decode("utf-8", "ignore")  # file systems take 255 bytes
    return path.with_name(f"{name}.{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:12]}{PARTIAL}")


@contextlib.contextmanager
def whole_file(path, *, flush=False):
    """A binary file to write ``path`` into, which takes its place at the end of the block, or is removed when the block
    fails.

    Args:
        flush: whether it must be on the disk before it takes the place of an older one

    Raises:
        OSError: when it cannot be written
    """
    path = Path(path)
    partial = partial_path(path)
    descriptor = _create(partial)
    try:
        try:
            with open(descriptor, "w+b") as file:
                yield file
                file.flush()
                if flush:
                    os.fsync(file.fileno())
            os.replace(partial, path)
        except OSError as error:
            if error.filename is None:
                raise OSError(error.errno, error.strerror or str(error), str(path)) from error
            raise
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def keep(path, write, *, make_folder=True):
    """Writes a file that one can do without: ``write(file)`` into ``path``. Returns whether it was kept; a disk that
    refuses, or a folder that is neither there nor to be made, is no error."""
    try:
        if make_folder:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            write(file)
    except Exception as error:
        if disk_error(error) is None:
            raise
        return False
    return True


def check_writable(folder):
    """Raises OSError unless a file can be made in ``folder``."""
    probe = partial_path(Path(folder, "writable"))
    os.close(_create(probe))
    probe.unlink()


def _create(path):
    # Exclusive: a file or a link that is there already, whoever made it, is neither overwritten nor followed.
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, flags, 0o666)


def disk_error(error):
    """The OSError behind ``error``, or None: archives and PyTorch's writer raise errors of their own on a full disk."""
    seen = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def sweep(folder, *, now=None):
    """Removes what killed processes left half-written in ``folder`` and below. Returns the paths removed.

    A partial file or folder goes when its writer is a process of this machine that is gone, or when its writer is
    unknown and it has not been touched for an hour. Links are not followed; what cannot be removed stays.
    """
    removed = []
    now = time.time() if now is None else now
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            if not name.endswith(PARTIAL):
                continue
            path = Path(place, name)
            if name in folders:
                folders.remove(name)
            if _is_left(path, now) and _remove(path):
                removed.append(path)
    return removed


def _is_left(path, now):
    machine, process = _writer(path.name)
    if machine == _machine():
        return not is_alive(process)
    try:
        newest = max(part.lstat().st_mtime for part in (path, *(() if path.is_symlink() else path.rglob("*"))))
    except OSError:  # its writer is renaming it at this moment
        return False
    return now - newest > LEFT_SECONDS


def _writer(name):
    """(machine, process) of a partial file's name; (None, None) for one of another form."""
    parts = name[: -len(PARTIAL)].rpartition(".")[2].split("-")
    if len(parts) != 3 or not parts[1].isdecimal():
        return None, None
    return parts[0], int(parts[1])


def _remove(path):
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        return False
    return True


def is_alive(process):
    """Whether a process of this machine runs; one that ended and that its parent has not asked for does not."""
    import psutil

    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # it is there, but not ours to look at
        return True


@lru_cache(maxsize=1)
def _machine():
    """A short name of where process ids mean what they mean here: this host since it was started, and on Linux this
    namespace of processes, for containers may share the name of a host."""
    parts = [socket.gethostname()]
    for read in (lambda: Path("/proc/sys/kernel/random/boot_id").read_text(), lambda: os.readlink("/proc/self/ns/pid")):
        with contextlib.suppress(OSError):
            parts.append(read())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
