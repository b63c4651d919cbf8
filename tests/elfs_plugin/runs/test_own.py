import fiftyone as fo
import pytest
from fiftyone.core import odm

from elfs_plugin.errors import InvalidInput
from elfs_plugin.runs import own


def rename(dataset, name):
    """As another process does it, which this one's object does not see."""
    odm.get_db_conn().datasets.update_one({"_id": dataset._doc.id}, {"$set": {"name": name, "slug": name}})


def test_a_dataset_is_found_whatever_its_name_is_now(dataset):
    name, other = dataset.name, fo.Dataset(f"{dataset.name}-other")
    rename(dataset, f"{name}-renamed")
    rename(other, name)
    try:
        assert own.own_dataset(dataset)._doc.id == dataset._doc.id
    finally:
        rename(other, f"{name}-other")
        rename(dataset, name)
        other.delete()


def test_a_dataset_that_is_gone_is_refused(dataset):
    dataset.delete()
    with pytest.raises(InvalidInput, match="has been deleted"):
        own.own_dataset(dataset)
