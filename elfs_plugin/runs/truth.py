"""Which fields of a dataset can hold labels that somebody gave, and what is in them.

Only audits, and selectors that are asked to judge such labels, read them.
"""

import fiftyone as fo
import numpy as np

from ..errors import InvalidInput
from . import fields, record

_TRUTH_KINDS = (fo.StringField, fo.IntField, fo.BooleanField)
_NOT_TRUTH = {"id", "filepath", "tags", "metadata", "created_at", "last_modified_at"}


def truth_fields(dataset):
    """Paths that :func:`audit` can read: classifications, strings, whole numbers and booleans of no ELFS run."""
    runs = set(record.list_runs(dataset))
    found = []
    for path, field in dataset.get_field_schema(flat=True).items():
        parent = path.partition(".")[0]
        if parent in runs or parent in _NOT_TRUTH or path.startswith("_") or _inside_list(dataset, path):
            continue
        if _is_classification(field) or (isinstance(field, _TRUTH_KINDS) and not _inside_label(dataset, path)):
            found.append(path)
    return found


def truth_path(dataset, field, parameter="truth_field"):
    """The path whose values are the true labels, or :class:`InvalidInput` with those that can be."""
    have = ", ".join(truth_fields(dataset)[:10]) or "none"
    if not field or not isinstance(field, str):
        raise InvalidInput(f"Name the field that holds the true labels (fields: {have}).", parameter)
    if field.partition(".")[0] in record.list_runs(dataset):
        raise InvalidInput(f"'{field}' was written by ELFS; it holds no true labels (fields: {have}).", parameter)
    found = dataset.get_field(field)
    if found is None:
        raise InvalidInput(f"The dataset has no field '{field}' (fields: {have}).", parameter)
    if _inside_list(dataset, field):
        raise InvalidInput(
            f"The field '{field}' holds a list for each image (of detections, say), not one class. Use a field with "
            f"one class for each image (fields: {have}).",
            parameter,
        )
    if _is_classification(found):
        return f"{field}.label"
    if not isinstance(found, _TRUTH_KINDS) or field in _NOT_TRUTH:
        raise InvalidInput(
            f"The field '{field}' holds no class for each image. Use a Classification, a text, a whole number or a "
            f"boolean (fields: {have}).",
            parameter,
        )
    return field


def read(dataset, field, parameter="truth_field"):
    """{id: label} of the samples that have a value in a field of labels. ``parameter`` is what errors name.

    Raises:
        InvalidInput: when the field can hold none
    """
    ids, values = fields.writable(dataset).values(["id", truth_path(dataset, field, parameter)])
    return {i: value for i, value in zip(ids, values) if value is not None}


def read_all(dataset, field, ids, parameter="truth_field"):
    """(N,) the label of each of these samples.

    Raises:
        InvalidInput: when one has none
    """
    known = read(dataset, field, parameter)
    missing = sum(i not in known for i in ids)
    if missing:
        raise InvalidInput(
            f"{missing:,} images of the run have no value in '{field}'; all need one. Choose another field.", parameter
        )
    return np.array([known[i] for i in ids])


def _is_classification(field):
    return isinstance(field, fo.EmbeddedDocumentField) and issubclass(field.document_type, fo.Classification)


def _inside_list(dataset, path):
    """Whether a path lies below a list, so that an image has many values there."""
    parts = path.split(".")
    return any(isinstance(dataset.get_field(".".join(parts[:k])), fo.ListField) for k in range(1, len(parts)))


def _inside_label(dataset, path):
    """Whether a path is an attribute of a label, which is named by its own path."""
    parent = dataset.get_field(path.rpartition(".")[0]) if "." in path else None
    return isinstance(parent, fo.EmbeddedDocumentField) and issubclass(parent.document_type, fo.Label)
