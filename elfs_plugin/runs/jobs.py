"""A job on a dataset: its lock, its progress in FiftyOne's execution store, its cancel flag.

A job that slept may have been taken for dead, and another one may work in its place. So whoever writes asks first
(:meth:`JobReporter.verify`), and what a job leaves in the store is replaced or removed only where it is still its own.

FiftyOne's ``TransientJobCoordinator`` is not used: it serves queues of jobs that are claimed once and kept for a day.
A job of it that has ended cannot be claimed again under its key, a dead worker is noticed only when its lease of
minutes is over, and a lease that ran out while the machine slept ends a job that nobody else wants.
"""

import contextlib
import datetime
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import fiftyone.core.odm as foo
import fiftyone.operators.store as foos
from fiftyone.factory.repos.execution_store import MongoExecutionStoreRepo
from pymongo.errors import PyMongoError

from .. import owner
from ..contracts import Sink, Verify
from ..errors import Busy, Cancelled, ElfsError, TakenOver, explain
from ..progress import Reporter
from .fiftyone_types import Dataset

STORE = "elfs"
HEARTBEAT_SECONDS = 10
STALE_SECONDS = 120
"""A lock without a heartbeat for this long belonged to a job that died."""

VERIFY_SECONDS = 1.0
"""A job that reports asks this often whether it is still the owner of its run."""

WAIT_SECONDS = 180
"""How long :func:`changing` waits for others: longer than it takes to see that one has died."""

_GONE = (
    "The lock of this job is gone from MongoDB: the database was restarted or restored, or the run was deleted "
    "meanwhile. Nothing more was written. Look at the run; if it is there, start again: what was finished is kept."
)

_CHANGING = "changing"
"""The key of the lock of :func:`changing`: without the ``lock_`` of a run's, so that no run key can meet it."""


def store(dataset: Dataset) -> Any:
    return foos.ExecutionStore.create(STORE, dataset_id=dataset._doc.id)


class JobReporter(Reporter):
    """The :class:`~..progress.Reporter` of a job, which also knows whether the job still owns its run.

    It asks by itself when it reports; whoever is about to write calls :meth:`verify`.
    """

    def __init__(
        self,
        stages: Mapping[str, float],
        sinks: Iterable[Sink],
        verify: Verify,
        is_lost: Callable[[], bool],
        is_cancelled: Callable[[], bool],
    ) -> None:
        super().__init__(stages, sinks, is_cancelled=self._check)
        self._verify, self._is_lost, self._is_asked_to_stop = verify, is_lost, is_cancelled
        self._verified = time.monotonic()

    def verify(self) -> None:
        """Looks into the store whether this job still owns its run.

        Raises:
            TakenOver: when another job has taken the run over
        """
        self._verify()
        self._verified = time.monotonic()

    def _check(self):
        if self._is_lost() or time.monotonic() - self._verified >= VERIFY_SECONDS:
            self.verify()
        return self._is_asked_to_stop()


@contextlib.contextmanager
def job(
    dataset: Dataset,
    key: str,
    operation: str,
    stages: Mapping[str, float],
    sinks: Iterable[Sink] = (),
    kind: str | None = None,
    keep_success: bool = True,
) -> Iterator[JobReporter]:
    """Runs a job under the lock of (dataset, key) and yields its :class:`JobReporter`.

    The outcome is left in the store for the panel. Errors leave as :class:`ElfsError` with a message for the user.

    Args:
        operation: what the job does, in words for the user
        kind: what others know the job by, whatever its words are, for example ``"beta"``
        keep_success: whether a job that was completed without a warning leaves its state in the store

    Raises:
        Busy: when another job with this key is at work on the dataset
        TakenOver: when another job took this one for dead and works in its place; nothing of that job's is touched
    """
    states = store(dataset)
    lock = Lock(states, key)
    flag = f"cancel_{key}"
    state = _State(states, key, operation, kind, lock, flag)

    def verify():
        try:
            lock.verify()
        except TakenOver:
            if _is_deleted(dataset):
                raise ElfsError("The dataset was deleted while the job was at work, and the run with it.") from None
            raise

    try:
        lock.acquire(operation)
        try:
            lock.verify()
            states.delete(flag)  # an old request
            state.begin()
            reporter = JobReporter(
                stages,
                [state.show, *sinks],
                verify,
                is_lost=lambda: lock.lost,
                is_cancelled=lambda: states.get(flag) in (True, lock.owner),
            )
            yield reporter
            with contextlib.suppress(PyMongoError):  # all is written, and the database had confirmed it
                verify()
            state.finish(state="completed", overall=1.0, message=" ".join(reporter.warnings))
            if not (keep_success or reporter.warnings):
                state.forget()
        except TakenOver:
            raise
        except Cancelled as error:
            state.finish(state="cancelled", message=str(error))
            raise
        except Exception as error:  # whatever ended the job is recorded for the panel, then raised again
            if not isinstance(error, PyMongoError):  # a database that is gone would only be waited for once more
                with contextlib.suppress(PyMongoError):
                    verify()  # what it misses may be gone because another job has the run now
            message = explain(error)
            state.finish(state="failed", message=message)
            if isinstance(error, ElfsError):
                raise
            raise ElfsError(message) from error
        except BaseException:  # the process is being stopped; what was finished stays
            state.finish(state="cancelled", message="The job was interrupted.")
            raise
    finally:
        lock.release()


