"""Where an export may be written: checked before any work, and refused with a sentence."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

from ..contracts import AnyPath
from ..errors import InvalidInput
from .export_receipt import is_list, read_receipt, receipt_path, strangers
from .export_staging import remove_dead
from .fields import writable
from .fiftyone_types import Dataset

_SYSTEM = ("/proc", "/sys", "/dev")
_LONGEST_NAME = 255


def check_target(path: AnyPath, format: str, *, overwrite: bool = False, thorough: bool = True) -> Path:
    """The target with the links of its parents resolved. What a killed export left beside it is ended or removed.

    Args:
        path: what the user gave; ``~`` is the user's home
        format: ``"csv"`` for a file, else a folder
        thorough: also look at each file of an earlier export that would be replaced

    Raises:
        InvalidInput: for what is no absolute path, cannot be written, or holds anything that ELFS did not write
    """
    target = _resolved(path, format)
    remove_dead(target.parent)
    try:
        found = os.lstat(target)
    except FileNotFoundError:
        _check_parents(target)
        return target
    except OSError as error:
        raise InvalidInput(why_not(error, target), "path") from None
    _check_parents(target)
    if stat.S_ISLNK(found.st_mode):
        raise InvalidInput(f"{target} is a symbolic link. Give the path of a file or folder itself.", "path")
    try:
        if format == "csv":
            _check_file(target, found, overwrite)
        else:
            _check_folder(target, found, overwrite, thorough)
    except OSError as error:
        raise InvalidInput(why_not(error, target), "path") from None
    return target


def _resolved(path, format):
    try:
        text = os.path.expanduser(os.fsdecode(path)) if path else ""
    except (TypeError, ValueError):  # no text; "~" and a NUL
        text = ""
    if not os.path.isabs(text):
        raise InvalidInput("Give an absolute path to write to.", "path")
    folder, name = os.path.split(text.rstrip(os.sep))
    try:
        os.fsencode(text)
        if "\0" in text:
            raise ValueError
        if name in ("", os.curdir, os.pardir):
            folder, name = os.path.split(os.path.realpath(text))
        target = Path(os.path.realpath(folder or os.sep), name)
    except ValueError:
        raise InvalidInput("The path holds a character that no file name can have. Give another one.", "path") from None
    if not name or (format != "csv" and os.path.ismount(target)):
        raise InvalidInput(f"{target} is the root of a disk. Give a path inside it.", "path")
    if format == "csv" and text.endswith(os.sep):
        raise InvalidInput(f"{text} names a folder. Give the path of a file.", "path")
    if any(str(target) == place or str(target).startswith(place + os.sep) for place in _SYSTEM):
        if not str(target).startswith("/dev/shm" + os.sep):
            raise InvalidInput(f"{target} is not on a disk. Choose a folder of yours.", "path")
    for part in target.parts:
        if len(os.fsencode(part)) > _LONGEST_NAME:
            raise InvalidInput(f"The name {part[:30]}… is too long: {_LONGEST_NAME} bytes at most.", "path")
    return target


def _check_parents(target):
    """Refuses a target whose nearest existing folder is none, or cannot be written to."""
    for parent in target.parents:
        try:
            found = os.stat(parent)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InvalidInput(why_not(error, target), "path") from None
        if not stat.S_ISDIR(found.st_mode):
            raise InvalidInput(f"{target} cannot be: {parent} is a file, not a folder. Choose another path.", "path")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise InvalidInput(f"There is no permission to write into {parent}. Choose another path.", "path")
        return


def _check_file(target, found, overwrite):
    if stat.S_ISDIR(found.st_mode):
        raise InvalidInput(f"{target} already exists and is a folder. Give the path of a file.", "path")
    if not stat.S_ISREG(found.st_mode) or not is_list(target):
        raise InvalidInput(
            f"{target} already exists and is not a list as ELFS wrote it: it is another file, or it was changed since. "
            "Choose another path.",
            "path",
        )
    _ask(target, overwrite)


def _check_folder(target, found, overwrite, thorough):
    if not stat.S_ISDIR(found.st_mode):
        raise InvalidInput(f"{target} already exists and is no folder. Choose another path.", "path")
    place = receipt_path(target)
    with os.scandir(target) as entries:
        empty = next(entries, None) is None
    receipt = read_receipt(place)
    if receipt is None and os.path.lexists(place):
        raise InvalidInput(f"{place} is in the way and was not written by ELFS. Choose another path.", "path")
    if empty:
        return
    if receipt is None:
        raise InvalidInput(f"{target} already exists and was not exported by ELFS. Choose another path.", "path")
    _ask(target, overwrite)
    others = strangers(target, receipt) if thorough else []
    if others:
        raise InvalidInput(
            f"{target} holds {len(others):,} files or folders that were added or changed since ELFS exported to it "
            f"({_listed(others)}). Choose another path, or move them away.",
            "path",
        )


def _ask(target, overwrite):
    if not overwrite:
        raise InvalidInput(f"{target} already exists. Choose another path, or allow overwriting.", "path")


def _listed(names, most=3):
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def check_media(dataset: Dataset, target: Path, format: str) -> None:
    """Refuses a target that is a media file of the dataset, or holds or lies above one, also by another name.

    A folder is also refused inside a folder of media files: its copies would be taken for images of the dataset.

    Args:
        target: from :func:`check_target`

    Raises:
        InvalidInput: which names one of the media files
    """
    folders: dict[str, str] = {}  # folder -> one media file in it
    for path in media_paths(dataset):
        if path == str(target):
            raise InvalidInput(f"{target} is an image of the dataset. Choose another path.", "path")
        folders.setdefault(os.path.dirname(path), path)
        if os.path.islink(path):
            folders.setdefault(os.path.dirname(os.path.realpath(path)), path)
    above: dict[str, str] = {}
    direct: dict[Any, str] = {}  # by name, and by device and inode: links, mounts, disks that ignore case
    for folder, path in folders.items():
        for place in {folder, os.path.realpath(folder)}:
            for key in _keys(place):
                direct.setdefault(key, path)
            while place not in above:
                above[place] = path
                for key in _keys(place):
                    above.setdefault(key, path)
                place = os.path.dirname(place)
    for key in _keys(str(target)):
        if key in above:
            raise InvalidInput(
                f"{target} holds images of the dataset ({above[key]} is one). Choose a folder that holds none.", "path"
            )
    if format == "csv":
        return
    for parent in target.parents:
        for key in _keys(str(parent)):
            if key in direct:
                raise InvalidInput(
                    f"{target} lies in a folder of images of the dataset ({direct[key]} is one). Choose another place.",
                    "path",
                )


def _keys(folder):
    try:
        found = os.stat(folder)
    except (OSError, ValueError):
        return (folder,)
    return (folder, (found.st_dev, found.st_ino))


def media_paths(dataset: Dataset) -> set[str]:
    """Every path of a media file that the whole dataset holds: of all slices, also those in other fields (absolute)."""
    collection = writable(dataset)
    paths = set()
    for field, key in collection._get_media_fields().items():
        paths.update(_flat(collection.values(f"{field}.{key}" if key else field)))
    return {os.path.normpath(path) for path in paths if os.path.isabs(path)}


def _flat(values):
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        elif isinstance(value, str) and value:
            yield value


def why_not(error: OSError, target: AnyPath) -> str:
    """A sentence about an OSError at ``target``: what is wrong and what to do."""
    from ..files import FULL

    if error.errno in FULL:
        return f"There is not enough room for {target}. Free some space there, or choose another path."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"There is no permission to write {target}. Choose another path."
    if error.errno == errno.ENOTDIR:
        return f"{target} cannot be: a part of it is a file, not a folder. Choose another path."
    if error.errno == errno.ENAMETOOLONG:
        return "The path is too long. Choose a shorter one."
    return f"{target} cannot be written ({error.strerror or error}). Choose another path."
