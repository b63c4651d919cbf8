import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fiftyone as fo
import pytest
from pymongo.errors import ServerSelectionTimeoutError

from elfs_plugin import owner
from elfs_plugin.errors import Busy, Cancelled, ElfsError, InvalidInput, TakenOver
from elfs_plugin.runs import jobs

REPOSITORY = Path(__file__).resolve().parents[3]
STAGES = {"first": 1, "second": 3}


def start(dataset, key="elfs", **options):
    return jobs.job(dataset, key, "Testing", STAGES, **options)


def age_lock(dataset, name="lock_elfs"):
    """As if its owner had slept: its last heartbeat is too old."""
    states = jobs.store(dataset)
    states.set(name, {**states.get(name), "heartbeat": time.time() - jobs.STALE_SECONDS - 1})


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


@pytest.fixture
def asleep(dataset):
    """A job that has lost its lock and does not know it: ``enter`` another one, then let it go on."""
    before = start(dataset)
    reporter = before.__enter__()
    age_lock(dataset)
    return before, reporter


@pytest.fixture
def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def lock_of(pid, heartbeat=None, **changes):
    """The lock of a process of this machine, or of another one by ``changes``."""
    return {
        "owner": "another",
        "operation": "Another job",
        **owner.this_process(),
        "pid": pid,
        "heartbeat": time.time() if heartbeat is None else heartbeat,
        **changes,
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
    with pytest.raises(TakenOver, match="taken over the run 'elfs'"), start(dataset):
        jobs.store(dataset).set("lock_elfs", lock_of(os.getpid()))
    assert jobs.store(dataset).get("lock_elfs")["owner"] == "another"


@pytest.mark.parametrize(
    "ending", [None, Cancelled(), KeyboardInterrupt(), RuntimeError("odd"), InvalidInput("odd", "budget")]
)
def test_a_job_that_was_taken_over_touches_nothing_of_the_next(dataset, asleep, ending):
    before, _ = asleep
    with start(dataset):
        assert jobs.request_cancel(dataset, "elfs")
        states = jobs.store(dataset)
        kept = {name: states.get(name) for name in ("job_elfs", "lock_elfs", "cancel_elfs")}
        told = type(ending) if isinstance(ending, (Cancelled, KeyboardInterrupt)) else TakenOver
        with pytest.raises(told):
            if not before.__exit__(ending and type(ending), ending, None) and ending:
                raise ending
        assert {name: states.get(name) for name in kept} == kept
        assert None not in kept.values()
    assert jobs.read_job(dataset, "elfs")["state"] == "completed"


def test_a_job_that_was_taken_over_is_told_when_it_asks_and_when_it_reports(dataset, asleep, monkeypatch):
    before, reporter = asleep
    monkeypatch.setattr(jobs, "VERIFY_SECONDS", 0)
    with start(dataset) as other:
        other.stage("first")
        for write in (reporter.verify, lambda: reporter.stage("first")):
            with pytest.raises(TakenOver, match="taken over the run 'elfs'.*wrote nothing more. Look at the run"):
                write()
        other.verify()
        assert jobs.read_job(dataset, "elfs")["stage"] == "first"
    with pytest.raises(TakenOver):  # the other one has ended and left no lock
        before.__exit__(None, None, None)
    assert jobs.read_job(dataset, "elfs")["state"] == "completed"
    assert jobs.store(dataset).list_keys() == ["job_elfs"]


def test_a_report_looks_at_the_lock_now_and_then(dataset, monkeypatch):
    looks = []
    monkeypatch.setattr(jobs.Lock, "verify", lambda self: looks.append(time.monotonic()))
    with start(dataset) as reporter:
        looks.clear()
        for _ in range(20):
            reporter.stage("first")
        assert not looks or looks[-1] - looks[0] >= (len(looks) - 1) * jobs.VERIFY_SECONDS
        monkeypatch.setattr(jobs, "VERIFY_SECONDS", 0)
        before = len(looks)
        reporter.stage("second")
        assert len(looks) == before + 1


def test_the_heartbeat_notices_that_the_lock_is_lost(dataset, monkeypatch):
    monkeypatch.setattr(jobs, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(jobs, "VERIFY_SECONDS", 1000)
    lock = jobs.Lock(jobs.store(dataset), "elfs")
    lock.acquire("Testing")
    jobs.store(dataset).set("lock_elfs", lock_of(os.getpid()))
    wait_until(lambda: lock.lost)
    jobs.store(dataset).delete("lock_elfs")
    with pytest.raises(TakenOver):
        lock.verify()
    with pytest.raises(TakenOver), start(dataset) as reporter:
        jobs.store(dataset).set("lock_elfs", lock_of(os.getpid()))
        wait_until(reporter._is_lost)
        with pytest.raises(TakenOver):
            reporter.stage("first")


def test_a_heartbeat_whose_confirmation_was_lost_is_followed_by_others(dataset, monkeypatch):
    monkeypatch.setattr(jobs, "HEARTBEAT_SECONDS", 0.01)
    with start(dataset) as reporter:
        age_lock(dataset)
        wait_until(lambda: not jobs.is_stale(jobs.store(dataset).get("lock_elfs")))
        reporter.verify()


def test_a_clock_that_jumps_makes_no_lock_stale(dataset, monkeypatch):
    real = time.time
    lock = jobs.Lock(jobs.store(dataset), "elfs")
    lock.acquire("Testing")
    for seconds in (3600, -3600):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: real() + seconds)
        assert not jobs.is_stale(jobs.store(dataset).get("lock_elfs"))
        other = jobs.Lock(jobs.store(dataset), "other")
        other.acquire("Testing")
        monkeypatch.undo()
        assert not jobs.is_stale(jobs.store(dataset).get("lock_other"))
        other.release()
    lock.release()


def test_a_heartbeat_of_the_future_is_of_a_clock_that_was_set_back():
    assert jobs.is_stale(lock_of(os.getpid(), heartbeat=time.time() + jobs.STALE_SECONDS + 60))
    assert not jobs.is_stale(lock_of(os.getpid(), heartbeat=time.time() + jobs.STALE_SECONDS / 2))


def test_a_lock_of_an_earlier_version_is_judged_by_its_heartbeat(dataset, dead_pid):
    lock = lock_of(dead_pid)
    for name in ("started", "boot", "namespace"):
        del lock[name]
    states = jobs.store(dataset)
    states.set("lock_elfs", lock)
    states.set("job_elfs", {"key": "elfs", "operation": "Testing", "state": "running", "message": ""})
    assert jobs.read_job(dataset, "elfs")["state"] == "running"
    with pytest.raises(Busy), start(dataset):
        raise AssertionError("a lock in use was taken over")
    age_lock(dataset)
    assert jobs.read_job(dataset, "elfs")["state"] == "interrupted"
    with start(dataset):
        assert states.get("lock_elfs")["owner"] != "another"


@pytest.mark.parametrize("changes", [{"namespace": "pid:[1]"}, {"boot": "another"}])
def test_a_live_job_of_another_container_is_not_taken_for_dead(dataset, dead_pid, changes):
    jobs.store(dataset).set("lock_elfs", lock_of(dead_pid, **changes))
    with pytest.raises(Busy), start(dataset):
        raise AssertionError("a lock in use was taken over")


def test_the_lock_of_a_process_whose_id_was_given_again_is_taken_over(dataset):
    jobs.store(dataset).set("lock_elfs", lock_of(os.getpid(), started=1))
    with start(dataset):
        assert jobs.store(dataset).get("lock_elfs")["owner"] != "another"


def test_the_job_of_a_lock_that_another_one_holds_is_over(dataset):
    with start(dataset):
        jobs.store(dataset).set("kept", jobs.store(dataset).get("job_elfs"))
    jobs.store(dataset).set("job_elfs", jobs.store(dataset).get("kept"))
    lock = jobs.Lock(jobs.store(dataset), "elfs")
    lock.acquire("Deleting the run")
    assert jobs.read_job(dataset, "elfs")["state"] == "interrupted"
    assert not jobs.request_cancel(dataset, "elfs")
    lock.release()


def test_a_dataset_that_is_deleted_ends_the_job_and_nothing_of_it_is_left(new_dataset):
    dataset = new_dataset(2)
    states = jobs.store(dataset)
    with pytest.raises(ElfsError, match="The dataset was deleted") as caught, start(dataset) as reporter:
        reporter.stage("first")
        dataset.delete()
        reporter.verify()
    assert not isinstance(caught.value, TakenOver)
    assert states.list_keys() == []


CHILD = """
import sys
import fiftyone as fo
from elfs_plugin.runs import jobs

def say(text):
    print(text, flush=True)
    return sys.stdin.readline()

dataset = fo.load_dataset(sys.argv[1])
try:
    with jobs.job(dataset, "elfs", "Sleeping", {"first": 1, "second": 3}) as reporter:
        reporter.stage("first")
        say("at work")
        while True:
            reporter.stage("second")
except Exception as error:
    print(type(error).__name__, error, flush=True)
with jobs.changing(dataset), jobs.job(dataset, "killed", "Dying", {"first": 1}):
    say("at work again")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows cannot stop a process")
def test_a_process_that_slept_is_told_and_one_that_was_killed_is_replaced_at_once(dataset):
    dataset.persistent = True
    environment = {**os.environ, "FIFTYONE_DATABASE_NAME": fo.config.database_name}
    command = [sys.executable, "-c", CHILD, dataset.name]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=REPOSITORY, text=True
    )
    try:
        assert child.stdout.readline() == "at work\n"
        child.send_signal(signal.SIGSTOP)
        with pytest.raises(Busy, match="Sleeping is already running"), start(dataset):
            raise AssertionError("a stopped process was taken for dead at once")
        age_lock(dataset)
        with start(dataset) as reporter:
            child.stdin.write("go on\n")
            child.stdin.flush()
            child.send_signal(signal.SIGCONT)
            assert child.stdout.readline().startswith("TakenOver Another job has taken over the run 'elfs'")
            reporter.verify()
            assert jobs.read_job(dataset, "elfs")["operation"] == "Testing"
        assert jobs.read_job(dataset, "elfs")["state"] == "completed"

        assert child.stdout.readline() == "at work again\n"
        assert jobs.read_job(dataset, "killed")["state"] == "running"
        child.kill()  # nobody waits for it yet: it is a zombie
        wait_until(lambda: jobs.read_job(dataset, "killed")["state"] == "interrupted")
        assert child.returncode is None
        began = time.monotonic()
        with jobs.changing(dataset), start(dataset, "killed"):
            pass
        assert time.monotonic() - began < 30
        assert sorted(jobs.store(dataset).list_keys()) == ["job_elfs", "job_killed"]
    finally:
        child.kill()
        child.communicate()


def test_a_change_leaves_no_trace_and_may_be_nested(dataset):
    with jobs.changing(dataset) as lock:
        with jobs.changing(dataset) as same:
            assert same is lock
        assert jobs.store(dataset).list_keys() == ["changing"]
        assert jobs.running_jobs(dataset) == []
        lock.verify()
    with pytest.raises(RuntimeError), jobs.changing(dataset), jobs.changing(dataset):
        raise RuntimeError
    with jobs.changing(dataset), start(dataset, "changing"):  # a run key like any other
        assert jobs.running_jobs(dataset) == ["changing"]
    assert jobs.store(dataset).list_keys() == ["job_changing"]


def test_changes_of_threads_and_of_others_come_one_after_the_other(dataset):
    inside, most, done = [], [], []

    def work(changing):
        for _ in range(5):
            with changing():
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.002)
                inside.pop()
                done.append(1)

    @contextlib.contextmanager
    def elsewhere():  # as another process does it, which knows nothing of the threads here
        lock = jobs._ChangingLock(jobs.store(dataset))
        jobs._wait(lock, time.monotonic() + 60)
        yield
        lock.release()

    threads = [threading.Thread(target=work, args=[lambda: jobs.changing(dataset)]) for _ in range(3)]
    threads += [threading.Thread(target=work, args=[elsewhere]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (max(most), len(done)) == (1, 25)
    assert jobs.store(dataset).list_keys() == []


def test_a_change_that_takes_too_long_is_named_and_one_of_a_dead_process_is_not_waited_for(
    dataset, dead_pid, monkeypatch
):
    monkeypatch.setattr(jobs, "WAIT_SECONDS", 0.05)
    states = jobs.store(dataset)
    states.set("changing", lock_of(os.getpid()))
    with pytest.raises(Busy, match=rf"process {os.getpid()}\) has been changing .* start again"):
        jobs.changing(dataset).__enter__()
    assert states.get("changing")["owner"] == "another"
    states.set("changing", lock_of(dead_pid))
    with jobs.changing(dataset):
        caught = []

        def other():
            try:
                with jobs.changing(dataset):
                    raise AssertionError("two at once")
            except Busy as error:
                caught.append(str(error))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert len(caught) == 1 and "has been changing" in caught[0]
    assert states.list_keys() == []


def test_a_change_that_slept_is_told(dataset):
    with pytest.raises(TakenOver, match="changed the fields"), jobs.changing(dataset) as lock:
        jobs.store(dataset).set("changing", lock_of(os.getpid()))
        lock.verify()
    assert jobs.store(dataset).get("changing")["owner"] == "another"


def test_the_heartbeat_keeps_a_lock_alive(dataset, monkeypatch):
    monkeypatch.setattr(jobs, "HEARTBEAT_SECONDS", 0.01)
    with start(dataset):
        first = jobs.store(dataset).get("lock_elfs")["heartbeat"]
        wait_until(lambda: jobs.store(dataset).get("lock_elfs")["heartbeat"] > first)
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


@pytest.mark.parametrize("request_of", [True, "an earlier job"])
def test_a_request_from_before_cancels_nothing(dataset, request_of):
    jobs.store(dataset).set("cancel_elfs", request_of)
    with start(dataset) as reporter:
        reporter.stage("first")
        if request_of is not True:  # it was asked for just when this job took over
            jobs.store(dataset).set("cancel_elfs", request_of)
        reporter.stage("second")
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


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_process_that_is_stopped_leaves_a_cancelled_job(dataset, stop):
    with pytest.raises(stop), start(dataset):
        raise stop
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
        monkeypatch.setattr("fiftyone.operators.store.ExecutionStore.compare_and_set", gone)
        monkeypatch.setattr(jobs, "_remove", gone)
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


def test_forget_removes_the_lock_of_a_job_that_died_before_its_record(dataset, dead_pid):
    states = jobs.store(dataset)
    for lock in (lock_of(dead_pid), lock_of(1, host="elsewhere", heartbeat=time.time() - jobs.STALE_SECONDS - 1)):
        states.set("job_elfs", {"key": "elfs", "operation": "Testing", "state": "running", "message": ""})
        states.set("lock_elfs", lock)
        jobs.forget(dataset, "elfs")
        assert states.list_keys() == []
    states.set("lock_elfs", lock_of(os.getpid()))
    jobs.forget(dataset, "elfs")
    assert states.list_keys() == ["lock_elfs"]
