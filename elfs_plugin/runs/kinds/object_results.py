"""Results of objects on their labels, and on the images that these are on."""

from __future__ import annotations

import logging
from typing import Any

import fiftyone as fo
from fiftyone import ViewField as F

from ...errors import InvalidInput, NameTaken
from .. import jobs
from ..companions import rows_of
from ..fiftyone_types import Dataset
from . import source_fields
from .base import Written
from .merging import merge
from .object_fields import ObjectField, object_field

logger = logging.getLogger(__name__)

_TEXTS: dict[str, Any] = {"ftype": fo.ListField, "subfield": fo.StringField}
_ON_IMAGES: dict[str, dict[str, Any]] = {"chosen": {"ftype": fo.IntField}, "tags": _TEXTS}
_EXTRA: dict[str, dict[str, Any]] = {
    "pseudo_label": {"ftype": fo.StringField},
    "confidence": {"ftype": fo.FloatField},
    "tags": _TEXTS,
}
"""On labels: a pseudo-label is a text there, for a label inside a label is shown by nothing."""


def _field(source: Dataset, companion: Dataset) -> ObjectField | None:
    """The field of the labels, None where it has gone or become another one."""
    return object_field(source, rows_of(companion).settings["field"])


def view_names(written: Written) -> list[str]:
    return [written.tag, *([f"{written.tag} images"] if written.options.get("images") else [])]


def check_free(source: Dataset, companion: Dataset, written: Written) -> None:
    """Refuses to write where somebody else's values or tags are.

    Raises:
        NameTaken, InvalidInput
    """
    key, field = written.key, _field(source, companion)
    if field is None:
        name = rows_of(companion).settings["field"]
        raise InvalidInput(
            f"The field '{name}' of the dataset '{source.name}', which these objects were taken from, has been removed "
            f"or holds something else. The results are still here, in '{companion.name}'."
        )
    source_fields.check_no_run(source, key)
    for path in (f"{field.path}.{key}", key):
        source_fields.check_free(source, path, companion)
    for name in written.views:
        source_fields.check_view_free(source, written, name)
    for tag in written.tags:
        foreign: dict[str, Any] = {"tags": tag, f"{key}.tags": {"$ne": tag}}
        on_label: dict[str, Any] = {field.path: {"$elemMatch": foreign}}
        if not field.many:
            on_label = {f"{field.path}.tags": tag, f"{field.path}.{key}.tags": {"$ne": tag}}
        _check_tag(source, on_label, tag, f"Labels of '{field.name}' in")
        if written.options.get("images"):
            _check_tag(source, foreign, tag, "Images of")


def _check_tag(source, wanted, tag, whose):
    if source._sample_collection.find_one(wanted, {"_id": 1}) is not None:
        raise NameTaken(
            f"{whose} the dataset '{source.name}' have the tag '{tag}' already, and not from here. Save the coreset "
            "under another tag.",
            "tag",
        )


def write(source: Dataset, companion: Dataset, written: Written) -> None:
    """Makes labels and images say what the rows say about a run; from anywhere between it comes to the same end."""
    key, names = written.key, source_fields.group_of(companion, written.key)
    field = _field(source, companion)
    if field is None:
        logger.warning("Nothing was written to '%s': the field of its objects is gone.", source.name)
        return
    kinds = {**source_fields.kinds_of(name for name in names if name not in _EXTRA), **_EXTRA}
    with jobs.changing(source):
        source._reload(hard=True)
        source_fields.declare(source, f"{field.path}.{key}", companion, kinds)
        source_fields.declare(source, key, companion, _ON_IMAGES)
    _write_labels(source, companion, written, field, kinds)
    _write_images(source, companion, written)
    source._reload(hard=True)
    source_fields.delete_views(source, written, keep=view_names(written))
    text = f"the objects with the tag {written.tag} of '{companion.name}'"
    source_fields.save_view(source, written, written.tag, _chosen(source, field, written), text)
    if written.options.get("images"):
        view = source.match(F(f"{key}.chosen") > 0)
        source_fields.save_view(source, written, f"{written.tag} images", view, f"the images of {text}")


def _chosen(source, field, written):
    is_chosen = F(f"{written.key}.tags").contains(written.tag)
    view = source.filter_labels(field.name, is_chosen)
    return view.to_patches(field.name) if field.many else view  # FiftyOne makes patches of lists of labels alone


def remove(source: Dataset, companion: Dataset, written: Written) -> None:
    """Removes what :func:`write` wrote, as far as it is there."""
    key, field = written.key, _field(source, companion)
    source_fields.delete_views(source, written)
    with jobs.changing(source):
        source._reload(hard=True)
        if field is not None and source_fields.is_ours(source, f"{field.path}.{key}", companion):
            _untag_labels(source, field, key)
            names = [*source_fields.RESULTS, *_EXTRA]
            source_fields.delete(source, f"{field.path}.{key}", companion, names)
        if source_fields.is_ours(source, key, companion):
            _clear_images(source, key)
            source_fields.delete(source, key, companion, list(_ON_IMAGES))
    source._reload(hard=True)


def _tags_of_rows(written):
    return {"$setIntersection": [{"$ifNull": ["$tags", []]}, {"$literal": written.tags}]}


