"""Writing what belongs together so that at every moment either the old or the new results of a run are whole.

1. The new values are *staged*: collections of their own in FiftyOne's database take them, the dataset stays as it is.
2. One write to the run's record *commits* them: its ``pending`` says which steps are to be taken, and holds the record
   as it is to be. What is killed before has changed nothing.
3. The steps are *carried out* (:mod:`.carry`) by the database, in a few commands whatever the number of samples. Each
   can be repeated without harm; so what is killed now is finished by whoever comes next: the next job on the run, or
   :func:`finish`.
4. The record takes its new form, and the staged values go.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bson import ObjectId, json_util
from fiftyone.core import odm
from pymongo import WriteConcern
from pymongo.errors import OperationFailure

from ..contracts import Verify
from ..errors import ElfsError
from . import carry, claims, fields, jobs, record, staging
from .fiftyone_types import Dataset

if TYPE_CHECKING:
    from .fields import Column

_STOP_SECONDS = 30
_FORGOTTEN = (
    "MongoDB was restarted while the results were written. The earlier results are unharmed; check that the database "
    "is running, and run it again: it resumes from the last finished stage."
)
_TEXT_BYTES = 8_000_000
"""Characters of results in one document, far below MongoDB's 16 MB."""


@dataclass
class Draft:
    """What a job is about to write.

    ``columns`` are the new values of their paths: samples that are in none lose theirs. ``added`` are values of
    samples beside those of others, which stay. ``cleared`` paths lose all values. ``results`` changes entries of the
    run's results. ``steps`` are further steps of :mod:`.carry`, in their order.
    """

    columns: dict[str, Column] = field(default_factory=dict)
    added: dict[str, Column] = field(default_factory=dict)
    cleared: set[str] = field(default_factory=set)
    results: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    tagged: dict[str, list[str]] = field(default_factory=dict)

    def put(self, *columns: Column) -> None:
        """Replaces the values of their paths."""
        for column in columns:
            self.columns[column.path] = column
            self.cleared.discard(column.path)

    def add(self, *columns: Column) -> None:
        for column in columns:
            self.added[column.path] = column

    def clear(self, paths: Iterable[str]) -> None:
        for path in paths:
            self.columns.pop(path, None)
            self.cleared.add(path)

    def tag(self, tag: str, ids: Iterable[str]) -> None:
        """These samples are to have the tag, and no others."""
        self.tagged[tag] = list(ids)

    def step(self, do: str, **details: Any) -> None:
        """A step of :mod:`.carry`; one of the same kind, and name if it has one, that was there before is replaced."""
        same = do, details.get("name")
        self.steps = [step for step in self.steps if (step["do"], step.get("name")) != same] + [{"do": do, **details}]

    @property
    def is_empty(self) -> bool:
        return not (self.columns or self.added or self.cleared or self.results or self.steps or self.tagged)


