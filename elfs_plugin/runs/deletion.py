"""Removing what a run wrote, and nothing else."""

from ..errors import InvalidInput
from . import fields, jobs, record, workspace


def delete_run(dataset, key="elfs"):
    """Removes everything the run wrote and nothing else. Returns what was removed.

    An embeddings field that existed before, or that another run uses, stays.
    """
    dataset = dataset._dataset
    found = record.load_record(dataset, key)
    if found is None:
        have = ", ".join(record.list_runs(dataset)) or "none"
        raise InvalidInput(f"There is no ELFS run '{key}' on this dataset (runs: {have}).", "key")
    record.check_format(found)
    lock = jobs.Lock(jobs.store(dataset), key)
    lock.acquire("Deleting the run")
    try:
        for tag in found.tags:
            fields.writable(dataset).match_tags(tag).untag_samples(tag)
        for name in found.saved_views:
            if dataset.has_saved_view(name):
                dataset.delete_saved_view(name)
        removed = []
        for brain_key in list(found.brain_keys):
            remove_brain_run(dataset, found, brain_key)
        if found.owns_field and dataset.has_sample_field(key):
            fields.drop_indexes(dataset, key)
            dataset.delete_sample_field(key)
            removed.append(key)
        if release_embeddings(dataset, found):
            removed.append(found.embeddings_field)
        record.remove_run_folder(dataset, key)
        jobs.forget(dataset, key)
        workspace.release(dataset, found)
        dataset.delete_run(key)
        return {"key": key, "fields": removed, "tags": found.tags, "saved_views": found.saved_views}
    finally:
        lock.release()


def release_embeddings(dataset, run):
    """Deletes the vector field that a run wrote, or leaves it to another run that uses it. Returns whether deleted."""
    if not run.owns_embeddings or not dataset.has_sample_field(run.embeddings_field):
        return False
    for key in record.list_runs(dataset):
        other = record.load_record(dataset, key)
        if key != run.key and other.embeddings_field == run.embeddings_field:
            other.owns_embeddings = True
            record.save_record(dataset, other)
            return False
    dataset.delete_sample_field(run.embeddings_field)
    return True


def remove_brain_run(dataset, run, brain_key):
    """Removes a brain run of this run, with its field and index. The record is the caller's to save."""
    if brain_key not in run.brain_keys:
        return
    if dataset.has_brain_run(brain_key):
        dataset.delete_brain_run(brain_key)
    fields.drop_indexes(dataset, brain_key)
    if dataset.has_sample_field(brain_key):
        dataset.delete_sample_field(brain_key)
    run.brain_keys = [known for known in run.brain_keys if known != brain_key]