def _write_labels(source, companion, written, field, kinds):
    key = written.key
    values: dict[str, Any] = {name: f"${key}.{name}" for name in kinds}
    values.update(pseudo_label=f"${key}.pseudo_label.label", confidence=f"${key}.pseudo_label.confidence")
    values["tags"] = _tags_of_rows(written)
    row = {"$ifNull": [{"$first": "$row"}, None]}  # an empty place must stay one
    of_parent = {"$expr": {"$eq": ["$_parent_id", "$$parent"]}}
    stages: list[dict[str, Any]] = [
        {"$match": {f"{field.path}._id": {"$exists": True}}},
        {"$project": {"label": f"${field.path}._id"}},
        {"$unwind": "$label"},
        {
            "$lookup": {
                "from": companion._sample_collection_name,
                "localField": "label",
                "foreignField": "_id",
                "let": {"parent": "$_id"},
                "pipeline": [{"$match": {key: {"$ne": None}, **of_parent}}, {"$project": {"_id": 0, **values}}],
                "as": "row",
            }
        },
        # In the order of the labels, so that each finds its own by its place: looking through all of them for each of
        # 10,000 labels of one image would take minutes.
        {"$group": {"_id": "$_id", "ids": {"$push": "$label"}, "rows": {"$push": row}}},
    ]
    change = _each(field, lambda label, at: _with_result(label, at, key, kinds))
    merge(
        source._sample_collection,
        stages,
        source._sample_collection_name,
        ["_id"],
        [{"$set": {field.path: change, "last_modified_at": "$$NOW"}}],
    )


def _each(field, changed):
    """An expression for the labels of a field, each changed by ``changed(label, place)``, both expressions."""
    if not field.many:
        return changed(f"${field.path}", 0)
    each = {
        "input": {"$range": [0, {"$size": "$$labels"}]},
        "as": "at",
        "in": {"$let": {"vars": {"label": {"$arrayElemAt": ["$$labels", "$$at"]}}, "in": changed("$$label", "$$at")}},
    }
    return {"$let": {"vars": {"labels": f"${field.path}"}, "in": {"$map": each}}}


def _with_result(label, at, key, kinds):
    """A label with the result that is at its place, if that is its own: labels may have come or gone since."""
    row = {"$arrayElemAt": ["$$new.rows", at]}
    own = {"$eq": [f"{label}._id", {"$arrayElemAt": ["$$new.ids", at]}]}
    empty = {"$literal": dict.fromkeys(kinds)}
    group = {"$mergeObjects": [f"{label}.{key}", empty, {"_cls": "DynamicEmbeddedDocument"}, "$$row"]}
    new = {"$mergeObjects": [label, {key: group, "tags": _tags(label, key, {"$ifNull": ["$$row.tags", []]})}]}
    nothing = {"$and": [{"$eq": ["$$row", None]}, {"$lte": [f"{label}.{key}", None]}]}
    changed = {"$let": {"vars": {"row": {"$ifNull": [row, None]}}, "in": {"$cond": [nothing, label, new]}}}
    return {"$cond": [own, changed, label]}


def _tags(thing, key, new):
    """The tags of a label or image without those that its results say were written, and with ``new`` ones."""
    written = {"$ifNull": [f"{thing}.{key}.tags", []]}
    there = {"$ifNull": [f"{thing}.tags", []]}
    others = {"$filter": {"input": there, "as": "tag", "cond": {"$not": [{"$in": ["$$tag", written]}]}}}
    more = {"$filter": {"input": new, "as": "tag", "cond": {"$not": [{"$in": ["$$tag", "$$others"]}]}}}
    return {"$let": {"vars": {"others": others}, "in": {"$concatArrays": ["$$others", more]}}}


def _untag_labels(source, field, key):
    def without(label, at):
        tags = {"tags": _tags(label, key, [])}
        return {"$cond": [{"$gt": [f"{label}.{key}.tags", None]}, {"$mergeObjects": [label, tags]}, label]}

    written: dict[str, Any] = {f"{field.path}.{key}.tags.0": {"$exists": True}}
    if field.many:
        written = {field.path: {"$elemMatch": {f"{key}.tags.0": {"$exists": True}}}}
    source._sample_collection.update_many(written, [{"$set": {field.path: _each(field, without)}}])


def _clear_images(source, key):
    untagged = {"$set": {"tags": _tags("$$ROOT", key, []), "last_modified_at": "$$NOW"}}
    gone = {"$unset": [f"{key}.chosen", f"{key}.tags"]}
    source._sample_collection.update_many({f"{key}.chosen": {"$ne": None}}, [untagged, gone])


def _write_images(source, companion, written):
    """On each image that has rows how many of them are chosen, and the tags if they are wanted."""
    key = written.key
    _clear_images(source, key)
    chosen = {"$cond": [{"$in": [{"$literal": written.tag}, {"$ifNull": ["$tags", []]}]}, 1, 0]}
    tags = [] if not written.options.get("images") else _tags_of_rows(written)
    union = {"$setUnion": ["$$value", "$$this"]}
    stages: list[dict[str, Any]] = [
        {"$project": {"_parent_id": 1, "chosen": chosen, "tags": tags}},
        {"$group": {"_id": "$_parent_id", "chosen": {"$sum": "$chosen"}, "tags": {"$push": "$tags"}}},
        {"$set": {"tags": {"$reduce": {"input": "$tags", "initialValue": [], "in": union}}}},
    ]
    group = {"_cls": "DynamicEmbeddedDocument", "chosen": "$$new.chosen", "tags": "$$new.tags"}
    change = {
        "tags": _tags("$$ROOT", key, "$$new.tags"),
        key: {"$mergeObjects": [f"${key}", group]},
        "last_modified_at": "$$NOW",
    }
    merge(companion._sample_collection, stages, source._sample_collection_name, ["_id"], [{"$set": change}])
