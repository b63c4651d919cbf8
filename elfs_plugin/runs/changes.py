"""What has happened to a dataset since a run: samples added, samples deleted. Counted from indexes, whatever N is."""

from dataclasses import dataclass
from datetime import datetime, timezone

import fiftyone as fo

_COUNTED = 20_000
"""Samples that are looked at one by one; above it the number comes from the indexes alone."""


@dataclass(frozen=True)
class Changes:
    """``present`` samples have a rank and ``scored`` had one; ``highest`` is the highest rank (-1: none). ``added``
    samples came after the run and have none."""

    scored: int
    present: int
    highest: int
    added: int

    @property
    def deleted(self):
        return max(self.scored - self.present, 0)

    @property
    def dense(self):
        return self.highest + 1 == self.present


def count_changes(dataset, run):
    """:class:`Changes` since a run with scores."""
    collection = dataset._sample_collection
    path = f"{run.key}.rank"
    present = collection.count_documents({path: {"$gte": 0}})
    last = collection.find_one({path: {"$gte": 0}}, {path: 1}, sort=[(path, -1)])
    highest = last[run.key]["rank"] if last else -1
    newer = {"created_at": {"$gt": run_time(dataset, run)}}
    added = collection.count_documents(newer)
    if added:
        added = min(added, collection.estimated_document_count() - present)
        if added <= _COUNTED or dataset.media_type == fo.core.media.GROUP:
            added = collection.count_documents({**newer, **added_query(dataset, run)})
    return Changes(run.stages["scores"]["scored"], present, highest, added)


def run_time(dataset, run):
    """When the run's samples were read (a naive datetime, UTC), so that a later one was added since."""
    since = run.stages.get("pseudo_labels", {}).get("since")
    if isinstance(since, (int, float)):
        return datetime.fromtimestamp(since, timezone.utc).replace(tzinfo=None)
    return dataset.get_run_info(run.key).timestamp


def added_query(dataset, run):
    """The MongoDB filter of samples that were added since the run and take no part in it."""
    query = {"created_at": {"$gt": run_time(dataset, run)}, f"{run.key}.rank": None}
    if dataset.media_type == fo.core.media.GROUP:
        query[f"{dataset.group_field}.name"] = {"$in": slices_of(dataset, run)}
    return query


def slices_of(dataset, run):
    """Names of the group slices that the run's samples are in."""
    name = f"{dataset.group_field}.name"
    return dataset._sample_collection.distinct(name, {f"{run.key}.rank": {"$gte": 0}})
