"""The job of an analysis: read the run, work, keep one entry of the run's results. Nothing that selects reads it."""

import time

from .. import __version__
from ..plain import plain
from .arrays import read_pool
from .ranking import ranking_version
from .run_job import RunJob
from .staleness import cut_of

READING = "Reading the run"
WRITING = "Writing the results"


class Analysis(RunJob):
    """See :class:`~.run_job.RunJob`. It has three stages: reading, the work, which is called ``operation``, and
    writing."""

    def __init__(self, dataset, key, operation, sinks, needs="scores"):
        super().__init__(dataset, key, operation, {READING: 1, operation: 10, WRITING: 1}, sinks, needs=needs)
        self._operation, self._progress = operation, None
        self._start = time.time()

    def read(self):
        """The run as a :class:`~.arrays.RunPool`."""
        self.reporter.stage(READING)
        return read_pool(self.run)

    @property
    def progress(self):
        """Called with the fraction of the work that is done."""
        if self._progress is None:
            self._progress = self.reporter.stage(self._operation)
        return self._progress

    def save(self, name, result, settings, of_selection=False):
        """Keeps a result (dict) under a name with its settings, time, and what it was made from, see
        :func:`~.staleness.stale`."""
        self.reporter.stage(WRITING)
        selection = self.run.stages.get("selection") if of_selection else None
        made = {
            "when": time.time(),
            "seconds": round(time.time() - self._start, 3),
            "version": __version__,
            "ranking": ranking_version(self.record),
            "selection": selection and cut_of(selection),
            "settings": settings,
        }
        self.draft.results[name] = plain({**result, "key": self.key, "made": made})
        self.publish()
