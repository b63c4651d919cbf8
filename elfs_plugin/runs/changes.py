"""What has happened to a dataset since a run: samples added, samples deleted. Counted from indexes, whatever N is."""

import hashlib
import json
import os
import threading
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

import fiftyone as fo

from . import record

_COUNTED = 20_000
"""Samples that are looked at one by one; above it the number comes from the indexes alone."""

_FILE = "changes.json"
_KEPT = 64
_counted = {}
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
    def deleted(self):
        return max(self.scored - self.present, 0)

    @property
    def dense(self):
        return self.highest + 1 == self.present


def count_changes(dataset, run):
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
    path = record.run_folder(dataset, run.key) / _FILE
    known = _counted.get(name)
    if known is None or known[0] != state:
        known = _load(path)
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
    _save(path, state, found)
    return found


def _digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _keep(name, counted):
    with _lock:
        _counted[name] = counted
        while len(_counted) > _KEPT:
            del _counted[next(iter(_counted))]


def _save(path, state, found):
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.write_text(json.dumps({"state": state, "changes": asdict(found)}))
        os.replace(partial, path)
    except OSError:  # no such folder, a full or read-only disk: it is counted again
        partial.unlink(missing_ok=True)


def _load(path):
    try:
        kept = json.loads(path.read_text())
        return kept["state"], Changes(**kept["changes"])
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or damaged
        return None


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
