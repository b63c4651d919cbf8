"""Copies of images under names that are unique on any disk, and the images that cannot be read."""

import errno
import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from typing import Any

from ..contracts import AnyPath

_BLOCK = 1 << 20
_LONGEST_NAME = 240
"""Bytes of a file name; disks take 255 at most, and a number may be added."""
_LONGEST_PATH = 3800
_NAME_REFUSED = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}


def unreadable(path: AnyPath) -> str | None:
    """Why a file cannot be read, in a few words; None when it can."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "not found"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or "no valid path"
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for without an end
        return "not a file"
    if not found.st_size:
        return "empty"
    return None if os.access(path, os.R_OK) else "no permission to read it"


def common_folder(paths: Iterable[str]) -> str | None:
    """The deepest folder that all paths lie in; None when there is none."""
    folders = {os.path.dirname(os.path.normpath(path)) for path in paths}
    try:
        return os.path.commonpath(folders)
    except ValueError:  # two drives
        return None


class Copies:
    """Copies files into a folder, each once.

    Args:
        folder: where to; it is created with the first copy
        root: folder whose inner structure is kept; None: all copies in one folder

    Attributes:
        names: path -> its copy's path, relative to ``folder``
        missing: path -> why it could not be read
    """

    def __init__(self, folder: AnyPath, root: str | None = None) -> None:
        self._folder, self._root = os.fspath(folder), root
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._numbers: dict[Any, int] = {}
        self.names: dict[str, str] = {}
        self.missing: dict[str, str] = {}

    def copy(self, path: str) -> str | None:
        """The name of the path's copy, relative to the folder; None when the path cannot be read.

        Raises:
            OSError: when the copy cannot be written
        """
        if path not in self.names and path not in self.missing:
            reason = unreadable(path) or self._copy(path)
            if reason:
                self.missing[path] = reason
        return self.names.get(path)

    def _copy(self, path):
        try:
            source = open(path, "rb", buffering=0)
        except OSError as error:
            return error.strerror or "not readable"
        with source:
            name, copy = self._create(path)
            with copy:
                while True:
                    try:
                        block = source.read(_BLOCK)
                    except OSError as error:
                        block, reason = None, error.strerror or "not readable"
                    if not block:
                        break
                    copy.write(block)
        if block is None:
            os.unlink(os.path.join(self._folder, name))
            return reason
        self.names[path] = name
        return None

    def _create(self, path):
        """(name, file object) of a new, empty copy."""
        for short in (False, True):
            name = self._free_name(path, short)
            target = os.path.join(self._folder, name)
            try:
                os.makedirs(os.path.dirname(target), exist_ok=True)
                return name, open(target, "xb")
            except OSError as error:  # a name that this disk does not take
                if short or error.errno not in _NAME_REFUSED:
                    raise
        raise AssertionError("unreachable")

    def _free_name(self, path, short):
        name = _relative(path, self._root)
        parts = name.split(os.sep)
        too_long = max(len(os.fsencode(part)) for part in parts) > _LONGEST_NAME
        if short or too_long or len(os.fsencode(self._folder)) + len(os.fsencode(name)) > _LONGEST_PATH:
            name = _short(path)
        if not self._files.isdisjoint(_above(_key(name))):  # a copy has the name that a folder should get
            name = _short(path)
        stem, ending = os.path.splitext(name)
        first = _key(name)
        while not self._take(name):
            self._numbers[first] = number = self._numbers.get(first, 1) + 1
            name = f"{stem}-{number}{ending}"
        return name

    def _take(self, name):
        """Takes a name unless another copy has it, or has it as a folder, also on a disk that ignores case."""
        key = _key(name)
        if key in self._files or key in self._folders:
            return False
        self._files.add(key)
        self._folders.update(_above(key))
        return True


def _key(name):
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _above(key):
    """The folders above a key."""
    return [key[:at] for at, letter in enumerate(key) if letter == os.sep]


def _relative(path, root):
    if root is None:
        return os.path.basename(path)
    name = os.path.relpath(os.path.normpath(path), root)
    return os.path.basename(path) if name.startswith(os.pardir + os.sep) else name


def _short(path):
    """A name that every disk takes: what is plain in the file's own name, and a checksum of its path."""
    stem, ending = os.path.splitext(os.path.basename(path))
    ending = ending if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", ending) else ""
    total = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', stem)[:60]}-{total}{ending}"
