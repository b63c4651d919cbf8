"""Finishing what a job had decided to write when it was killed."""

from . import graph, jobs, journal, own, record, unlinked, vectors
from .deletion import is_half_deleted, resume_deletion
from .run import Run

FINISHING = "Finishing what was begun"


def settle(dataset, key, verify=lambda: None):
    """Leaves nothing of earlier jobs with that key open: for whoever has the run's lock.

    What was committed is finished, also a deletion; what was only staged goes.

    Returns:
        the record that the run has then, or None where there is no run
    """
    journal.stop_orphans(dataset, key)
    run = record.load_record(dataset, key)
    with jobs.changing(dataset):
        unlinked.mend(dataset, run or record.RunRecord(key))
    if run is not None and is_half_deleted(run):
        resume_deletion(dataset, run, verify)
        run = None
    elif run is not None and run.pending:
        run = journal.finish(dataset, key, verify, run)
    journal.sweep(dataset, key)
    if run is not None:  # a killed job may have left files of earlier results beside those of the record
        place = record.run_folder(dataset, key)
        graph.remove_others(place, run.graph)
        vectors.remove_others(place, run.vectors)
    return run


def repair_run(dataset, key="elfs", *, sinks=()):
    """Finishes the writing of an interrupted job, or the deletion of the run. Returns a summary.

    Results that were complete when the job died take the place of the older ones; what it had not completed stays as
    it was. A run of which nothing is open is left as it is.

    Raises:
        InvalidInput: when there is no such run
    """
    shared = dataset._dataset
    run = Run(shared, key).require(None, "a repair")
    was_open = bool(run.record.pending)
    with jobs.job(shared, key, FINISHING, {FINISHING: 1}, sinks) as reporter:
        reporter.stage(FINISHING)
        settle(own.own_dataset(shared), key, reporter.verify)
        own.refresh(shared)
    deleted = record.load_record(shared, key) is None
    return {"key": key, "finished": was_open, "deleted": deleted}
