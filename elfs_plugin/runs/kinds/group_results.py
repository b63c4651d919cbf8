"""Results of a run on groups, written to all slices of each group and taken away again, in the database."""

from __future__ import annotations

from typing import Any

from ...errors import NameTaken
from ..fiftyone_types import Dataset
from .base import Written
from .group_slices import id_path, those


def write(source: Dataset, companion: Dataset, written: Written, names: list[str]) -> None:
    """Writes the sub-fields ``names`` and the tags of a run to every sample of the groups that have them; what an
    earlier call has written is replaced. Tags that somebody else has given stay theirs."""
    key = written.key
    clear(source, key, names)
    tags = those({"$ifNull": ["$tags", []]}, {"$in": ["$$this", {"$literal": written.tags}]})
    values: dict[str, Any] = {name: f"${key}.{name}" for name in names} or {"$literal": {}}
    members = {**_members(source), "pipeline": [{"$project": {"_id": 1}}]}
    stages: list[dict[str, Any]] = [
        {"$match": {key: {"$ne": None}}},
        {"$project": {"tags": tags, "values": values}},
        {"$lookup": members},
        {"$unwind": "$members"},
        {"$project": {"_id": "$members._id", "tags": 1, "values": 1}},
    ]
    there, owned = {"$ifNull": ["$tags", []]}, {"$ifNull": [f"${key}.tags", []]}
    missing = those("$$new.tags", {"$not": [{"$in": ["$$this", there]}]})
    change = {
        "tags": {"$concatArrays": [there, missing]},
        key: {"$mergeObjects": [f"${key}", "$$new.values", {"tags": {"$setUnion": [owned, missing]}}]},
        "last_modified_at": "$$NOW",
    }
    _merge(source, companion, stages, change)


def clear(source: Dataset, key: str, names: list[str]) -> None:
    """Takes away the tags that were written for a run, and the values of the sub-fields ``names``."""
    owned = {"$ifNull": [f"${key}.tags", []]}
    kept = those({"$ifNull": ["$tags", []]}, {"$not": [{"$in": ["$$this", owned]}]})
    parts = [f"{key}.{name}" for name in (*names, "tags")]
    stages = [{"$set": {"tags": kept, "last_modified_at": "$$NOW"}}, {"$unset": parts}]
    source._sample_collection.update_many({key: {"$ne": None}}, stages)


def check_tags_free(source: Dataset, written: Written) -> None:
    """Refuses tags that samples of the source carry which no call of :func:`write` has given.

    Raises:
        NameTaken
    """
    if _has_lost_its_field(source, written):
        return
    for tag in written.tags:
        samples = source._sample_collection
        used = samples.find_one({"tags": tag}, {"_id": 1}) is not None
        if used and samples.find_one({f"{written.key}.tags": tag}, {"_id": 1}) is None:
            raise NameTaken(
                f"The tag '{tag}' is already in use on the dataset '{source.name}'. Select the coreset under another "
                "tag, or remove that one there.",
                "tag",
            )


def untag_lost(source: Dataset, companion: Dataset, written: Written) -> None:
    """Takes the tags of a run away where somebody has deleted its field, which said whose tags they are: from the
    groups whose rows carry them. Other samples were tagged by somebody else."""
    if not _has_lost_its_field(source, written):
        return
    for tag in written.tags:
        members = {**_members(source), "pipeline": [{"$match": {"tags": tag}}, {"$project": {"_id": 1}}]}
        stages: list[dict[str, Any]] = [
            {"$match": {"tags": tag}},
            {"$project": {"_id": 1}},
            {"$lookup": members},
            {"$unwind": "$members"},
            {"$project": {"_id": "$members._id"}},
        ]
        kept = those("$tags", {"$ne": ["$$this", {"$literal": tag}]})
        _merge(source, companion, stages, {"tags": kept, "last_modified_at": "$$NOW"})


def _members(source):
    """The part of a ``$lookup`` from rows that finds the samples of their groups."""
    return {
        "from": source._sample_collection_name,
        "localField": "_id",
        "foreignField": id_path(source),
        "as": "members",
    }


def _merge(source, companion, stages, change):
    """Changes the samples of the source whose ids the ``stages`` on the companion end with."""
    into = {
        "into": source._sample_collection_name,
        "on": "_id",
        "whenMatched": [{"$set": change}],
        "whenNotMatched": "discard",
    }
    companion._sample_collection.aggregate([*stages, {"$merge": into}], allowDiskUse=True)


def _has_lost_its_field(source, written):
    return any(written.views.values()) and not source.has_sample_field(written.key)
