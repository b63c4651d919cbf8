"""Groups of a grouped dataset as MongoDB keeps them: their slices, and which of them a view means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fiftyone as fo
from bson import ObjectId

from ...errors import InvalidInput
from ...suggestions import did_you_mean
from ..fiftyone_types import Collection, Dataset, Query

AT_ONCE = 100_000
"""Groups that one query names: a query is one document of at most 16 MB."""


def image_slices(source: Dataset) -> list[str]:
    """Names of the slices that hold images, the default one first."""
    found = [name for name, media in source.group_media_types.items() if media == fo.core.media.IMAGE]
    return sorted(found, key=lambda name: (name != source.default_group_slice, name))


def chosen_slice(source: Dataset, wanted: str | None, companion: Dataset | None = None) -> str:
    """The slice whose images stand for the groups: the one that is ``wanted``, else the one that the rows of the
    ``companion`` have, else the first of :func:`image_slices`.

    Raises:
        InvalidInput: when the dataset has no such slice, or it holds no images
    """
    there = image_slices(source)
    if not there:
        raise InvalidInput(f"No slice of '{source.name}' holds images. ELFS works on images.", "kind")
    if wanted is None and companion is not None:
        known = companion._sample_collection.find_one({"slice_name": {"$ne": None}}, {"slice_name": 1})
        wanted = None if known is None else known.get("slice_name")
    name = there[0] if wanted is None else wanted
    if name not in there:
        media = source.group_media_types.get(name)
        what = f"has no slice '{name}'" if media is None else f"has a slice '{name}' of {media}, not of images"
        raise InvalidInput(
            f"The dataset '{source.name}' {what}. Slices of images: {', '.join(there)}. Choose one of them; for groups "
            f"that are rows already make another dataset of rows, under another name.{did_you_mean(name, there)}",
            "slice",
        )
    return name


def group_ids(collection: Collection) -> list[str] | None:
    """Ids of the groups that a view means; None for all of a dataset."""
    if isinstance(collection, fo.Dataset):
        return None
    ids = collection.values(f"{collection._root_dataset.group_field}.id")
    return list(dict.fromkeys(i for i in ids if i is not None))


def all_groups(source: Dataset) -> set[str]:
    """Ids of the groups that have a sample."""
    path = id_path(source)
    stages = [{"$match": {path: {"$ne": None}}}, {"$group": {"_id": f"${path}"}}]
    return {str(found["_id"]) for found in source._sample_collection.aggregate(stages, allowDiskUse=True)}


def queries(source: Dataset, wanted: list[str] | None) -> Iterator[Query]:
    """Filters that together match the samples of the groups ``wanted``, of None all that are in a group."""
    path = id_path(source)
    if wanted is None:
        yield {path: {"$ne": None}}
        return
    for at in range(0, len(wanted), AT_ONCE):
        yield {path: {"$in": [ObjectId(i) for i in wanted[at : at + AT_ONCE]]}}


def groups(source: Dataset, name: str, wanted: list[str] | None) -> Iterator[dict[str, Any]]:
    """One document for each group: ``_id``; ``sample``, the parts of its sample of the slice ``name`` that a row needs,
    None where it lacks the slice."""
    path = id_path(source)
    sample = {"_id": "$_id", "filepath": "$filepath", "metadata": "$metadata", "tags": tags(source)}
    only = {"$cond": [{"$eq": [f"${name_path(source)}", {"$literal": name}]}, sample, None]}
    for query in queries(source, wanted):
        stages = [{"$match": query}, {"$group": {"_id": f"${path}", "sample": {"$min": only}}}]
        yield from source._sample_collection.aggregate(stages, allowDiskUse=True)


def tags(source: Dataset) -> dict[str, Any]:
    """An expression for the tags of a sample but those that were written back from rows."""
    written = [name for name, kind in source.get_field_schema().items() if "written_back_by" in (kind.info or {})]
    ours = {"$concatArrays": [[], *({"$ifNull": [f"${name}.tags", []]} for name in written)]}
    return those({"$ifNull": ["$tags", []]}, {"$not": [{"$in": ["$$this", ours]}]})


def those(items: Any, condition: dict[str, Any]) -> dict[str, Any]:
    """An expression for the items, in their order, that meet a condition on ``$$this``."""
    return {"$filter": {"input": items, "as": "this", "cond": condition}}


def id_path(source: Dataset) -> str:
    """Where the id of its group is in a stored sample."""
    return f"{source.get_field(source.group_field).db_field or source.group_field}._id"


def name_path(source: Dataset) -> str:
    """Where the name of its slice is in a stored sample."""
    return f"{source.get_field(source.group_field).db_field or source.group_field}.name"
