"""What an export wrote, so that a later one can replace that and nothing else.

An export has a receipt beside it, ``.<name>.elfs-export.json``: of a folder the files with their sizes and times, of a
list a checksum. (It is not inside, for a labelling tool takes everything inside for data.)
"""

import csv
import errno
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..files import whole_file
from .fields import SCORES

_KIND = "ELFS export"
LIST_COLUMNS = ("rank", "zone", *SCORES, "pseudo_label.label", "pseudo_label.confidence", "agreement")
"""The columns of a list after filepath and id; a run of an older version may lack some."""
MISSING_COLUMNS = ("filepath", "id", "reason")


def beside(target: Path, prefix: str = "", ending: str = "") -> Path:
    """The path of a file beside ``target`` that is named after it, shortened where a disk would not take the name."""
    name = f"{prefix}{target.name}{ending}"
    if len(os.fsencode(name)) > 255:
        total = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
        name = f"{prefix}{target.name[:40]}-{total}{ending}"
    return target.with_name(name)


def receipt_path(folder: Path) -> Path:
    return beside(folder, ".", ".elfs-export.json")


def new_receipt(folder: Path, **more: Any) -> dict[str, Any]:
    """The receipt of the files in a folder (dict)."""
    files, others = _walk(folder)
    if others:
        raise OSError(f"{others[0]} appeared in the export")
    return {"kind": _KIND, "version": 1, **more, "files": {name: list(found) for name, found in files.items()}}


def read_receipt(path: Path) -> dict[str, Any] | None:
    """The receipt in a file (dict); None when there is none, or something else."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(found, dict) and found.get("kind") == _KIND and isinstance(found.get("files"), dict)
    return found if whole else None


def strangers(folder: Path, receipt: Mapping[str, Any]) -> list[str]:
    """What lies in a folder that the receipt does not list as it is now: added or changed since (relative paths).

    Files that were removed since do not matter. Links are not followed.
    """
    files, others = _walk(folder)
    return others + [name for name, found in files.items() if receipt["files"].get(name) != list(found)]


def remove_listed(folder: Path, *receipts: Mapping[str, Any]) -> bool:
    """Removes the files that a receipt lists, if they are as they were; then the folders that are empty.

    Returns:
        whether the folder is gone
    """
    folder = Path(folder)
    if not folder.is_dir() or folder.is_symlink():
        return not os.path.lexists(folder)
    files, _ = _walk(folder)
    for name, found in files.items():
        if any(receipt["files"].get(name) == list(found) for receipt in receipts):
            os.unlink(folder / name)
    for inner, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            os.rmdir(inner)
    return not folder.exists()


def _walk(folder):
    """({relative path: (size, time in ns)} of the files, [relative path] of empty folders, links and the like)."""
    files, others = {}, []
    todo = [""]
    while todo:
        inner = todo.pop()
        with os.scandir(os.path.join(folder, inner)) as entries:
            listed = list(entries)
        if not listed and inner:
            others.append(inner)
        for entry in listed:
            name = os.path.join(inner, entry.name)
            if entry.is_dir(follow_symlinks=False):
                todo.append(name)
            elif entry.is_file(follow_symlinks=False):
                found = entry.stat(follow_symlinks=False)
                files[name] = (found.st_size, found.st_mtime_ns)
            else:
                others.append(name)
    return files, others


def receive_list(target: Path, new: Path, **more: Any) -> None:
    """Writes the receipt of the list that ``target`` is about to be; the file ``new`` holds it. ``more`` is kept too.

    A list that is there stays known until the new one has taken its place, whenever a writer is killed.
    """
    place = receipt_path(target)
    if os.path.lexists(place) and read_receipt(place) is None:
        raise FileExistsError(errno.EEXIST, "it was not written by ELFS", str(place))
    sums = [_checksum(new), *([_checksum(target)] if is_list(target) else [])]
    with whole_file(place, "w", encoding="ascii") as file:
        json.dump({"kind": _KIND, "version": 1, **more, "files": {}, "lists": sums}, file)


def forget_list(target: Path) -> None:
    """Removes the receipt of a list that did not come to be."""
    place = receipt_path(target)
    if not is_list(target) and read_receipt(place) is not None:
        place.unlink(missing_ok=True)


def is_list(path: Path) -> bool:
    """Whether a file is a list as export_coreset wrote it: one that somebody has changed since is theirs."""
    receipt = read_receipt(receipt_path(Path(path)))
    try:
        return bool(receipt) and _checksum(path) in receipt.get("lists", ())
    except OSError:
        return False


def _checksum(path):
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as file:
        found = hashlib.sha256()
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
        return found.hexdigest()


def is_missing_list(path: Path) -> bool:
    """Whether a file is a list of missing images that export_coreset wrote, by its header."""
    return _header(path) == list(MISSING_COLUMNS)


def _header(path):
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return []
        with open(path, newline="", encoding="utf-8") as file:
            return next(csv.reader([file.readline(4096)]), [])
    except (OSError, ValueError, csv.Error):
        return []