class _State:
    """What the panel is told about a job. It never replaces what a later job with the key has said."""

    def __init__(self, states, key, operation, kind, lock, flag):
        self._states, self._name, self._lock, self._flag = states, f"job_{key}", lock, flag
        self._value = {
            "key": key,
            "operation": operation,
            "kind": kind,
            "state": "running",
            "started": time.time(),
            "message": "",
            "owner": lock.owner,
            "overall": 0.0,
            "label": operation,
            "updated": time.time(),
        }

    def begin(self):
        self._states.set(self._name, dict(self._value))

    def show(self, event):
        with contextlib.suppress(TakenOver):  # the next report ends the job
            self._publish(
                stage=event.stage,
                step=event.step,
                steps=event.steps,
                overall=event.overall,
                detail=event.detail,
                label=event.label,
            )

    def finish(self, **changes):
        # When MongoDB itself is gone the outcome cannot be written; the stale lock tells the panel instead.
        with contextlib.suppress(Exception):
            self._publish(**changes)
            if self._states.get(self._flag) in (True, self._lock.owner):
                self._states.delete(self._flag)

    def forget(self):
        with contextlib.suppress(PyMongoError):
            _remove(self._name, self._lock.owner)

    def _publish(self, **changes):
        value = {**self._value, **changes, "updated": time.time()}
        if not self._states.compare_and_set(self._name, self._value, value):
            self._lock.verify()
            self._states.set(self._name, value)
        self._value = value


class Lock:
    """A lock in the execution store: one owner, kept alive by a heartbeat, taken over when its owner died.

    Attributes:
        owner: a token that no other lock has
        lost: whether it is known that another owner has taken the lock over
    """

    def __init__(self, states: Any, key: str) -> None:
        self.owner = uuid.uuid4().hex
        self.lost = self._is_gone = False
        self._states = states
        self._name = f"lock_{key}"
        self._key = key
        self._value: dict[str, Any] | None = None
        self._stop = threading.Event()

    def acquire(self, operation: str) -> None:
        """Takes the lock.

        Raises:
            Busy: when another owner has it
        """
        value = {"owner": self.owner, "operation": operation, **owner.this_process(), "heartbeat": _now()}
        if not self._states.set_if_absent(self._name, value):
            held = self._states.get(self._name)
            taken_over = held is None or (is_stale(held) and self._states.compare_and_set(self._name, held, value))
            if held is None:
                taken_over = self._states.set_if_absent(self._name, value)
            if not taken_over:
                raise Busy(self._busy(held or {}))
        self._value = value
        threading.Thread(target=self._beat, daemon=True, name="elfs-heartbeat").start()

    def verify(self) -> None:
        """Looks into the store whether the lock is still this one's.

        Raises:
            TakenOver: when it is not
        """
        if not self.lost:
            held = self._states.get(self._name)
            self.lost, self._is_gone = held is None or held["owner"] != self.owner, held is None
        if self.lost:
            raise TakenOver(_GONE if self._is_gone else self._taken_over())

    def release(self) -> None:
        """Gives the lock back, unless it is another's by now."""
        self._stop.set()
        with contextlib.suppress(Exception):
            _remove(self._name, self.owner)

    def _beat(self):
        while not self._stop.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(Exception):
                beat = {**self._value, "heartbeat": _now()}
                if self._stop.is_set():
                    return
                if self._states.compare_and_set(self._name, self._value, beat):
                    self._value = beat
                    continue
                held = self._states.get(self._name)
                if held is None or held["owner"] != self.owner:
                    self.lost = True
                    return
                self._value = held  # an earlier beat had arrived, its confirmation had not

    def _busy(self, held):
        return (
            f"{held.get('operation', 'another job')} is already running with the run key '{self._key}' on this "
            "dataset. Wait for it, cancel it in the ELFS Coreset panel, or use another run key."
        )

    def _taken_over(self):
        return (
            f"Another job has taken over the run '{self._key}' while this one slept or could not reach the database. "
            "This one wrote nothing more. Look at the run before you start again."
        )


class _ChangingLock(Lock):
    """The lock of :func:`changing`."""

    def __init__(self, states):
        super().__init__(states, None)
        self._name = _CHANGING

    def _busy(self, held):
        where = f" on {held['host']} (process {held['pid']})" if held else ""
        return (
            f"Another job{where} has been changing the fields, views or runs of this dataset for more than "
            f"{WAIT_SECONDS:.0f} seconds. Wait until it is done, or end it, and start again: what was finished is kept."
        )

    def _taken_over(self):
        return (
            "Another job has changed the fields, views or runs of this dataset while this one slept or could not "
            "reach the database. This one wrote nothing more. Look at the run before you start again."
        )


