"""Finishing what a job had decided to write when it was killed."""

from . import graph, jobs, journal, own, record, unlinked, vectors
from .deletion import resume_deletion

FINISHING = "Finishing what was begun"


def settle(dataset, key, verify=lambda: None):
    """Leaves nothing of earlier jobs with that key open: for whoever has the run's lock.

    What was committed is finished, also a deletion; what was only staged goes.
    """
    journal.stop_orphans(dataset, key)
    run = record.load_record(dataset, key) or record.RunRecord(key)
    with jobs.changing(dataset):
        unlinked.mend(dataset, run)
    if not resume_deletion(dataset, key, verify):
        journal.finish(dataset, key, verify)
    journal.sweep(dataset, key)
    _remove_other_files(dataset, key)


def _remove_other_files(dataset, key):
    """Removes the files of earlier results, which a killed job may have left beside those of the record."""
    run = record.load_record(dataset, key)
    if run is not None:
        place = record.run_folder(dataset, key)
        graph.remove_others(place, run.graph)
        vectors.remove_others(place, run.vectors)


def repair_run(dataset, key="elfs", *, sinks=()):
    """Finishes the writing of an interrupted job, or the deletion of the run. Returns a summary.

    Results that were complete when the job died take the place of the older ones; what it had not completed stays as
    it was. A run of which nothing is open is left as it is.

    Raises:
        InvalidInput: when there is no such run
    """
    shared = dataset._dataset
    run = record.require_record(shared, key, None, "a repair")
    was_open = bool(run.pending)
    with jobs.job(shared, key, FINISHING, {FINISHING: 1}, sinks, "repair") as reporter:
        reporter.stage(FINISHING)
        settle(own.own_dataset(shared), key, reporter.verify)
        own.refresh(shared)
    deleted = record.load_record(shared, key) is None
    return {"key": key, "finished": was_open, "deleted": deleted}
