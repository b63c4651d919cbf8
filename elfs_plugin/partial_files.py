"""Names of files in the making, and what killed processes left of them.

The name says which process writes it, so that two never share one, and that what a dead one left can be told from the
work of a living one.
"""

import os
import shutil
import time
import uuid
from pathlib import Path

from . import owner
from .contracts import AnyPath

PARTIAL = ".partial"
"""Files and folders in the making end like this."""

LEFT_SECONDS = 3600
"""A partial file of an unknown writer that nobody has touched for this long is a leftover."""

_UNKNOWN = "elsewhere"


def partial_path(path: AnyPath) -> Path:
    """A name beside ``path`` that no other process writes to: ``<name>.<place>-<process>-<random>.partial``."""
    path = Path(path)
    name = os.fsencode(path.name)[:180].decode("utf-8", "ignore")  # file systems take 255 bytes
    return path.with_name(f"{name}.{owner.place() or _UNKNOWN}-{os.getpid()}-{uuid.uuid4().hex[:12]}{PARTIAL}")


def sweep(folder: AnyPath, *, now: float | None = None) -> list[Path]:
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
    place, process = _writer(path.name)
    if place is not None and place == owner.place():
        return not owner.is_running(process)
    try:
        newest = max(part.lstat().st_mtime for part in (path, *(() if path.is_symlink() else path.rglob("*"))))
    except OSError:  # its writer is renaming it at this moment
        return False
    return now - newest > LEFT_SECONDS


def _writer(name):
    """(place, process) of a partial file's name; (None, None) for one of another form."""
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
