import errno
import os
import subprocess
import sys
import threading
import time

import pytest
from pymongo.errors import ServerSelectionTimeoutError

from elfs_plugin.errors import Busy, Cancelled, ElfsError, InvalidInput
from elfs_plugin.runs import jobs

STAGES = {"first": 1, "second": 3}


def start(dataset, key="elfs", **options):
    return jobs.job(dataset, key, "Testing", STAGES, **options)


@pytest.fixture
def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def lock_of(pid, host=None, heartbeat=None):
    import socket

    return {
        "owner": "another",
        "operation": "Another job",
        "host": host or socket.gethostname(),
        "pid": pid,
        "heartbeat": time.time() if heartbeat is None else heartbeat,
    }


def test_a_job_is_running_then_completed(dataset):
    assert jobs.read_job(dataset, "elfs") is None
    with start(dataset):
        state = jobs.read_job(dataset, "elfs")
        assert (state["state"], state["operation"], state["overall"]) == ("running", "Testing", 0.0)
        assert jobs.running_jobs(dataset) == ["elfs"]
    state = jobs.read_job(dataset, "elfs")
    assert (state["state"], state["overall"], state["message"]) == ("completed", 1.0, "")
    assert jobs.running_jobs(dataset) == []
    assert jobs.store(dataset).list_keys() == ["job_elfs"]


def test_progress_reaches_the_store_and_the_sinks(dataset):
    events = []
    with start(dataset, sinks=[events.append]) as reporter:
        reporter.stage("first")
        assert jobs.read_job(dataset, "elfs")["stage"] == "first"
        reporter.stage("second")
        state = jobs.read_job(dataset, "elfs")
    assert (state["stage"], state["step"], state["steps"], state["overall"]) == ("second", 2, 2, 0.25)
    assert state["label"] == "second (2/2)"
    assert [event.stage for event in events] == ["first", "second"]


def test_a_second_job_with_the_key_is_refused_and_another_key_is_not(dataset):
    with start(dataset):
        with pytest.raises(Busy, match="Testing is already running with the run key 'elfs'"), start(dataset):
            raise AssertionError("the lock was given twice")
        with start(dataset, "other"):
            assert sorted(jobs.running_jobs(dataset)) == ["elfs", "other"]
        assert jobs.read_job(dataset, "elfs")["state"] == "running"


def test_of_jobs_started_at_once_exactly_one_runs(dataset):
    workers = 4
    together, tried, outcomes = threading.Barrier(workers), threading.Barrier(workers), []

    def work():
        together.wait(timeout=30)
        try:
            with start(dataset):
                outcomes.append("ran")
                tried.wait(timeout=30)
        except Busy:
            outcomes.append("busy")
            tried.wait(timeout=30)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["busy"] * (workers - 1) + ["ran"]


def test_the_lock_of_a_dead_process_is_taken_over(dataset, dead_pid):
    jobs.store(dataset).set("lock_elfs", lock_of(dead_pid))
    with start(dataset):
        assert jobs.store(dataset).get("lock_elfs")["pid"] == os.getpid()
    assert not jobs.store(dataset).has("lock_elfs")


def test_a_lock_without_a_heartbeat_is_taken_over(dataset):
    old = time.time() - jobs.STALE_SECONDS - 1
    jobs.store(dataset).set("lock_elfs", lock_of(os.getpid(), heartbeat=old))
    with start(dataset):
        assert jobs.store(dataset).get("lock_elfs")["owner"] != "another"


def test_a_lock_of_another_machine_is_judged_by_its_heartbeat_alone(dataset, dead_pid):
    states = jobs.store(dataset)
    states.set("lock_elfs", lock_of(dead_pid, host="elsewhere"))
    with pytest.raises(Busy, match="Another job is already running"), start(dataset):
        raise AssertionError("a lock in use was taken over")
    assert states.get("lock_elfs")["owner"] == "another"
    states.set("lock_elfs", lock_of(dead_pid, host="elsewhere", heartbeat=time.time() - jobs.STALE_SECONDS - 1))
    with start(dataset):
        assert states.get("lock_elfs")["owner"] != "another"


def test_a_lock_that_was_taken_over_is_not_released_by_its_old_owner(dataset):
    with start(dataset):
        jobs.store(dataset).set("lock_elfs", lock_of(os.getpid()))
    assert jobs.store(dataset).get("lock_elfs")["owner"] == "another"


