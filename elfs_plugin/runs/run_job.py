"""The life of every job on a run: its lock, the run as it is under the lock, its progress, what it will write."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

from pymongo.errors import PyMongoError

from ..contracts import Sink
from ..engine.choose import using
from ..errors import InvalidInput
from . import folder, graph, jobs, journal, kept_choices, own, record, vectors
from .fiftyone_types import Collection
from .record import RunRecord
from .repair import settle
from .run import Run

Job = TypeVar("Job", bound="RunJob")


class RunJob:
    """A job on the run ``key`` of a collection's dataset (a context manager).

    Before it is entered names are checked and nothing is locked. Inside nothing of the run changes until
    :meth:`publish` writes the draft, all of it or nothing.

    Attributes:
        dataset: the dataset as an object that only this job uses, see :mod:`.own`
        run: the :class:`~.run.Run` as it is under the lock; one that is not there yet has an empty record
        reporter: a :class:`~.jobs.JobReporter`
        draft: a :class:`~.journal.Draft` of what is to be written

    Args:
        operation: what the user is told that it does
        stages: shown name -> share of the work
        kind: what others know the job by, see :func:`~.jobs.job`
        needs: a stage that the run must have finished (None: it need not even be there)

    Raises:
        InvalidInput: when no dataset is open, or the run cannot take the job
        NameTaken: when the key is somebody else's
        Busy: on entering, when another job is at work on the run
    """

    def __init__(
        self,
        collection: Collection,
        key: str,
        operation: str,
        stages: Mapping[str, float],
        sinks: Iterable[Sink] = (),
        *,
        kind: str | None = None,
        needs: str | None = None,
    ) -> None:
        if collection is None:
            raise InvalidInput("No dataset is open. Open one in the App, or pass one.")
        self.key = key
        self.shared = collection._dataset
        self.dataset = own.own_dataset(self.shared)
        self._needs, self._operation = needs, operation
        self._take(record.check_key(self.dataset, key))
        self._job = jobs.job(self.dataset, key, operation, stages, sinks, kind)
        self.draft = journal.Draft()

    @property
    def record(self) -> RunRecord:
        """The run's record, which a job changes as it goes; it is written when the job publishes."""
        return self.run.record

    def _take(self, found):
        """Takes the record (or None) for the run's."""
        if self._needs:
            record.check_ready(self.dataset, self.key, found, self._needs, self._operation.lower())
        self.run = Run(self.dataset, self.key, found or record.RunRecord(self.key))

    def __enter__(self: Job) -> Job:
        with ExitStack() as begun:
            self.reporter = begun.enter_context(self._job)  # it ends, and gives its lock back, whatever fails below
            begun.push(self._ended)
            begun.enter_context(using())  # nothing that a job has started outlives its lock
            folder.prepare(self.dataset, self.key)
            # What an earlier job had decided is finished first, and what it had only begun goes.
            # Another process may also have worked on this run between the form and the lock.
            found = settle(self.dataset, self.key, self.reporter.verify)
            if found is None:  # somebody else may have registered a run of another kind under the key
                found = record.check_key(self.dataset, self.key)
            record.check_format(found)
            record.check_group_field(self.dataset, self.key, found)
            self._take(found)
            if self._needs:
                record.check_there(self.dataset, self.key, self._needs)
            self.begin()
            self._begun = begun.pop_all()
        return self

    def begin(self) -> None:
        """What a kind of job does first, under the lock."""

    def __exit__(self, *error: Any) -> bool | None:
        return self._begun.__exit__(*error)

    def _ended(self, *error):
        """What is left to do under the lock, with or without an error."""
        with suppress(PyMongoError):  # also what was finished before an error is to be seen
            own.refresh(self.shared)
        if error[0] is not None:
            return
        if "scores" in self.run.stages:
            with suppress(PyMongoError):  # kept for whoever opens the panel next, and not needed
                _ = self.run.changes
        self.reporter.done()

    def publish(self, progress: Callable[[float], None] = lambda fraction: None) -> None:
        """Writes what has been made since the last time, all of it or nothing."""
        if self.draft.is_empty:
            return
        written = journal.publish(self.dataset, self.record, self.draft, self.reporter.verify, progress)
        self.run = Run(self.dataset, self.key, written)
        self.draft = journal.Draft()
        graph.remove_others(self.run.folder, written.graph)
        vectors.remove_others(self.run.folder, written.vectors)
        kept_choices.remove_others(self.run.folder, (saved.get("choice") for saved in written.saved.values()))
