"""Fields of labels that are objects: which there are, and what their rows take over from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import fiftyone as fo
from fiftyone.core.odm import get_field_kwargs

from ...errors import InvalidInput
from .. import jobs
from ..fiftyone_types import Dataset
from .merging import merge

LISTS = {fo.Detections: "detections", fo.Polylines: "polylines"}
SINGLE = (fo.Detection, fo.Polyline)
_LOOKED_AT = 100
"""Labels at which it is looked for vectors in attributes that the dataset does not declare."""
_NO_VECTORS = ("mask", "bounding_box", "points", "tags", "attributes", "logits")


@dataclass(frozen=True)
class ObjectField:
    """A field of labels: its ``path``, down to the list if ``many`` labels are in it."""

    name: str
    path: str
    many: bool

    def labels(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        """The labels of a sample as MongoDB keeps it."""
        found: Any = document
        for part in self.path.split("."):
            found = (found or {}).get(part)
        return [] if not found else list(found) if self.many else [found]


def object_field(dataset: Dataset, name: str) -> ObjectField | None:
    """The :class:`ObjectField` of a name; None where the dataset has no such field, or it holds anything else."""
    found = (dataset.get_field_schema() or {}).get(name)
    kind = getattr(found, "document_type", None)
    if kind in LISTS:
        return ObjectField(name, f"{name}.{LISTS[kind]}", True)
    return ObjectField(name, name, False) if kind in SINGLE else None


def fields_of(dataset: Dataset) -> list[str]:
    """Names of the fields of a dataset that hold objects."""
    return [name for name in dataset.get_field_schema() or {} if object_field(dataset, name) is not None]


def only_field(dataset: Dataset) -> str:
    """The one field that holds objects.

    Raises:
        InvalidInput: when there is none, or more than one, or the dataset holds no images
    """
    _check_media(dataset)
    found = fields_of(dataset)
    if len(found) == 1:
        return found[0]
    if not found:
        raise InvalidInput(
            f"The dataset '{dataset.name}' has no field of detections or polylines. Add one first; those of any "
            "detector will do, with or without classes.",
            "field",
        )
    raise InvalidInput(f"Several fields hold objects: {', '.join(found)}. Name one of them.", "field")


def check_field(dataset: Dataset, name: str) -> None:
    """Refuses a field that holds no objects in images.

    Raises:
        InvalidInput
    """
    _check_media(dataset)
    if object_field(dataset, name) is not None:
        return
    found = dataset.get_field(name)
    there = fields_of(dataset)
    others = f" Fields of that kind here: {', '.join(there)}." if there else ""
    if found is None:
        raise InvalidInput(f"The dataset '{dataset.name}' has no field '{name}'.{others}", "field")
    kind = getattr(found, "document_type", None) or type(found)
    raise InvalidInput(
        f"The field '{name}' holds {kind.__name__}; objects are made of Detections, a Detection, Polylines or a "
        f"Polyline.{others}",
        "field",
    )


def _check_media(dataset):
    media = dataset.media_type
    if media != fo.core.media.IMAGE:
        raise InvalidInput(
            f"Objects are made of images; the dataset '{dataset.name}' holds {media or 'nothing'}.", "kind"
        )


def written_groups(source: Dataset) -> list[str]:
    """Fields of samples that hold results which were written back, from any dataset of rows."""
    schema = source.get_field_schema() or {}
    return [name for name, kind in schema.items() if "written_back_by" in (kind.info or {})]


def carry(source: Dataset, companion: Dataset, name: str) -> None:
    """Takes the classes of labels over to a field of the rows, and their vectors, where the rows have none.

    A class goes into the field that is called as the source's. Nothing that ELFS does without labels reads it.
    """
    field = object_field(source, name)
    vectors = _vector_fields(source, field)
    kinds = {_free(companion, source, attribute): kind for attribute, kind in vectors.items()}
    label = _free(companion, source, name)
    if not kinds and not _has_classes(source, field):
        return
    with jobs.changing(companion):
        companion._reload(hard=True)
        mark = {"carried_from": str(source._doc.id)}
        for new, kind in {**kinds, label: _CLASS}.items():
            if not companion.has_sample_field(new):
                companion.add_sample_field(new, **{**kind, "info": mark})
    attributes = dict(zip(vectors, kinds))
    has_class = {"$and": [{"$gt": ["$label.label", None]}, {"$ne": ["$label.label", ""]}]}
    made: dict[str, Any] = {"_id": "$label._id", "_cls": "Classification", "tags": [], "label": "$label.label"}
    made["confidence"] = {"$ifNull": ["$label.confidence", None]}
    taken: dict[str, Any] = {new: f"$label.{old}" for old, new in attributes.items()}
    taken.update({"_id": "$label._id", label: {"$cond": [has_class, made, None]}})
    change = {new: {"$ifNull": [f"${new}", f"$$new.{new}"]} for new in (*attributes.values(), label)}
    merge(
        source._sample_collection,
        [{"$project": {"label": f"${field.path}"}}, {"$unwind": "$label"}, {"$project": taken}],
        companion._sample_collection_name,
        ["_id"],
        [{"$set": change}],
    )


_CLASS = {"ftype": fo.EmbeddedDocumentField, "embedded_doc_type": fo.Classification}


def _has_classes(source, field):
    there: dict[str, Any] = {f"{field.path}.label": {"$nin": [None, ""]}}
    if field.many:
        there = {field.path: {"$elemMatch": {"label": {"$nin": [None, ""]}}}}
    return source._sample_collection.find_one(there, {"_id": 1}) is not None


def _free(companion, source, name):
    """A name for what is taken over: another one where the rows have a field of it that is none of these."""
    found = companion.get_field(name)
    taken = found is not None and (found.info or {}).get("carried_from") != str(source._doc.id)
    return f"{name}_of_object" if taken else name


def _vector_fields(source, field):
    """Attribute -> keyword arguments of a field for it, of the attributes of labels that hold vectors."""
    kind = source.get_field(field.path)
    kind = kind.field if field.many else kind
    declared = kind.get_field_schema() or {}
    found: dict[str, Any] = {}
    for name, inner in declared.items():
        floats = isinstance(inner, fo.ListField) and isinstance(inner.field, fo.FloatField)
        if name not in _NO_VECTORS and (floats or isinstance(inner, (fo.VectorField, fo.ArrayField))):
            found[name] = {**get_field_kwargs(inner), "info": None}
    labels = source._sample_collection.aggregate(
        [
            {"$project": {"label": f"${field.path}"}},
            {"$unwind": "$label"},
            {"$limit": _LOOKED_AT},
            {"$replaceRoot": {"newRoot": "$label"}},
        ]
    )
    for label in labels:
        for name, value in label.items():
            if name not in declared and name not in _NO_VECTORS and isinstance(value, bytes):
                found[name] = {"ftype": fo.VectorField}
    return found