def test_the_heartbeat_keeps_a_lock_alive(dataset, monkeypatch):
    monkeypatch.setattr(jobs, "HEARTBEAT_SECONDS", 0.01)
    with start(dataset):
        first = jobs.store(dataset).get("lock_elfs")["heartbeat"]
        deadline = time.monotonic() + 30
        while jobs.store(dataset).get("lock_elfs")["heartbeat"] == first and time.monotonic() < deadline:
            time.sleep(0.01)
        assert jobs.store(dataset).get("lock_elfs")["heartbeat"] > first
    assert not jobs.store(dataset).has("lock_elfs")


def test_a_job_is_cancelled_at_its_next_report(dataset):
    assert not jobs.request_cancel(dataset, "elfs")
    with pytest.raises(Cancelled), start(dataset) as reporter:
        reporter.stage("first")
        assert jobs.request_cancel(dataset, "elfs")
        reporter.stage("second")
    state = jobs.read_job(dataset, "elfs")
    assert (state["state"], state["stage"]) == ("cancelled", "first")
    assert "resumes" in state["message"]
    with start(dataset) as reporter:  # the old request does not cancel the next job
        reporter.stage("first")
    assert jobs.read_job(dataset, "elfs")["state"] == "completed"


def test_a_finished_job_cannot_be_cancelled(dataset):
    with start(dataset):
        pass
    assert not jobs.request_cancel(dataset, "elfs")
    assert not jobs.store(dataset).has("cancel_elfs")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("odd"), "RuntimeError: odd"),
        (MemoryError(), "Out of memory"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "The disk is full (/data)"),
        (ServerSelectionTimeoutError("localhost:27017"), "The connection to MongoDB was lost"),
        (InvalidInput("too small", "budget"), "too small"),
    ],
)
def test_a_failure_is_recorded_and_leaves_as_a_sentence(dataset, error, words):
    with pytest.raises(ElfsError) as caught, start(dataset):
        raise error
    assert words in str(caught.value)
    state = jobs.read_job(dataset, "elfs")
    assert state["state"] == "failed"
    assert state["message"] == str(caught.value)
    assert not jobs.store(dataset).has("lock_elfs")


def test_the_cause_of_a_failure_is_kept(dataset):
    cause = RuntimeError("odd")
    with pytest.raises(ElfsError) as caught, start(dataset):
        raise cause
    assert caught.value.__cause__ is cause


def test_a_process_that_is_stopped_leaves_a_cancelled_job(dataset):
    with pytest.raises(KeyboardInterrupt), start(dataset):
        raise KeyboardInterrupt
    state = jobs.read_job(dataset, "elfs")
    assert (state["state"], state["message"]) == ("cancelled", "The job was interrupted.")
    assert not jobs.store(dataset).has("lock_elfs")


@pytest.mark.parametrize("lock", ["none", "dead", "silent"])
def test_a_job_that_died_without_a_word_reads_as_interrupted(dataset, dead_pid, lock):
    states = jobs.store(dataset)
    states.set("job_elfs", {"key": "elfs", "operation": "Testing", "state": "running", "message": ""})
    if lock != "none":
        old = time.time() - jobs.STALE_SECONDS - 1
        states.set("lock_elfs", lock_of(dead_pid) if lock == "dead" else lock_of(os.getpid(), heartbeat=old))
    state = jobs.read_job(dataset, "elfs")
    assert state["state"] == "interrupted"
    assert "Run it again" in state["message"]
    assert jobs.running_jobs(dataset) == []
    with start(dataset):
        pass
    assert jobs.read_job(dataset, "elfs")["state"] == "completed"


def test_the_real_error_survives_a_database_that_is_gone(dataset, monkeypatch):
    def gone(*args, **kwargs):
        raise ServerSelectionTimeoutError("localhost:27017")

    with pytest.raises(ElfsError, match="connection to MongoDB was lost"), start(dataset):
        monkeypatch.setattr("fiftyone.operators.store.ExecutionStore.set", gone)
        monkeypatch.setattr("fiftyone.operators.store.ExecutionStore.delete", gone)
        gone()
    monkeypatch.undo()
    assert jobs.store(dataset).get("job_elfs")["state"] == "running"
    assert jobs.store(dataset).has("lock_elfs")


def test_forget_removes_what_a_job_left(dataset):
    with start(dataset):
        pass
    jobs.store(dataset).set("cancel_elfs", True)
    jobs.forget(dataset, "elfs")
    assert jobs.store(dataset).list_keys() == []
