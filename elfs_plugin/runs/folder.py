"""Where runs keep their files: ``ELFS_HOME/<dataset id>/<key>``, beside FiftyOne's own configuration by default.

Several databases and several users may share one home. A folder of a dataset is marked with the database it belongs to
when it is made, so that it can be removed once the dataset is gone, and never by another database.
"""

import contextlib
import json
import logging
import os
import re
import shutil
from functools import lru_cache
from pathlib import Path

import fiftyone as fo
from bson import ObjectId
from fiftyone.core import odm
from pymongo.errors import OperationFailure

from ..checkpoints import cannot_keep
from ..errors import InvalidInput
from ..files import check_writable, whole_file
from ..partial_files import sweep
from .fiftyone_types import Dataset

logger = logging.getLogger(__name__)

MARKER = "databases.json"
"""The databases that have had a dataset of the folder's id: a list of :func:`database_identity`."""

_LONGEST_NAME = 255
_DATASET_ID = re.compile("[0-9a-f]{24}")


def home() -> Path:
    """The folder of all runs: ``ELFS_HOME`` (``~`` and a relative path are understood), or ``~/.fiftyone/elfs``.

    Raises:
        InvalidInput: when ``ELFS_HOME`` names the home of a user who does not exist, or is longer than a disk takes
    """
    wanted = os.environ.get("ELFS_HOME", "").strip()
    return Path(_absolute(wanted) if wanted else os.path.join(fo.constants.FIFTYONE_CONFIG_DIR, "elfs"))


@lru_cache(maxsize=16)  # a program that changes its directory keeps its home
def _absolute(path):
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise InvalidInput(f"ELFS_HOME is '{path}', and '{path.split(os.sep)[0]}' is no home here. Give a full path.")
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in expanded.split(os.sep)):
        raise InvalidInput(f"ELFS_HOME holds a name of more than {_LONGEST_NAME} bytes. Give a shorter path.")
    return os.path.abspath(expanded)


def run_folder(dataset: Dataset, key: str) -> Path:
    """Where finished stages and large embeddings of a run live on disk. It need not exist.

    Raises:
        InvalidInput: for a key that is no name, of which no path may be made
    """
    if not key.isidentifier():
        raise InvalidInput(f"{key!r} cannot be a run key. Use letters, digits and underscores.", "key")
    return home() / str(dataset._doc.id) / key


def prepare(dataset: Dataset, key: str) -> str | None:
    """Makes a run's folder ready for a job: makes and marks it, and removes what killed processes left in it.

    Returns:
        None, or a sentence for the user when nothing can be kept there, which is no reason to stop
    """
    folder = run_folder(dataset, key)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _mark(folder.parent)
        sweep(folder.parent)
        check_writable(folder)
    except OSError as error:
        return cannot_keep(folder, error)
    return None


def remove_run_folder(dataset: Dataset, key: str) -> None:
    """Removes a run's folder, and its dataset's when it was the last. A link there is removed, not what it leads to."""
    folder = run_folder(dataset, key)
    _remove_tree(folder)
    sweep(folder.parent)
    _remove_if_empty(folder.parent)


def remove_dataset_folder(dataset: Dataset) -> None:
    """Removes the folder of a dataset with all its runs'."""
    _remove_tree(home() / str(dataset._doc.id))


def remove_orphans() -> list[Path]:
    """Removes the folders of datasets that are no longer in the connected database. Returns the paths removed.

    A folder goes only when its mark names this database and no other; without a mark it stays. One listing of the home
    and one query; whatever cannot be read or removed stays.
    """
    try:
        place = home()
        # First the folders, then the datasets: a folder is made after its dataset, so none of a living one is missed.
        names = [entry.name for entry in os.scandir(place) if _DATASET_ID.fullmatch(entry.name)]
    except (OSError, InvalidInput):
        return []
    if not names:
        return []
    known = odm.get_db_conn().datasets.find({"_id": {"$in": [ObjectId(name) for name in names]}}, {"_id": 1})
    alive = {str(found["_id"]) for found in known}
    gone = [place / name for name in names if name not in alive]
    mine = database_identity() if gone else None
    removed = []
    for folder in gone:
        if mine is None or folder.is_symlink() or _marks(folder) != [mine]:
            continue
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                if name != MARKER:
                    _remove_tree(folder / name)
        _remove_if_empty(folder)
        if not folder.exists():
            removed.append(folder)
    if removed:
        logger.info("Removed what runs kept of %d dataset(s) that no longer exist", len(removed))
    return removed


def database_identity() -> str | None:
    """A text that tells the connected database from any other, also from a copy of it elsewhere; None when unknown.

    It holds the id that MongoDB gave the collection of datasets when it was made, and the folder of a database that
    FiftyOne runs itself, for a copy of that folder has the same ids.
    """
    try:
        found = odm.get_db_conn().command("listCollections", filter={"name": "datasets"})["cursor"]["firstBatch"]
    except OperationFailure:  # a user of the database who may not ask
        return None
    made = found[0].get("info", {}).get("uuid") if found else None
    if made is None:
        return None
    where = "" if fo.config.database_uri else os.path.abspath(fo.config.database_dir or "")
    return " ".join(filter(None, (fo.config.database_name, bytes(made).hex(), where)))


def _mark(folder):
    """Adds the connected database to the mark of a dataset's folder."""
    mine, marks = database_identity(), _marks(folder)
    if mine is not None and mine not in marks:
        # Another user's folder may not be ours to mark; then it is not ours to remove either.
        with contextlib.suppress(OSError), whole_file(folder / MARKER) as file:
            file.write(json.dumps([*marks, mine]).encode())


def _marks(folder):
    try:
        marks = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return marks if isinstance(marks, list) else []


def _remove_tree(path):
    if path.is_symlink() or path.is_file():
        with contextlib.suppress(OSError):
            path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def _remove_if_empty(folder):
    """Removes a dataset's folder in which only its mark is left. The mark goes last: it says whose the folder is."""
    with contextlib.suppress(OSError):
        if all(name == MARKER for name in os.listdir(folder)):
            (folder / MARKER).unlink(missing_ok=True)
            folder.rmdir()
