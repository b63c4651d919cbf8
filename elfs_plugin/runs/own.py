"""A dataset object of a job's own.

FiftyOne keeps one object for each dataset in a process, and loads it anew at every event of the App: a field that one
thread has just declared can vanish from it under its hands. So a job works with an object that nobody else has, and
lets the others read what it has changed when it is done.
"""

import contextlib

import fiftyone as fo
from fiftyone.core import odm
from fiftyone.core import view as fov

from ..errors import InvalidInput
from .fiftyone_types import Collection, Dataset


def own_dataset(dataset: Dataset) -> Dataset:
    """The dataset, as it is in the database now, as an object of its own.

    Raises:
        InvalidInput: when it has been deleted
    """
    # By its id: another process may have renamed it, and its old name may be another one's.
    found = odm.get_db_conn().datasets.find_one({"_id": dataset._doc.id}, {"name": 1})
    if found is None:
        raise InvalidInput("The dataset has been deleted. Open another one.")
    return type(fo.Dataset)._make_instance(fo.Dataset, found["name"], False)


def rebound(collection: Collection, dataset: Dataset) -> Collection:
    """A dataset or view as a collection of ``dataset``, another object of the same dataset."""
    if isinstance(collection, fo.Dataset):
        return dataset
    return fov.DatasetView._build(dataset, collection._serialize())


def refresh(dataset: Dataset) -> None:
    """Lets an object of the dataset, and the samples that are in memory, see what has been written."""
    with contextlib.suppress(ValueError):  # it was deleted meanwhile
        dataset.reload()
