"""One truthful progress bar.

Library functions take ``progress``, a callable ``progress(fraction, detail="")``: ``fraction`` of *their own* work in
[0, 1] and a few words. A :class:`Reporter` joins the stages of a job into one monotone bar and hands each
:class:`Event` to its sinks: a dialog, a delegated run, a panel, a terminal. The same call is where a job notices that
it has been cancelled, so a function that reports can be stopped.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TextIO

from .contracts import Progress, Sink
from .errors import Cancelled

logger = logging.getLogger(__name__)


def silent(fraction: float, detail: str = "") -> None:
    """A progress callable that does nothing."""


def part(progress: Progress, start: float, end: float) -> Progress:
    """The piece [start, end] of ``progress`` as a progress callable of its own."""

    def report(fraction, detail=""):
        progress(start + (end - start) * fraction, detail)

    return report


@dataclass(frozen=True)
class Event:
    """What a sink is told.

    ``overall`` and ``fraction`` are in [0, 1]: of the whole job and of its current stage. ``step`` counts from 1 to
    ``steps``. ``elapsed`` is in seconds.
    """

    stage: str
    step: int
    steps: int
    fraction: float
    overall: float
    detail: str
    elapsed: float

    @property
    def label(self) -> str:
        text = f"{self.stage} ({self.step}/{self.steps})"
        return f"{text}: {self.detail}" if self.detail else text


class Reporter:
    """Joins the stages of a job into one bar.

    Args:
        stages: mapping of stage name to its expected share of the work (any positive unit), in order
        sinks: callables that take an :class:`Event`; one that fails is dropped, the job goes on
        is_cancelled: a callable; when it returns True the next report raises :class:`~.errors.Cancelled`
        interval: the least seconds between two reports of one stage (changes of stage are always reported)
    """

    def __init__(
        self,
        stages: Mapping[str, float],
        sinks: Iterable[Sink] = (),
        is_cancelled: Callable[[], bool] | None = None,
        interval: float = 0.5,
    ) -> None:
        self._weights = dict(stages)
        self._names = list(self._weights)
        self._sinks = list(sinks)
        self._is_cancelled = is_cancelled
        self._interval = interval
        self._start = time.monotonic()
        self._last_emit = float("-inf")
        self._overall = 0.0
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        """Keeps a sentence that the user must see when the job is done."""
        self.warnings.append(text)

    def stage(self, name: str) -> Progress:
        """Enters a stage and returns its progress callable. Stages may be skipped, never repeated."""
        index = self._names.index(name)
        total = sum(self._weights.values())
        before = sum(self._weights[n] for n in self._names[:index]) / total
        share = self._weights[name] / total

        def report(fraction, detail=""):
            fraction = min(max(float(fraction), 0.0), 1.0)
            self._emit(name, index, fraction, before + share * fraction, detail)

        self._last_emit = float("-inf")
        report(0.0)
        return report

    def done(self, detail: str = "") -> None:
        """Reports the whole job as finished."""
        self._last_emit = float("-inf")
        self._emit(self._names[-1], len(self._names) - 1, 1.0, 1.0, detail, check=False)

    def _emit(self, name, index, fraction, overall, detail, check=True):
        now = time.monotonic()
        if now - self._last_emit < self._interval:
            return
        self._last_emit = now
        if check and self._is_cancelled is not None and self._is_cancelled():
            raise Cancelled()
        self._overall = max(self._overall, overall)
        event = Event(name, index + 1, len(self._names), fraction, self._overall, detail, now - self._start)
        for sink in list(self._sinks):
            try:
                sink(event)
            except Exception as error:  # a bar that cannot be drawn must never cost the job
                logger.warning("progress sink failed and is dropped: %s", error)
                self._sinks.remove(sink)


class TerminalBar:
    """A sink for a terminal: one line that is redrawn, or one line per stage when the stream is not a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._stage: str | None = None
        self._width = 0

    def __call__(self, event: Event) -> None:
        if event.overall >= 1.0:
            self._write(f"[100%] done in {event.elapsed:.0f} s", last=True)
        elif self._live:
            self._write(f"[{event.overall:4.0%}] {event.label}")
        elif event.stage != self._stage:
            self._stage = event.stage
            self._write(f"[{event.overall:4.0%}] {event.stage} ({event.step}/{event.steps})", last=True)

    def _write(self, text, last=False):
        if self._live:
            text = "\r" + text.ljust(self._width)
            self._width = len(text) - 1
        self._stream.write(text + ("\n" if last or not self._live else ""))
        self._stream.flush()
