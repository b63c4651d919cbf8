"""The queue of a round: what waits for a label, and in which order. FiftyOne's own annotation has none."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from bson import ObjectId

from ...contracts import Sink
from ...errors import InvalidInput
from .. import fields
from ..fiftyone_types import Dataset, Query, View
from ..run import Run
from ..run_job import RunJob
from .state import IN_APP, RETURNED, SELECTED, SENT, SKIPPED, keep, labelling_of, round_of, rounds_of

NO_LABEL = (None, "")
"""What the class of a sample without a label is; the App keeps "" until one is chosen."""


@dataclass(frozen=True)
class Counts:
    """Samples of a round: those that have a label, those that were skipped and have none, the others."""

    labelled: int = 0
    skipped: int = 0
    waiting: int = 0

    @property
    def all(self) -> int:
        return self.labelled + self.skipped + self.waiting


def waiting_view(run: Run, number: int | None = None) -> View:
    """The samples of a round (None: the last one) that wait for a label, in the order of choice. No list of ids: what
    is labelled leaves it.

    Raises:
        InvalidInput: when there is no such round
    """
    return fields.writable(run.dataset).match(_waiting(run, number)).sort_by(f"{run.key}.turn", create_index=False)


def next_waiting(run: Run, after: str | None = None, number: int | None = None) -> str | None:
    """The id of the sample whose turn it is: the next one after the sample ``after``, else the first; None when none
    waits, or ``after`` alone."""
    wanted, turn = _waiting(run, number), _turn_of(run, after)
    if after is not None and ObjectId.is_valid(after):
        wanted["_id"] = {"$ne": ObjectId(after)}
    later = [] if turn is None else [{**wanted, f"{run.key}.turn": {"$gt": turn}}]
    for query in (*later, wanted):
        found = run.dataset._sample_collection.find_one(query, {"_id": 1}, sort=[(f"{run.key}.turn", 1), ("_id", 1)])
        if found:
            return str(found["_id"])
    return None


def is_labelled_here(run: Run, sample_id: str) -> bool:
    """Whether a sample is in a round that is being labelled in the App, whether it has its label by now or not."""
    sent = [one.number for one in rounds_of(run.record) if one.is_open and one.sent.get("to") == IN_APP]
    if not sent or not ObjectId.is_valid(sample_id):
        return False
    wanted = {"_id": ObjectId(sample_id), f"{run.key}.round": {"$in": sent}}
    return run.dataset._sample_collection.find_one(wanted, {"_id": 1}) is not None


def prelabel_of(run: Run, sample_id: str) -> tuple[str, float | None] | None:
    """(class, confidence) that is suggested for a sample, or None."""
    if not ObjectId.is_valid(sample_id):
        return None
    path = f"{run.key}.prelabel"
    found = run.dataset._sample_collection.find_one({"_id": ObjectId(sample_id)}, {path: 1}) or {}
    known = (found.get(run.key) or {}).get("prelabel") or {}
    return (known["label"], known.get("confidence")) if known.get("label") else None


def counts(run: Run, number: int | None = None) -> Counts:
    """:class:`Counts` of a round (None: the last one).

    Raises:
        InvalidInput: when there is no such round
    """
    return count_rounds(run).get(round_of(run.record, number).number, Counts())


def count_rounds(run: Run) -> dict[int, Counts]:
    """{number: :class:`Counts`} of the rounds that have samples, in one request; of a run without rounds none."""
    if labelling_of(run.record) is None:
        return {}
    label, number = _label_path(run), f"{run.key}.round"
    state = {
        "$switch": {
            "branches": [
                {"case": {"$not": [{"$in": [{"$ifNull": [f"${label}", None]}, list(NO_LABEL)]}]}, "then": "labelled"},
                {"case": {"$eq": [f"${run.key}.status", SKIPPED]}, "then": "skipped"},
            ],
            "default": "waiting",
        }
    }
    groups = run.dataset._sample_collection.aggregate(
        [
            {"$match": {number: {"$gte": 0}}},
            {"$group": {"_id": {"round": f"${number}", "state": state}, "n": {"$sum": 1}}},
        ]
    )
    found: dict[int, dict[str, int]] = {}
    for group in groups:
        found.setdefault(group["_id"]["round"], {})[group["_id"]["state"]] = group["n"]
    return {one: Counts(**of_states) for one, of_states in found.items()}


def skip(dataset: Dataset, key: str, ids: Iterable[str], sinks: Iterable[Sink] = ()) -> int:
    """Notes that samples are not to be labelled: too unclear, or broken. Those that have a label keep it and stay.

    Returns:
        how many are skipped now and were not before

    Raises:
        InvalidInput: when the run has no rounds, or none of the samples waits in one
    """
    return _set_status(dataset, key, ids, SKIPPED, sinks)


def ask_again(
    dataset: Dataset,
    key: str = "elfs",
    ids: Iterable[str] | None = None,
    *,
    round: int | None = None,
    sinks: Iterable[Sink] = (),
) -> int:
    """Takes :func:`skip` back. A round that had ended, and has images that wait again, is open again.

    Args:
        ids: those of them that are skipped; None: all skipped ones of the round
        round: its number, where there are no ids; default: the last one

    Returns:
        how many wait again

    Raises:
        InvalidInput: when none of the samples is skipped
    """
    if ids is None:
        ids = _skipped(Run(dataset._dataset, key), round)
    return _set_status(dataset, key, ids, SENT, sinks)


def _skipped(run, number):
    """The ids of what is skipped in a round."""
    one, path = round_of(run.record, number), _label_path(run)
    wanted = {f"{run.key}.round": one.number, f"{run.key}.status": SKIPPED, path: {"$in": list(NO_LABEL)}}
    found = _ids(run, wanted)
    if not found:
        raise InvalidInput(f"No image of round {one.number} is skipped.", "round")
    return found


def _set_status(dataset, key, ids, status, sinks):
    operation = "Skipping images" if status == SKIPPED else "Asking for skipped images again"
    ids, job = list(ids), RunJob(dataset, key, operation, {"write": 1.0}, sinks, kind="skip")
    round_of(job.record)  # there is one
    if not _of_status(job.run, ids, skipped=status != SKIPPED):
        which = "waits for a label" if status == SKIPPED else "is skipped"
        raise InvalidInput(f"None of these images {which} in a round of the run '{key}'.", "ids")
    with job:
        found = _of_status(job.run, ids, skipped=status != SKIPPED)  # somebody may have been quicker
        unsent = {one.number for one in rounds_of(job.record) if one.state == SELECTED}
        known = list(found)

        def encode(rows):
            ids = (known[row] for row in rows.tolist())
            return [SELECTED if status == SENT and found[i] in unsent else status for i in ids]

        if known:
            job.draft.add(fields.Column(f"{key}.status", known, encode))
            if status == SENT:
                _open_again(job, found)
        job.publish()
    return len(known)


def _open_again(job, found):
    """Rounds of samples, {id: number}, that wait again: they are open, and the samples have the tag of what waits."""
    for one in rounds_of(job.record):
        if one.number in found.values() and not one.is_open:
            one.state, one.when[RETURNED] = RETURNED, time.time()
            keep(job.record, one)
    tag = labelling_of(job.record).called.waiting
    if tag in job.record.tags:
        job.draft.tag(tag, [*_ids(job.run, {f"{job.key}.status": {"$in": [SELECTED, SENT]}}), *found])


def _ids(run, wanted: Query):
    return [str(each["_id"]) for each in run.dataset._sample_collection.find(wanted, {"_id": 1})]


def _of_status(run, ids, *, skipped):
    """{id: number of its round} of those that are in a round, have no label, and are skipped or are not."""
    number = f"{run.key}.round"
    wanted = {
        "_id": {"$in": [ObjectId(i) for i in ids if ObjectId.is_valid(i)]},
        number: {"$gte": 0},
        f"{run.key}.status": {"$eq": SKIPPED} if skipped else {"$ne": SKIPPED},
        _label_path(run): {"$in": list(NO_LABEL)},
    }
    found = run.dataset._sample_collection.find(wanted, {number: 1})
    return {str(each["_id"]): each[run.key]["round"] for each in found}


def _waiting(run, number) -> Query:
    return {
        f"{run.key}.round": round_of(run.record, number).number,
        f"{run.key}.status": {"$ne": SKIPPED},
        _label_path(run): {"$in": list(NO_LABEL)},
    }


def _turn_of(run, sample_id):
    if sample_id is None or not ObjectId.is_valid(sample_id):
        return None
    found = run.dataset._sample_collection.find_one({"_id": ObjectId(sample_id)}, {f"{run.key}.turn": 1}) or {}
    return (found.get(run.key) or {}).get("turn")


def _label_path(run):
    """Where the labels' classes are."""
    labelling = labelling_of(run.record)
    if labelling is None:
        raise InvalidInput(f"The run '{run.key}' has no rounds yet. Use next_batch first.", "round")
    return f"{labelling.labels_field}.label"
