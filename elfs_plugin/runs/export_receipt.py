"""What an export wrote, so that a later one can replace that and nothing else.

A folder has a receipt beside it, ``.<folder>.elfs-export.json``: its files with their sizes and times. (It is not
inside, for a labelling tool takes everything inside for data.) A list is known by its header.
"""

import csv
import hashlib
import json
import os
import stat
from contextlib import suppress
from pathlib import Path

from .fields import SCORES

_KIND = "ELFS export"
LIST_COLUMNS = ("rank", "zone", *SCORES, "pseudo_label.label", "pseudo_label.confidence", "agreement")
"""The columns of a list after filepath and id; a run of an older version may lack some."""
MISSING_COLUMNS = ("filepath", "id", "reason")


def beside(target, prefix="", ending=""):
    """The path of a file beside ``target`` that is named after it, shortened where a disk would not take the name."""
    name = f"{prefix}{target.name}{ending}"
    if len(os.fsencode(name)) > 255:
        total = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
        name = f"{prefix}{target.name[:40]}-{total}{ending}"
    return target.with_name(name)


def receipt_path(folder):
    return beside(folder, ".", ".elfs-export.json")


def new_receipt(folder, **more):
    """The receipt of the files in a folder (dict)."""
    files, others = _walk(folder)
    if others:
        raise OSError(f"{others[0]} appeared in the export")
    return {"kind": _KIND, "version": 1, **more, "files": {name: list(found) for name, found in files.items()}}


def read_receipt(path):
    """The receipt in a file (dict); None when there is none, or something else."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(found, dict) and found.get("kind") == _KIND and isinstance(found.get("files"), dict)
    return found if whole else None


def strangers(folder, receipt):
    """What lies in a folder that the receipt does not list as it is now: added or changed since (relative paths).

    Files that were removed since do not matter. Links are not followed.
    """
    files, others = _walk(folder)
    return others + [name for name, found in files.items() if receipt["files"].get(name) != list(found)]


def remove_listed(folder, *receipts):
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
            entries = list(entries)
        if not entries and inner:
            others.append(inner)
        for entry in entries:
            name = os.path.join(inner, entry.name)
            if entry.is_dir(follow_symlinks=False):
                todo.append(name)
            elif entry.is_file(follow_symlinks=False):
                found = entry.stat(follow_symlinks=False)
                files[name] = (found.st_size, found.st_mtime_ns)
            else:
                others.append(name)
    return files, others


def is_list(path):
    """Whether a file is a list that export_coreset wrote, by its header."""
    names = _header(path)
    return names[:2] == ["filepath", "id"] and "rank" in names and set(names[2:]) <= set(LIST_COLUMNS)


def is_missing_list(path):
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
