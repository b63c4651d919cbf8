"""A run at hand: what a dataset holds under a run key, each part read when it is first asked for, and then once.

Whoever shows or analyses a run makes one of these and hands it on, so that all speak of the same state. A job makes it
anew once it has the lock (:mod:`.run_job`): another process may have changed the run since the form was opened.
"""

from functools import cached_property

from . import changes, graph, jobs, record
from .folder import run_folder


class Run:
    """The run ``key`` of a dataset.

    Attributes:
        record: the :class:`~.record.RunRecord`, or None where there is no such run
        job: the last job on it, see :func:`~.jobs.read_job`
        results: its large results (dict), see :func:`~.record.results_of`
        graph: its neighbours, a :class:`~.graph.KeptGraph`, or None
        changes: :class:`~.changes.Changes` of the dataset since; of a run with scores
        folder: where its files are, which need not exist
    """

    def __init__(self, dataset, key, known_record=None):
        self.dataset, self.key = dataset, key
        if known_record is not None:
            self.record = known_record

    @classmethod
    def all_of(cls, dataset):
        """{key: run} of a dataset, read at once."""
        found = {}
        for key, document in record.run_documents(dataset).items():
            found[key] = cls(dataset, key)
            found[key]._document = document
        return found

    @cached_property
    def _document(self):
        return record.run_document(self.dataset, self.key)

    @cached_property
    def record(self):
        return record.record_of(self._document, self.key)

    @cached_property
    def job(self):
        return jobs.read_job(self.dataset, self.key)

    @cached_property
    def results(self):
        return record.results_of(self._document)

    @cached_property
    def graph(self):
        return None if self.record is None else graph.load(self.folder, self.record.graph)

    @cached_property
    def changes(self):
        return changes.count_changes(self.dataset, self.record)

    @property
    def folder(self):
        return run_folder(self.dataset, self.key)

    @property
    def stages(self):
        """The finished stages of the record; of no run none."""
        return {} if self.record is None else self.record.stages

    def require(self, stage, needed_by):
        """The run itself, in which ``stage`` (None: any) is finished.

        Raises:
            InvalidInput: naming the operator to run first
        """
        record.check_ready(self.dataset, self.key, self.record, stage, needed_by)
        return self

    def refresh(self):
        """Forgets what was read: it is read again when it is asked for."""
        for name in ("_document", "record", "job", "results", "graph", "changes"):
            self.__dict__.pop(name, None)
