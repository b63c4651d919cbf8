"""A job on a dataset: its lock, its progress in FiftyOne's execution store, its cancel flag."""

import contextlib
import os
import socket
import threading
import time
import uuid

import fiftyone.operators.store as foos

from ..errors import Busy, Cancelled, ElfsError, explain
from ..progress import Reporter

STORE = "elfs"
HEARTBEAT_SECONDS = 10
STALE_SECONDS = 120
"""A lock without a heartbeat for this long belonged to a job that died."""


def store(dataset):
    return foos.ExecutionStore.create(STORE, dataset_id=dataset._doc.id)


@contextlib.contextmanager
def job(dataset, key, operation, stages, sinks=()):
    """Runs a job under the lock of (dataset, key) and yields its :class:`~..progress.Reporter`.

    The outcome is left in the store for the panel. Errors leave as :class:`ElfsError` with a message for the user.

    Raises:
        Busy: when another job with this key is at work on the dataset
    """
    states = store(dataset)
    lock = Lock(states, key)
    lock.acquire(operation)
    state = {"key": key, "operation": operation, "state": "running", "started": time.time(), "message": ""}

    def publish(**changes):
        state.update(changes, updated=time.time())
        states.set(f"job_{key}", dict(state))

    def sink(event):
        publish(stage=event.stage, step=event.step, steps=event.steps, overall=event.overall, detail=event.detail,
                label=event.label)  # fmt: skip

    def finish(**changes):
        # When MongoDB itself is gone the outcome cannot be written; the stale lock tells the panel instead.
        with contextlib.suppress(Exception):
            publish(**changes)

    try:
        states.delete(f"cancel_{key}")
        publish(overall=0.0, label=operation)
        reporter = Reporter(stages, [sink, *sinks], is_cancelled=lambda: bool(states.get(f"cancel_{key}")))
        yield reporter
        finish(state="completed", overall=1.0, message=" ".join(reporter.warnings))
    except Cancelled as error:
        finish(state="cancelled", message=str(error))
        raise
    except Exception as error:  # whatever ended the job is recorded for the panel, then raised again
        message = explain(error)
        finish(state="failed", message=message)
        if isinstance(error, ElfsError):
            raise
        raise ElfsError(message) from error
    except BaseException:  # the process is being stopped; what was finished stays
        finish(state="cancelled", message="The job was interrupted.")
        raise
    finally:
        lock.release()


class Lock:
    """A lock in the execution store: one owner, kept alive by a heartbeat, taken over when its owner died."""

    def __init__(self, states, key):
        self._states = states
        self._name = f"lock_{key}"
        self._key = key
        self._value = None
        self._stop = threading.Event()

    def acquire(self, operation):
        value = {
            "owner": uuid.uuid4().hex,
            "operation": operation,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "heartbeat": time.time(),
        }
        if not self._states.set_if_absent(self._name, value):
            held = self._states.get(self._name)
            taken_over = held is None or (is_stale(held) and self._states.compare_and_set(self._name, held, value))
            if held is None:
                taken_over = self._states.set_if_absent(self._name, value)
            if not taken_over:
                what = (held or {}).get("operation", "another job")
                raise Busy(
                    f"{what} is already running with the run key '{self._key}' on this dataset. Wait for it, cancel it "
                    "in the ELFS Coreset panel, or use another run key."
                )
        self._value = value
        threading.Thread(target=self._beat, daemon=True, name="elfs-heartbeat").start()

    def release(self):
        self._stop.set()
        with contextlib.suppress(Exception):
            held = self._states.get(self._name)
            if held and held["owner"] == self._value["owner"]:
                self._states.delete(self._name)

    def _beat(self):
        while not self._stop.wait(HEARTBEAT_SECONDS):
            beat = {**self._value, "heartbeat": time.time()}
            with contextlib.suppress(Exception):
                if not self._stop.is_set() and self._states.compare_and_set(self._name, self._value, beat):
                    self._value = beat


def is_stale(lock):
    """Whether the owner of a lock is gone: its process on this machine, or its heartbeat anywhere."""
    if time.time() - lock["heartbeat"] > STALE_SECONDS:
        return True
    return lock["host"] == socket.gethostname() and not _alive(lock["pid"])


def _alive(pid):
    import psutil

    return psutil.pid_exists(pid)


def read_job(dataset, key):
    """The last job with that key as a dict (see :func:`job`), or None.

    ``state`` is ``running``, ``completed``, ``failed``, ``cancelled``, or ``interrupted`` when it died without a word.
    """
    states = store(dataset)
    found = states.get(f"job_{key}")
    if found and found["state"] == "running":
        lock = states.get(f"lock_{key}")
        if lock is None or is_stale(lock):
            again = states.get(f"job_{key}")  # it may have finished between the two reads
            if again and again["state"] == "running":
                message = "The job died. Run it again: it resumes from the last finished stage."
                return {**again, "state": "interrupted", "message": message}
            return again
    return found


def running_jobs(dataset):
    """Keys of the jobs that are running on the dataset."""
    keys = [name[4:] for name in store(dataset).list_keys() if name.startswith("job_")]
    return [key for key in keys if (read_job(dataset, key) or {}).get("state") == "running"]


def request_cancel(dataset, key):
    """Asks the job with that key to stop at its next report. Returns whether one was running."""
    current = read_job(dataset, key)
    if not current or current["state"] != "running":
        return False
    store(dataset).set(f"cancel_{key}", True)
    return True


def forget(dataset, key):
    """Removes every trace of jobs with that key from the store (but for a lock in use)."""
    states = store(dataset)
    states.delete(f"job_{key}")
    states.delete(f"cancel_{key}")
