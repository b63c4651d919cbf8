"""Where files are kept that were made for rows: ``ELFS_HOME/rows/<id of the companion>``.

The source may name these files too, once results have been written back, and so may clones of both. A folder goes when
both datasets are gone and no dataset of the database names a file in it.
"""

import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from bson import ObjectId
from fiftyone.core import odm

from ..errors import ElfsError
from ..files import check_writable, whole_file
from .fiftyone_types import Dataset
from .folder import database_identity, home

_MARK = "rows.json"


def new_folder(companion: Dataset, source: Dataset) -> Path:
    """Makes and marks the folder of a companion.

    Raises:
        ElfsError: when nothing can be written there
    """
    folder = home() / "rows" / str(companion._doc.id)
    mark = {"database": database_identity(), "datasets": [str(companion._doc.id), str(source._doc.id)]}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_writable(folder)
        with whole_file(folder / _MARK) as file:
            file.write(json.dumps(mark).encode())
    except OSError as error:
        raise ElfsError(
            f"Files cannot be written into {folder} ({error.strerror}). Make room there, or set ELFS_HOME to another "
            "folder."
        ) from error
    return folder


def remove_orphans() -> list[Path]:
    """Removes the folders of which both datasets are gone from the connected database, and that no other one uses.
    Returns the paths removed."""
    place, removed = home() / "rows", []
    try:
        folders = [folder for folder in place.iterdir() if folder.is_dir() and not folder.is_symlink()]
    except OSError:
        return []
    mine = database_identity() if folders else None
    for folder in folders:
        with suppress(OSError, ValueError, KeyError, TypeError):  # without a mark, or damaged: it stays
            mark = json.loads((folder / _MARK).read_text(encoding="utf-8"))
            ids = [ObjectId(i) for i in mark["datasets"]]
            gone = odm.get_db_conn().datasets.find_one({"_id": {"$in": ids}}, {"_id": 1}) is None
            if gone and mine is not None and mark["database"] == mine and not _is_in_use(folder):
                shutil.rmtree(folder)
                removed.append(folder)
    return removed


def _is_in_use(folder):
    """Whether a sample or a frame of any dataset has its file there. Datasets behind generated views, which FiftyOne
    keeps for a while after their source is gone, do not count."""
    database = odm.get_db_conn()
    names = ("sample_collection_name", "frame_collection_name")
    ordinary = {"sample_collection_name": {"$regex": r"^samples\."}}
    inside = {"filepath": {"$regex": "^" + re.escape(str(folder) + os.sep)}}
    collections = [
        found[name]
        for found in database.datasets.find(ordinary, dict.fromkeys(names, 1))
        for name in names
        if found.get(name)
    ]
    return any(database[name].find_one(inside, {"_id": 1}) is not None for name in dict.fromkeys(collections))
