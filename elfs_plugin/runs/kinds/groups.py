"""Rows that are groups of a grouped dataset: of each, the image of one slice stands for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import fiftyone as fo
from bson import ObjectId

from ...errors import InvalidInput
from ...selectors.parameter import Parameter
from .. import jobs
from ..fiftyone_types import Collection, Dataset
from . import carried, group_results, group_slices, group_vectors, source_fields
from .base import Found, Making, RowKind, Written

BATCH = 5_000
"""Groups between two reports."""


class Kind(RowKind):
    """Groups. A row has the id of its group, the image of the chosen slice, and the vector of that slice or the mean of
    those of all slices, media of any type among them. Groups without the slice give no rows.

    What is written back goes to all slices of a group: tags, fields, and a view by the tag.
    """

    name = "groups"
    parameters = (
        Parameter("slice", "text", None, "Its images stand for the groups. Empty: the default one, or one of images"),
        Parameter(
            "vectors",
            "choice",
            "slice",
            "The vectors of that slice, or the mean of the vectors of all slices, each divided by its length",
            choices=("slice", "mean"),
        ),
        Parameter("embeddings_field", "text", None, "Vectors to take the mean of. Empty: all fields made for vectors"),
    )
    fields = {"slice_name": {"ftype": fo.StringField}, "slice_id": {"ftype": fo.ObjectIdField}}

    def suggested(self, source: Dataset) -> dict[str, list[str]]:
        if source.media_type != fo.core.media.GROUP:
            return {}
        vectors = [name for name, kind in source.get_field_schema().items() if carried.holds_vectors(kind)]
        return {"slice": group_slices.image_slices(source), "embeddings_field": vectors}

    def check_source(self, parents: Collection, settings: Mapping[str, Any]) -> None:
        source = parents._root_dataset
        if getattr(parents, "_is_dynamic_groups", False):
            raise InvalidInput(
                "The groups of this view are made by a field (group_by), and are none of the dataset. ELFS works on "
                "their images: clear that stage in the view bar, or add the stage Flatten, view.flatten().",
                "kind",
            )
        if source.media_type != fo.core.media.GROUP:
            raise InvalidInput(
                f"The dataset '{source.name}' is not grouped: it holds {source.media_type or 'nothing'}.", "kind"
            )
        name = group_slices.chosen_slice(source, settings["slice"])
        if settings["vectors"] == "mean":
            group_vectors.averaged_fields(source, settings["embeddings_field"])
        elif settings["embeddings_field"] is not None:
            raise InvalidInput(
                "embeddings_field is for the mean of vectors. Choose vectors mean, or leave it out: all vectors of the "
                "slice are taken over.",
                "embeddings_field",
            )
        query: dict[str, Any] = {group_slices.name_path(source): name}
        if not isinstance(parents, fo.Dataset) and not parents.limit(1).values("id"):
            raise InvalidInput("The view has no samples. Clear the view's filters, or add groups to the dataset.")
        if source._sample_collection.find_one(query, {"_id": 1}) is None:
            raise InvalidInput(f"No group of '{source.name}' has the slice '{name}'. Choose another slice.", "slice")

    def parents_in(self, source: Dataset) -> set[str]:
        return group_slices.all_groups(source)

    def find(self, making: Making) -> Iterator[Found]:
        source = making.source
        name = group_slices.chosen_slice(source, making.settings["slice"], making.companion)
        wanted = group_slices.group_ids(making.parents)
        total = source._sample_collection.estimated_document_count() if wanted is None else len(wanted)
        lacking = f"the group has no slice '{name}'"
        for at, group in enumerate(group_slices.groups(source, name, wanted)):
            if at % BATCH == 0:
                making.tell(min(at / max(total, 1), 1.0), f"{at:,} groups")
            sample = group["sample"]
            rows = [] if sample is None else [_row(group["_id"], sample, name)]
            yield Found(str(group["_id"]), rows, lacking if sample is None else None)

    def carry(self, making: Making) -> None:
        source, companion = making.source, making.companion
        averaged: list[str] = []
        if making.settings["vectors"] == "mean":
            averaged = group_vectors.averaged_fields(source, making.settings["embeddings_field"])
        taken = carried.to_carry(source, companion, without=(source.group_field, *self.fields))
        carried.declare(source, companion, taken)
        wanted = group_slices.group_ids(making.parents)
        name = group_slices.chosen_slice(source, making.settings["slice"], making.companion)
        copied = {field: kind for field, kind in taken.items() if field not in averaged}
        _take_over(source, companion, name, wanted, copied)
        if averaged:
            rows = {} if wanted is None else {"_id": {"$in": [ObjectId(i) for i in wanted]}}
            groups = [row["_id"] for row in companion._sample_collection.find(rows, {"_id": 1})]
            for field in averaged:
                if carried.is_carried(companion, field, source):
                    group_vectors.write_means(source, companion, field, groups, making.check)

    def check_free(self, source: Dataset, companion: Dataset, written: Written) -> None:
        source_fields.check_no_run(source, written.key)
        source_fields.check_free(source, written.key, companion)
        group_results.check_tags_free(source, written)
        for name in written.views:
            source_fields.check_view_free(source, written, name)

    def view_names(self, written: Written) -> list[str]:
        return [written.tag]

    def write(self, source: Dataset, companion: Dataset, written: Written) -> None:
        names = source_fields.group_of(companion, written.key)
        tags = {"tags": {"ftype": fo.ListField, "subfield": fo.StringField}}
        with jobs.changing(source):
            source._reload(hard=True)
            group_results.untag_lost(source, companion, written)
            source_fields.declare(source, written.key, companion, {**source_fields.kinds_of(names), **tags})
        group_results.write(source, companion, written, names)
        source._reload(hard=True)
        source_fields.delete_views(source, written, keep=self.view_names(written))
        # On a grouped dataset a condition holds for the active slice, whichever that is; one on ids of groups fails.
        text = f"the groups with the tag {written.tag} of '{companion.name}'"
        source_fields.save_view(source, written, written.tag, source.match_tags(written.tag), text)

    def remove(self, source: Dataset, companion: Dataset, written: Written, others: Iterable[Written]) -> None:
        with jobs.changing(source):
            source._reload(hard=True)
            group_results.untag_lost(source, companion, written)
            if source_fields.is_ours(source, written.key, companion):
                group_results.clear(source, written.key, [])
            source_fields.delete(source, written.key, companion, [*source_fields.RESULTS, "tags"])
        source_fields.delete_views(source, written)
        source._reload(hard=True)


def _row(group, sample, name):
    slice_id = sample.pop("_id")
    return {"_id": group, **sample, "slice_name": name, "_slice_id": slice_id}


def _take_over(source, companion, name, wanted, copied):
    """Brings what the rows have of their slice up to date, in the database. Vectors are those of the source, other
    values are taken where a row has none. A row whose sample was replaced by another one is a new row."""
    paths = {
        companion.get_field(field).db_field or field: carried.holds_vectors(kind) for field, kind in copied.items()
    }
    own = {"_slice_id": "$_id", "slice_name": f"${group_slices.name_path(source)}", "tags": group_slices.tags(source)}
    new = {**own, **{path: 1 for path in ("filepath", "metadata", *paths)}}
    values: dict[str, Any] = {
        path: {"$ifNull": [f"$$new.{path}", f"${path}"] if is_vector else [f"${path}", f"$$new.{path}"]}
        for path, is_vector in paths.items()
    }
    same = {"$mergeObjects": ["$$ROOT", {"filepath": "$$new.filepath", "slice_name": "$$new.slice_name", **values}]}
    kept = {path: f"${path}" for path in ("_rand", "_media_type", "_dataset_id", "_parent_id")}
    other = {"$mergeObjects": [kept, "$$new", {"created_at": "$$NOW", "last_modified_at": "$$NOW"}]}
    change = {"$cond": [{"$eq": ["$_slice_id", "$$new._slice_id"]}, same, other]}
    into = {
        "into": companion._sample_collection_name,
        "on": "_id",
        "whenMatched": [{"$replaceWith": change}],
        "whenNotMatched": "discard",
    }
    for query in group_slices.queries(source, wanted):
        stages = [
            {"$match": {**query, group_slices.name_path(source): name}},
            {"$project": {**new, "_id": f"${group_slices.id_path(source)}"}},
            {"$merge": into},
        ]
        source._sample_collection.aggregate(stages, allowDiskUse=True)
