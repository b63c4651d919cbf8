"""Removing what a run wrote, and nothing else."""

from typing import Any

from ..contracts import Verify
from ..errors import InvalidInput
from . import fields, jobs, journal, own, record, roster, unlinked, workspace, written_back
from .fiftyone_types import Dataset
from .record import RunRecord
from .removal import release_embeddings, remove_brain_run

DELETING = {"delete": True}
"""In ``pending`` of a record whose run is being deleted."""


def delete_run(dataset: Dataset, key: str = "elfs") -> dict[str, Any]:
    """Removes everything the run wrote and nothing else. Returns what was removed.

    An embeddings field that existed before, or that another run uses, stays; so does a saved view that somebody else
    has put in the place of the run's. A deletion that was interrupted goes on where it stopped. Without a record, what
    a run left behind in a clone, a merge or an import is removed.
    """
    shared = dataset._dataset
    dataset = own.own_dataset(shared)
    check_deletable(dataset, key)
    found = record.load_record(dataset, key)
    record.check_format(found)
    for field in _fields_of(found, key):
        fields.check_not_read_only(dataset, field)
    lock = jobs.Lock(jobs.store(dataset), key)
    lock.acquire("Deleting the run")
    try:
        if found is None:
            removed = _remove_left_behind(dataset, key)
        else:
            removed = _remove(dataset, record.load_record(dataset, key) or found, lock.verify)
        journal.sweep(dataset, key)
        record.remove_run_folder(dataset, key)
        jobs.forget(dataset, key)
        roster.forget(dataset, key)
        own.refresh(shared)
        return removed
    finally:
        lock.release()


def check_deletable(dataset: Dataset, key: str) -> None:
    """Raises :class:`InvalidInput` unless there is a run of that key, or something that one has left."""
    if record.load_record(dataset, key) is None and not has_traces(dataset, key):
        have = ", ".join(record.list_runs(dataset)) or "none"
        raise InvalidInput(f"There is no ELFS run '{key}' on this dataset (runs: {have}).", "key")


def _fields_of(run, key):
    """The fields that the deletion of a run may delete."""
    if run is None:
        return [key, f"{key}_embeddings"]
    return [key] * run.owns_field + [run.embeddings_field] * run.owns_embeddings + run.brain_keys


def has_traces(dataset: Dataset, key: str) -> bool:
    """Whether a run without a record has left something: its field, a link to its record, a job that ended early."""
    if not isinstance(key, str) or not key.isidentifier():  # no run has it, and no path may be made of it
        return False
    dataset._reload(hard=True)
    if fields.is_left_behind(dataset, key):
        return True
    linked = record.run_document(dataset, key) is None and key in dataset._doc.runs
    kept = {f"{what}_{key}" for what in ("job", "cancel", "lock", "ids")}
    in_store = bool(kept & set(jobs.store(dataset).list_keys()))
    return linked or in_store or record.run_folder(dataset, key).is_dir()


def is_half_deleted(run: RunRecord) -> bool:
    return bool((run.pending or {}).get("delete"))


def resume_deletion(dataset: Dataset, run: RunRecord, verify: Verify) -> None:
    """Ends the deletion of a run (its record) that was interrupted."""
    key = run.key
    _remove(dataset, run, verify)
    journal.sweep(dataset, key)
    record.remove_run_folder(dataset, key)
    roster.forget(dataset, key)


def _remove(dataset, run, verify):
    key = run.key
    verify()
    journal.stop_orphans(dataset, key)
    with jobs.changing(dataset):
        unlinked.mend(dataset, run)
    files = _take_in_pending(run)
    run.pending = {**DELETING, "files": files}
    record.save_record(dataset, run)  # killed from here on, it is known that the run is half gone
    written_back.remove(dataset, run, [other for name, other in record.records(dataset).items() if name != key])
    views = run.own_views(dataset)
    with jobs.changing(dataset):
        dataset._reload(hard=True)
        for name in views:
            dataset.delete_saved_view(name)
        for brain_key in run.brain_keys:
            remove_brain_run(dataset, brain_key)
        verify()
        removed = fields.delete_group(dataset, key) if run.owns_field else []
        if run.owns_embeddings and release_embeddings(dataset, key, run.embeddings_field):
            removed.append(run.embeddings_field)
        workspace.release(dataset, run)
    # After the ranks: a killed job's command that the database has not ended yet finds none to tag any more.
    for tag in run.tags:
        verify()
        fields.untag(dataset, tag)
    with jobs.changing(dataset):
        for file_id in files:
            record.remove_results_file(file_id)
        dataset._reload(hard=True)
        dataset.delete_run(key)
    return {"key": key, "fields": removed, "tags": run.tags, "saved_views": views}


def _take_in_pending(run):
    """Adds what an interrupted job had decided to write: some of it may be there. Returns the ids of its files."""
    pending = run.pending or {}
    coming = record.restored(run.key, pending.get("record") or {})
    for name in ("tags", "saved_views", "brain_keys"):
        known = getattr(run, name)
        known.extend(entry for entry in getattr(coming, name) if entry not in known)
    run.view_ids = [entry for entry in run.view_ids if entry["name"] not in coming.saved_views]
    run.owns_field = run.owns_field or coming.owns_field
    run.workspace = run.workspace or coming.workspace
    written_back.take_in(run, coming)
    if coming.owns_embeddings and not run.owns_embeddings:
        run.owns_embeddings, run.embeddings_field = True, coming.embeddings_field
    steps = pending.get("steps", ())
    return pending.get("files", []) + [step[name] for step in steps for name in ("file", "older") if step.get(name)]


def _remove_left_behind(dataset, key):
    """Removes the fields of a run whose record is not on the dataset."""
    embeddings = f"{key}_embeddings"
    with jobs.changing(dataset):
        unlinked.mend(dataset, record.RunRecord(key))
        dataset._reload(hard=True)
        both = fields.is_left_behind(dataset, embeddings)
        if both:
            fields.mark(dataset, embeddings)
            both = release_embeddings(dataset, key, embeddings)
        removed = fields.delete_group(dataset, key)
    return {"key": key, "fields": [*removed, *([embeddings] if both else [])], "tags": [], "saved_views": []}
