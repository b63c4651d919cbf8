import contextlib

import pytest

from elfs_plugin import runs
from elfs_plugin.errors import ElfsError, InvalidInput, NameTaken
from elfs_plugin.runs import jobs, record, run_job
from elfs_plugin.runs.run_job import RunJob


def test_a_run_at_hand_is_read_once_and_refreshed_on_demand(written, monkeypatch):
    dataset, order = written
    run, read = runs.Run(dataset, "elfs"), []
    real = record.run_document
    monkeypatch.setattr(record, "run_document", lambda *given: read.append(given) or real(*given))
    assert run.record.stages["scores"]["scored"] == 12 and run.results["histogram"] == {"counts": [12]}
    assert run.stages is run.record.stages and run.graph.neighbors_of(order[0])[0][0] == order[1]
    assert run.changes.present == 12 and len(read) == 1
    runs.select_coreset(dataset, "elfs", budget=4, beta=0)
    assert "selection" not in run.stages
    run.refresh()
    assert run.stages["selection"]["coreset"] == 4


def test_all_runs_of_a_dataset_are_read_at_once(written, monkeypatch):
    dataset, _ = written
    record.save_record(dataset, record.RunRecord("other", stages={"embeddings": {}}))
    config = dataset.init_run()
    config.method = "somebody_elses"
    dataset.register_run("theirs", config)
    monkeypatch.setattr(record, "run_document", lambda *given: pytest.fail("one by one"))
    found = runs.Run.all_of(dataset)
    assert set(found) == {"elfs", "other"} and found["other"].record.stages == {"embeddings": {}}
    assert found["elfs"].results["histogram"] == {"counts": [12]}


def test_a_run_that_is_not_there(dataset):
    run = runs.Run(dataset, "elfs")
    assert (run.record, run.stages, run.results, run.graph) == (None, {}, {}, None)
    with pytest.raises(InvalidInput, match="no ELFS run 'elfs'"):
        run.require(None, "showing it")


def test_a_run_that_somebody_registers_before_the_lock_is_not_taken_over(dataset):
    job = RunJob(dataset, "theirs", "Working", {"Working": 1})
    config = dataset.init_run()
    config.method = "somebody_elses"
    dataset.register_run("theirs", config)
    with pytest.raises(NameTaken, match="a run 'theirs' of another kind"), job:
        pytest.fail("it began")
    assert dataset.get_run_info("theirs").config.method == "somebody_elses"


@pytest.mark.parametrize("needs", [None, "scores"])
def test_the_lock_is_given_back_when_an_engine_cannot_be_closed(written, monkeypatch, needs):
    dataset, _ = written

    @contextlib.contextmanager
    def using():
        try:
            yield
        finally:
            raise RuntimeError("the engine cannot be closed")

    def fails(*given):
        raise InvalidInput("not ready")

    monkeypatch.setattr(run_job, "using", using)
    if needs is not None:  # an error while the job begins
        monkeypatch.setattr(record, "check_there", fails)
    with (
        pytest.raises(ElfsError, match="cannot be closed"),
        RunJob(dataset, "elfs", "Working", {"Working": 1}, needs=needs),
    ):
        pass
    assert jobs.read_job(dataset, "elfs")["state"] == "failed"
    monkeypatch.undo()
    with RunJob(dataset, "elfs", "Working", {"Working": 1}):
        pass
    assert jobs.read_job(dataset, "elfs")["state"] == "completed"


def test_what_writes_no_field_works_on_a_run_whose_field_is_read_only(written):
    dataset, _ = written
    field = dataset.get_field("elfs")
    field.read_only = True
    field.save()
    assert runs.choose_coreset(dataset, "elfs", method="random", budget=3, tag="chosen")["coreset"] == 3
    with pytest.raises(InvalidInput, match="read-only"):
        runs.select_coreset(dataset, "elfs", budget=3, beta=0)