def publish(
    dataset: Dataset,
    run: record.RunRecord,
    draft: Draft,
    verify: Verify = lambda: None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> record.RunRecord:
    """Writes a draft and the record ``run`` that goes with it.

    Args:
        dataset: an object that no other thread uses, see :mod:`.own`
        verify: called before anything is written, raises when the job has lost its run
        progress: called with a fraction from 0 to 1 while values are staged; may raise to cancel, nothing is changed

    Returns:
        the record as it is now

    Raises:
        NameTaken: when a name that the draft is to write under has become somebody else's, see :mod:`.claims`
    """
    before = record.load_record(dataset, run.key) or record.RunRecord(run.key)
    token = uuid.uuid4().hex
    try:
        steps = _stage(dataset, run, draft, token, verify, progress)
        _sync(dataset)  # what is committed must not refer to values that a database that died has forgotten
        if not _is_whole(steps):
            raise ElfsError(_FORGOTTEN)
        with jobs.changing(dataset):
            dataset._reload(hard=True)
            claims.check(dataset, before, run, steps)
            before.pending = {"token": token, "steps": steps, "record": record.stored(run)}
            verify()
            record.save_record(dataset, before)
        _sync(dataset)
        kept = record.load_record(dataset, run.key)
        if kept is None or (kept.pending or {}).get("token") != token:
            raise ElfsError(_FORGOTTEN)
    except BaseException:
        # Whether the record was written is not known when the database has gone; then the staged values must stay.
        known = record.load_record(dataset, run.key)
        if known is None or (known.pending or {}).get("token") != token:
            _drop(dataset, run.key, token)
        raise
    return finish(dataset, run.key, verify, kept)


def save_results(dataset: Dataset, key: str, **changes: Any) -> None:
    """Adds to the results of a run; a value of None removes the entry."""
    run = record.load_record(dataset, key) or record.RunRecord(key)
    publish(dataset, run, Draft(results=changes))


def finish(
    dataset: Dataset, key: str, verify: Verify = lambda: None, run: record.RunRecord | None = None
) -> record.RunRecord | None:
    """Carries out what was committed and not finished.

    Args:
        run: the record, where it has just been read

    Returns:
        the record as it is then, or None where there is no run
    """
    steps = []
    while True:
        run, server = run or record.load_record(dataset, key), _server()
        if run is None or "steps" not in (run.pending or {}):
            break
        steps = run.pending["steps"]
        settled = record.restored(key, run.pending.get("record") or {})
        if _is_whole(steps):
            for step in steps:
                verify()
                carry.STEPS[step["do"]](dataset, settled, step)
        else:
            _give_up(run, settled)
        _sync(dataset)
        run = None
        if _server() != server:  # it died and is back: what it had confirmed last may be lost
            continue
        settled.pending = None
        verify()
        record.save_record(dataset, settled)
        _sync(dataset)
    dataset._reload(hard=True)
    for step in steps:
        if "collection" in step:
            odm.get_db_conn().drop_collection(step["collection"])
    return run


def _server():
    """What tells a MongoDB process from the one that is started in its place, or None where it does not say."""
    return (odm.get_db_conn().command("hello").get("topologyVersion") or {}).get("processId")


def stop_orphans(dataset: Dataset, key: str) -> None:
    """Ends what the database still does for killed jobs with that key: it goes on with a command, for minutes in a
    large dataset, after the process that gave it has gone. The caller has the run's lock.

    Some databases do not let their users ask; then nothing is done.
    """
    database = odm.get_db_conn()
    moving = {"command.comment": carry.staged_prefix(dataset, key)}  # all of a merge has it, also what it is made of
    deadline = time.monotonic() + _STOP_SECONDS
    with suppress(OperationFailure):
        while time.monotonic() < deadline:
            found = list(database.client.admin.aggregate([{"$currentOp": {}}, {"$match": moving}]))
            if not found:
                return
            for operation in found:
                database.client.admin.command("killOp", op=operation["opid"])
            time.sleep(0.05)


def sweep(dataset: Dataset, key: str) -> None:
    """Drops what killed jobs with that key have staged and not committed, and what was staged for datasets that are
    gone. The caller has the run's lock, and nothing is pending."""
    mine, database = carry.staged_prefix(dataset, key), odm.get_db_conn()
    names = _staged_names(f"{carry.STAGED}.")
    owners = {name.split(".")[2] for name in names}
    ids = [ObjectId(owner) for owner in owners if ObjectId.is_valid(owner)]
    alive = {str(found["_id"]) for found in database.datasets.find({"_id": {"$in": ids}}, {"_id": 1})} if ids else set()
    for name in names:
        if name.startswith(mine) or name.split(".")[2] not in alive:
            database.drop_collection(name)


def _stage(dataset, run, draft, token, verify, progress):
    """Writes the values to collections of their own. Returns all steps, in order."""
    steps: list[dict[str, Any]] = []
    for at, (columns, whole) in enumerate(_together(draft)):
        name = carry.staged_name(dataset, run.key, token, f"values{at}")
        told = progress if at == 0 else lambda fraction: None
        steps += _stage_values(dataset, run.key, name, columns, whole, verify, told)
    for at, (tag, ids) in enumerate(draft.tagged.items()):
        name = carry.staged_name(dataset, run.key, token, f"tags{at}")
        steps.append(_stage_tag(dataset, name, tag, ids, verify))
    steps += draft.steps
    if draft.results:
        name = carry.staged_name(dataset, run.key, token, "results")
        steps.append(_stage_results(dataset, run.key, name, draft.results, verify))
    return steps


def _together(draft):
    """What is written in one pass each: ({path: column or None}, whether other samples lose their values)."""
    groups = [({**draft.columns, **dict.fromkeys(draft.cleared)}, True)] if draft.columns or draft.cleared else []
    added: list[dict[str, Column]] = []
    for path, column in draft.added.items():
        same = next((group for group in added if list(next(iter(group.values())).ids) == list(column.ids)), None)
        if same is None:
            added.append({path: column})
        else:
            same[path] = column
    return [*groups, *((group, False) for group in added)]


def _stage_values(dataset, key, name, columns, whole, verify, progress):
    columns = {path: column for path, column in columns.items() if column is not None or dataset.has_sample_field(path)}
    if not columns:
        return []
    ids = staging.ids_of(dataset, columns.values(), columns if whole else ())
    count = staging.insert_rows(name, staging.of_columns(key, ids, columns), len(ids), verify, progress)
    nested = [path.removeprefix(f"{key}.") for path in columns if path.startswith(f"{key}.")]
    others = {path: column for path, column in columns.items() if not path.startswith(f"{key}.")}
    labels = [path for path, column in others.items() if column is not None and column.field_of_user]
    vectors = [path for path in others if path not in labels]
    return [
        {"do": "declare", "names": nested, "vectors": vectors, "labels": labels},
        {
            "do": "write",
            "collection": name,
            "names": nested,
            "vectors": vectors,
            "labels": labels,
            "indexes": fields.indexes_on(dataset, key, nested) if _are_most(dataset, ids) else [],
            "rows": count,
            "samples": len(ids),
        },
    ]


def _are_most(dataset, ids):
    """Whether so many samples of a large dataset change that its indexes are made anew in less time."""
    return len(ids) >= carry.LARGE and 2 * len(ids) >= dataset._sample_collection.estimated_document_count()


def _stage_tag(dataset, name, tag, ids, verify):
    wanted = set(ids)
    tagged = dataset._sample_collection.find({"tags": tag}, {"_id": 1})
    others = [i for i in (str(found["_id"]) for found in tagged) if i not in wanted]
    total = len(ids) + len(others)
    count = staging.insert_rows(name, staging.of_flags(ids, others), total, verify)
    return {"do": "tag_staged", "collection": name, "tag": tag, "rows": count, "samples": total}


def _stage_results(dataset, key, name, results, verify):
    text = json_util.dumps(record.merged_results(dataset, key, results))
    parts = [text[start : start + _TEXT_BYTES] for start in range(0, len(text), _TEXT_BYTES)]
    for at, part in enumerate(parts):
        staging.insert(name, [{"_id": at, "text": part}])
        verify()
    return {
        "do": "results",
        "collection": name,
        "rows": len(parts),
        "file": ObjectId(),
        "older": record.results_file(dataset, key),
    }


def _is_whole(steps):
    """Whether everything that was staged is still there."""
    database = odm.get_db_conn()
    staged = [step for step in steps if "rows" in step]
    return all(database[step["collection"]].count_documents({}) == step["rows"] for step in staged)


def _give_up(run, settled):
    """What was staged is gone (a database that was restored, say): the record says only what is sure to be there."""
    settled.stages = {name: details for name, details in run.stages.items() if name == "embeddings"}
    settled.labelling, settled.rounds = run.labelling, run.rounds
    for name in ("tags", "saved_views", "brain_keys", "view_ids"):
        both = getattr(run, name) + getattr(settled, name)
        setattr(settled, name, [entry for at, entry in enumerate(both) if entry not in both[:at]])


def _drop(dataset, key, token):
    for name in _staged_names(f"{carry.staged_prefix(dataset, key)}{token}.") if token else ():
        odm.get_db_conn().drop_collection(name)


def _staged_names(prefix):
    """Names of the collections that begin so; none for a user of the database who may not ask."""
    try:
        return odm.get_db_conn().list_collection_names(filter={"name": {"$regex": f"^{re.escape(prefix)}"}})
    except OperationFailure:
        return []


def _sync(dataset):
    """Has the database bring to its disk what was written: it confirms before it has, and what it has confirmed in its
    last tenth of a second is lost when it dies. Its log is in order: what was written before a write that is there, is.
    """
    datasets = odm.get_db_conn().get_collection("datasets", write_concern=WriteConcern(w=1, j=True))
    datasets.update_one({"_id": dataset._doc.id}, {"$currentDate": {"last_modified_at": True}})
