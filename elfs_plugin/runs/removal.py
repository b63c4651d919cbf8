"""Removing single things that a run has written: embeddings, plots. The caller is changing the dataset, see
:func:`~.jobs.changing`."""

from . import fields, record
from .fiftyone_types import Dataset


def release_embeddings(dataset: Dataset, key: str, field: str | None) -> bool:
    """Deletes the vector field that a run wrote, or leaves it to another run that uses it. Returns whether deleted.

    A field that somebody else has put in its place stays.
    """
    if not fields.is_marked(dataset, field):
        return False
    for other_key, other in record.records(dataset).items():
        if other_key != key and other.embeddings_field == field:
            record.amend_record(dataset, other_key, owns_embeddings=True)
            return False
    dataset.delete_sample_field(field)
    return True


def remove_brain_run(dataset: Dataset, brain_key: str) -> None:
    """Removes a brain run that ELFS made, with its field and index."""
    if dataset.has_brain_run(brain_key):
        dataset.delete_brain_run(brain_key)
    fields.drop_indexes(dataset, brain_key)
    if dataset.has_sample_field(brain_key):
        dataset.delete_sample_field(brain_key)
