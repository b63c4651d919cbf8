"""A campaign: what its kinds of trials share, and how one trial is made."""

import random
import time

from .checks import Examiner, last_line
from .report import FAILED, PASSED, SKIPPED, Trial
from .scenes import Scenes


class NotPossible(Exception):
    """A trial cannot be made on this machine; the message says why."""


class Campaign:
    """``count`` is the number of moments for the first ``run_elfs``; the other numbers follow from it. A
    trial may leave a ``note``, for one that came too late for any harm."""

    def __init__(self, world, nursery, seed, count, operator=None):
        self.world, self.nursery, self.count = world, nursery, count
        self._seed, self._operators = seed, operator.split(",") if operator else None
        self.scenes = Scenes(world, nursery)
        self.note = ""
        self.examiner = Examiner(world, nursery, self.scenes)

    def wanted(self, names):
        """Those of the scenes' names that are to be disturbed: all, or some."""
        return [name for name in names if self._operators is None or name in self._operators]

    def random(self, purpose):
        """The same for the same seed and purpose, whatever else is done."""
        return random.Random(f"{self._seed} {purpose}")

    def play(self, kind, trials, report):
        """Makes the trials of a kind: (operator, how, function that returns reasons to fail)."""
        for what, how, function in trials:
            start, self.note = time.monotonic(), ""
            try:
                reasons = list(dict.fromkeys(function()))
                outcome = FAILED if reasons else PASSED
            except NotPossible as error:
                outcome, reasons = SKIPPED, [str(error)]
            except Exception as error:  # one trial that cannot be made must not end the others, nor pass
                outcome, reasons = FAILED, [f"the trial itself: {type(error).__name__}: {last_line(error)}"]
            report.add(Trial(kind, what, how, outcome, reasons, round(time.monotonic() - start, 1), self.note))
