"""The job of an analysis: read the run, work, keep one entry of the run's results. Nothing that selects reads it."""

import time
from collections.abc import Iterable
from typing import Any

from .. import __version__
from ..contracts import Progress, Sink
from ..plain import plain
from .arrays import RunPool, read_pool
from .fiftyone_types import Dataset
from .ranking import ranking_version
from .run_job import RunJob
from .staleness import cut_of

READING = "Reading the run"
WRITING = "Writing the results"


class Analysis(RunJob):
    """See :class:`~.run_job.RunJob`. It has three stages: reading, the work, which is called ``operation``, and
    writing. ``kind`` is the name of its result."""

    def __init__(
        self, dataset: Dataset, key: str, operation: str, sinks: Iterable[Sink], kind: str, needs: str | None = "scores"
    ) -> None:
        stages = {READING: 1, operation: 10, WRITING: 1}
        super().__init__(dataset, key, operation, stages, sinks, kind=kind, needs=needs)
        self._kind = kind
        self._progress: Progress | None = None
        self._start = time.time()

    def read(self) -> RunPool:
        """The run as a :class:`~.arrays.RunPool`."""
        self.reporter.stage(READING)
        return read_pool(self.run)

    @property
    def progress(self) -> Progress:
        """Called with the fraction of the work that is done."""
        if self._progress is None:
            self._progress = self.reporter.stage(self._operation)
        return self._progress

    def save(self, result: dict[str, Any], settings: dict[str, Any], of_selection: bool = False) -> None:
        """Keeps the result (dict) with its settings, time, and what it was made from, see
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
        self.draft.results[self._kind] = plain({**result, "key": self.key, "made": made})
        self.publish()
