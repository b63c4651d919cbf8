"""A folder beside the target in which an export is made, whole, before it takes its place in one step.

It is named ``.elfs-export-…`` and locked while its writer lives. A writer that was killed leaves it; the next export
into the same folder ends what the dead one began, or takes it back, and removes it (:func:`remove_dead`).
"""

import contextlib
import ctypes
import errno
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..contracts import AnyPath
from ..errors import ElfsError
from .export_receipt import read_receipt, receipt_path, remove_listed, strangers

try:
    import fcntl
except ImportError:  # Windows: what a killed export left there stays
    fcntl = None

PREFIX = ".elfs-export-"
_OWNER, _NEW, _OLD = "owner.json", "new", "old"
_NEW_RECEIPT, _OLD_RECEIPT, _COPY, _MISSING = "new.json", "old.json", "receipt.json", "missing.csv"
_NOTHING: dict[str, Any] = {"files": {}}
_EXCHANGE = 2  # renameat2: both names change places at once


class Staging:
    """A new folder beside ``target`` (whose own folder must exist); a context manager.

    Attributes:
        new: where to write the export, a file or a folder
        missing: where to write the list of missing images
        kept: the folder that stays because files of others are in it, or None
    """

    def __init__(self, target: AnyPath) -> None:
        self.target = Path(target)
        self._folder, self._lock = _new_folder(self.target)
        self.new, self.missing = self._folder / _NEW, self._folder / _MISSING
        self.kept: str | None = None

    def __enter__(self) -> "Staging":
        return self

    def __exit__(self, *_: object) -> None:
        gone = False
        try:
            with contextlib.suppress(OSError):
                gone = _clear(self._folder)
        finally:
            os.close(self._lock)
        if not gone:
            self.kept = str(self._folder)

    def place_file(self, path: Path, target: Path, replaces: Callable[[Path], bool] | None = None) -> None:
        """Moves a file to ``target``, where nothing may be that ``replaces(target)`` is not true of.

        Raises:
            ElfsError: when there is something else by now
        """
        try:
            os.link(path, target)
            return
        except FileExistsError:
            pass
        except OSError:  # a disk without hard links
            if not os.path.lexists(target):
                os.replace(path, target)
                return
        if replaces is None or not replaces(target):
            raise _appeared(target)
        os.replace(path, target)

    def place_folder(self, receipt: Mapping[str, Any], *, overwrite: bool) -> None:
        """Moves the new folder to the target, where an empty folder may be or, with ``overwrite``, an earlier export.

        Raises:
            ElfsError: when there is something else by now
        """
        old = (read_receipt(receipt_path(self.target)) if overwrite else None) or _NOTHING
        with contextlib.suppress(OSError):
            shutil.copymode(self.target, self.new)
        _write(self._folder / _OLD_RECEIPT, old)
        _write(self._folder / _NEW_RECEIPT, receipt)  # from here on a dead writer's work is ended, not taken back
        try:
            os.rename(self.new, self.target)  # takes the place of an empty folder only
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            aside = _swap(self.new, self.target, self._folder / _OLD)
            if strangers(aside, old):
                _swap(aside, self.target, self.new)
                raise _appeared(self.target) from None
        _place_receipt(self._folder, self.target, receipt)


def remove_dead(parent: Path) -> None:
    """Removes what dead writers of exports left in a folder, and ends those that were about to take their place."""
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        found = [Path(e.path) for e in entries if e.name.startswith(PREFIX) and e.is_dir(follow_symlinks=False)]
        for folder in found:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                _remove_dead(folder)


def _remove_dead(folder):
    if not fcntl:
        return
    if not (folder / _OWNER).exists():  # killed at its very beginning or end; one that just begins makes another folder
        os.rmdir(folder)
        return
    lock = _locked(folder / _OWNER)
    if lock is None:
        return
    try:
        _end(folder)
        _clear(folder)
    finally:
        os.close(lock)


def _end(folder):
    """Ends what a dead writer began, if the new export is in place but its receipt is not; or puts the old one back."""
    try:
        target = folder.parent / json.loads((folder / _OWNER).read_text(encoding="ascii"))["target"]
    except ValueError:  # killed while it wrote its first file
        return
    receipt = read_receipt(folder / _NEW_RECEIPT)
    if (folder / _OLD).is_dir() and not os.path.lexists(target):  # killed between two renames
        os.rename(folder / _OLD, target)
    elif receipt and target.is_dir() and not target.is_symlink() and not strangers(target, receipt):
        place = receipt_path(target)
        if read_receipt(place) or not os.path.lexists(place):
            _place_receipt(folder, target, receipt)


def _place_receipt(folder, target, receipt):
    _write(folder / _COPY, receipt)
    os.replace(folder / _COPY, receipt_path(target))


def _clear(folder):
    """Removes a staging folder; what is in it that no export wrote stays. Returns whether it is gone."""
    old, new = read_receipt(folder / _OLD_RECEIPT) or _NOTHING, read_receipt(folder / _NEW_RECEIPT)
    if new is not None:
        if not _remove_folders(folder, new, old):
            return False
    elif (folder / _NEW).is_dir() and not (folder / _NEW).is_symlink():
        shutil.rmtree(folder / _NEW)  # it has never been anywhere else
    for name in (_NEW, _MISSING, _COPY, _NEW_RECEIPT, _OLD_RECEIPT, _OWNER):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(folder / name)
    with contextlib.suppress(OSError):
        os.rmdir(folder)
    return not folder.exists()


def _remove_folders(folder, *receipts):
    return all([remove_listed(folder / name, *receipts) for name in (_NEW, _OLD) if not (folder / name).is_file()])


def _new_folder(target):
    """(folder, descriptor that holds its lock) of a new staging folder."""
    while True:
        folder = target.parent / f"{PREFIX}{uuid.uuid4().hex[:12]}"
        os.mkdir(folder)
        try:
            _write(folder / _OWNER, {"target": target.name, "pid": os.getpid()})
            lock = _lock_of_new(folder / _OWNER)
        except FileNotFoundError:
            continue
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if lock is not None:
            return folder, lock
        # Another export took the folder for a dead one's before it was locked, and removes it.


def _lock_of_new(path):
    try:
        if fcntl:
            return _locked(path)
    except FileNotFoundError:
        raise
    except OSError:  # no locks on this disk: there nobody's folder is taken for a dead one's
        pass
    return os.open(path, os.O_RDONLY)


def _locked(path):
    """A descriptor that holds the lock of a file, which ends with its process; None when another has it.

    Raises:
        OSError: when there is no such file, or no locks on this disk
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.exists(path):  # it may have been removed before the lock was taken
            return descriptor
    except BlockingIOError:
        pass
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _write(path, content):
    with open(path, "x" if path.name != _COPY else "w", encoding="ascii") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())


def _swap(new, target, aside):
    """Puts the folder ``new`` in the place of ``target``. Returns where the old one is then: ``new``, or ``aside``."""
    if _exchange(new, target):
        return new
    os.rename(target, aside)
    try:
        os.rename(new, target)
    except BaseException:
        os.rename(aside, target)
        raise
    return aside


def _exchange(one, other):
    """Lets two names change places in one step. False where the system or the disk cannot do that."""
    function = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    return function is not None and not function(-100, os.fsencode(one), -100, os.fsencode(other), _EXCHANGE)


def _appeared(target):
    return ElfsError(f"{target} was written to by something else meanwhile. Nothing there was changed; export again.")
