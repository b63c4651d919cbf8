"""What has happened to a dataset since a run: samples added, samples deleted. Counted from indexes, whatever N is."""

import contextlib
import hashlib
import json
import threading
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

import fiftyone as fo

from ..files import whole_file
from . import reading, record, roster
from .fiftyone_types import Dataset, Query
from .record import RunRecord
from .versions import ranking_version

_COUNTED = 20_000
"""Samples that are looked at one by one; above it the number comes from the indexes alone."""

_FILE = "changes.json"
_KEPT = 64
_counted: dict[tuple[str, str], tuple[str, Any]] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Changes:
    """``present`` samples have a rank and ``scored`` had one; ``highest`` is the highest rank (-1: none). ``added``
    samples came after the run and have none."""

    scored: int
    present: int
    highest: int
    added: int

    @property
    def deleted(self) -> int:
        return max(self.scored - self.present, 0)

    @property
    def dense(self) -> bool:
        return self.highest + 1 == self.present


def count_changes(dataset: Dataset, run: RunRecord) -> Changes:
    """:class:`Changes` since a run with scores.

    Counting ranks takes half a second for a million; so a count is kept, in the process and in the run's folder, for
    as long as the number of samples, the last modification and the ends of the ranks, all of them found at once, are
    what they were.
    """
    collection = dataset._sample_collection
    path = f"{run.key}.rank"
    ranked = {path: {"$gte": 0}}
    ends = [collection.find_one(ranked, {path: 1}, sort=[(path, direction)]) for direction in (1, -1)]
    ends = [end[run.key]["rank"] if end else -1 for end in ends]
    last = collection.find_one({}, {"last_modified_at": 1}, sort=[("last_modified_at", -1)]) or {}
    total = collection.estimated_document_count()
    since = run_time(dataset, run)
    scored = run.stages["scores"]["scored"]
    state = _digest(total, last.get("_id"), last.get("last_modified_at"), *ends, since, scored)
    name = (str(dataset._doc.id), run.key)
    file = record.run_folder(dataset, run.key) / _FILE
    known = _counted.get(name)
    if known is None or known[0] != state:
        known = _load(file)
    if known is not None and known[0] == state:
        _keep(name, known)
        return known[1]
    present = collection.count_documents(ranked)
    newer = {"created_at": {"$gt": since}}
    added = collection.count_documents(newer)
    if added:
        added = min(added, total - present)
        if added <= _COUNTED or dataset.media_type == fo.core.media.GROUP:
            added = collection.count_documents({**newer, **added_query(dataset, run)})
    found = Changes(scored, present, ends[1], added)
    _keep(name, (state, found))
    _save(file, state, found)
    return found


def lost_ids(dataset: Dataset, run: RunRecord) -> tuple[list[str], list[str]]:
    """Ids of the samples that the run scored, that exist and that have lost their rank, and of those that have lost
    their score or pseudo-label alone: somebody emptied a field, say. They have not been deleted.

    Without a roster (runs of older versions) those are found that have kept another value of the run.
    """
    collection, key = dataset._sample_collection, run.key
    path, needed = f"{key}.rank", (f"{key}.{run.stages['scores']['score']}", f"{key}.pseudo_label.label")
    emptied: Query = {path: {"$gte": 0}, "$or": [{name: None} for name in needed]}
    partly = sorted(str(sample["_id"]) for sample in collection.find(emptied, {"_id": 1}))
    scored = roster.load(dataset, key, ranking_version(run))
    if scored is None:
        others = [{f"{key}.{name}": {"$ne": None}} for name in ("pseudo_label", "aum", "el2n", "forgetting")]
        wanted = {path: None, "created_at": {"$lte": run_time(dataset, run)}, "$or": others}
        failed = record.load_results(dataset, key).get("failures", {})
        found = (str(sample["_id"]) for sample in collection.find(wanted, {"_id": 1}))
        return sorted(i for i in found if i not in failed), partly
    ranked = {str(sample["_id"]) for sample in collection.find({path: {"$gte": 0}}, {"_id": 1})}
    return sorted(reading.by_id(dataset, [i for i in scored if i not in ranked], "filepath")), partly


def _digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _keep(name, counted):
    with _lock:
        _counted[name] = counted
        while len(_counted) > _KEPT:
            del _counted[next(iter(_counted))]


def _save(path, state, found):
    # No such folder, a full or read-only disk: it is counted again.
    with contextlib.suppress(OSError), whole_file(path) as file:
        file.write(json.dumps({"state": state, "changes": asdict(found)}).encode())


def _load(path):
    try:
        kept = json.loads(path.read_text())
        return kept["state"], Changes(**kept["changes"])
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or damaged
        return None


def run_time(dataset: Dataset, run: RunRecord) -> datetime:
    """When the run's samples were read (a naive datetime, UTC), so that a later one was added since."""
    since = run.stages.get("pseudo_labels", {}).get("since")
    if isinstance(since, (int, float)):
        return datetime.fromtimestamp(since, timezone.utc).replace(tzinfo=None)
    return record.run_document(dataset, run.key).timestamp


def added_query(dataset: Dataset, run: RunRecord) -> Query:
    """The MongoDB filter of samples that were added since the run and take no part in it."""
    query: Query = {"created_at": {"$gt": run_time(dataset, run)}, f"{run.key}.rank": None}
    if dataset.media_type == fo.core.media.GROUP:
        query[f"{dataset.group_field}.name"] = {"$in": slices_of(dataset, run)}
    return query


def slices_of(dataset: Dataset, run: RunRecord) -> list[str]:
    """Names of the group slices that the run's samples are in."""
    name = f"{dataset.group_field}.name"
    return dataset._sample_collection.distinct(name, {f"{run.key}.rank": {"$gte": 0}})