class _Turn:
    """Whose turn it is among the threads of this process to change a dataset."""

    def __init__(self):
        self.thread = threading.RLock()
        self.lock = None


_turns: dict[Any, _Turn] = {}


@contextlib.contextmanager
def changing(dataset: Dataset) -> Iterator[Lock]:
    """A short change of the dataset's document (its schema, runs, saved views, workspaces), one at a time.

    FiftyOne writes whole lists back, so of two changes at once one may undo the other. All jobs on the dataset, in
    whatever thread, process or machine, wait here for each other; within one thread it may be nested. Whoever changes
    the document reloads the dataset first, inside. Yields the :class:`Lock`.

    Raises:
        Busy: when others did not come to an end within :data:`WAIT_SECONDS`
    """
    deadline = time.monotonic() + WAIT_SECONDS
    turn = _turns.setdefault(dataset._doc.id, _Turn())
    if not turn.thread.acquire(timeout=WAIT_SECONDS):
        raise Busy(_ChangingLock(None)._busy(owner.this_process()))
    try:
        if turn.lock is not None:
            yield turn.lock
            return
        lock = _ChangingLock(store(dataset))
        try:
            _wait(lock, deadline)
            turn.lock = lock
            yield lock
        finally:
            turn.lock = None
            lock.release()
    finally:
        turn.thread.release()


def _wait(lock, deadline):
    pause = 0.005
    while True:
        try:
            return lock.acquire("Changing the dataset")
        except Busy:
            if time.monotonic() >= deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 0.1)


def is_stale(lock: Mapping[str, Any]) -> bool:
    """Whether the owner of a lock is gone: its process on this machine, or its heartbeat anywhere."""
    if owner.is_dead(lock):
        return True
    silent = _now() - lock["heartbeat"]
    # A beat of the future was made before the database's clock was set back, and none has followed. (Earlier versions
    # wrote their own machine's time, and no boot.)
    return silent > STALE_SECONDS or (silent < -STALE_SECONDS and "boot" in lock)


def _now():
    """The time of the database, in seconds: the one clock that all owners of locks share."""
    found = foo.get_db_conn().command("hello")["localTime"]
    return (found if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)).timestamp()


def _remove(name, token):
    """Removes a lock or the state of a job where ``token`` is still its owner, in one step, which the store itself does
    not offer."""
    locks = foo.get_db_conn()[MongoExecutionStoreRepo.COLLECTION_NAME]
    locks.delete_one({"store_name": STORE, "key": name, "value.owner": token})


def _is_deleted(dataset):
    return foo.get_db_conn().datasets.find_one({"_id": dataset._doc.id}, {"_id": 1}) is None


def read_job(dataset: Dataset, key: str) -> dict[str, Any] | None:
    """The last job with that key as a dict (see :func:`job`), or None.

    ``state`` is ``running``, ``completed``, ``failed``, ``cancelled``, or ``interrupted`` when it died without a word.
    """
    states = store(dataset)
    found = states.get(f"job_{key}")
    if found and found["state"] == "running":
        lock = states.get(f"lock_{key}")
        if lock is None or lock["owner"] != found.get("owner", lock["owner"]) or is_stale(lock):
            again = states.get(f"job_{key}")  # it may have finished between the two reads
            if again and again["state"] == "running":
                message = "The job died. Run it again: it resumes from the last finished stage."
                return {**again, "state": "interrupted", "message": message}
            return again
    return found


def running_jobs(dataset: Dataset) -> list[str]:
    """Keys of the jobs that are running on the dataset."""
    keys = [name[4:] for name in store(dataset).list_keys() if name.startswith("job_")]
    return [key for key in keys if (read_job(dataset, key) or {}).get("state") == "running"]


def request_cancel(dataset: Dataset, key: str) -> bool:
    """Asks the job with that key to stop at its next report. Returns whether one was running."""
    current = read_job(dataset, key)
    if not current or current["state"] != "running":
        return False
    store(dataset).set(f"cancel_{key}", current.get("owner", True))
    return True


def rows_key(kind: str) -> str:
    """The key of the job on a source that makes its rows of a kind."""
    return f"rows_{kind}"


def forget_ended(job: Mapping[str, Any]) -> None:
    """Removes a job of :func:`read_job` that has ended from the store, but not another one with its key."""
    if job["state"] != "running":
        _remove(f"job_{job['key']}", job["owner"])


def forget(dataset: Dataset, key: str) -> None:
    """Removes every trace of jobs with that key from the store (but for a lock in use)."""
    states = store(dataset)
    states.delete(f"job_{key}")
    states.delete(f"cancel_{key}")
    lock = states.get(f"lock_{key}")
    if lock is not None and is_stale(lock):
        _remove(f"lock_{key}", lock["owner"])
