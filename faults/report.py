"""One line for each trial, a table by kind, and the same as JSON."""

import json
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

PASSED, FAILED, SKIPPED = "passed", "failed", "not possible here"


@dataclass
class Trial:
    """``kind`` and ``what`` name the row of the table it counts for; ``how`` says what was done to it, ``note``
    whether it had no effect."""

    kind: str
    what: str
    how: str
    outcome: str
    reasons: list = field(default_factory=list)
    seconds: float = 0.0
    note: str = ""


class Report:
    def __init__(self, seed):
        self.trials = []
        self._seed = seed
        self._start = time.monotonic()

    def add(self, trial):
        self.trials.append(trial)
        line = f"{len(self.trials):4} {trial.kind:8} {trial.what:24} {trial.how:64}"
        note = f" ({trial.note})" if trial.note else ""
        print(f"{line} {trial.outcome:6} {trial.seconds:5.1f} s{note}", flush=True)
        for reason in trial.reasons:
            print(f"       - {reason}", flush=True)

    @property
    def failed(self):
        return sum(trial.outcome == FAILED for trial in self.trials)

    def table(self):
        """A Markdown table: a row for each kind and operator."""
        rows = {}
        for trial in self.trials:
            rows.setdefault((trial.kind, trial.what), []).append(trial)
        lines = ["| kind | operator | trials | passed | failed | not possible here |", "|---|---|---|---|---|---|"]
        for (kind, what), trials in rows.items():
            lines.append(f"| {kind} | {what} | {len(trials)} | {_cells(trials)} |")
        lines.append(f"| **all** | | {len(self.trials)} | {_cells(self.trials)} |")
        return "\n".join(lines)

    def summary(self):
        minutes = (time.monotonic() - self._start) / 60
        notes = Counter(trial.note for trial in self.trials if trial.note)
        told = "".join(f" {note[:1].upper()}{note[1:]}: {count} trials." for note, count in sorted(notes.items()))
        return f"{self.table()}\n\nSeed {self._seed}, {minutes:.1f} minutes.{told}"

    def write(self, path):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        counts = Counter(trial.outcome for trial in self.trials)
        found = {
            "seed": self._seed,
            "seconds": round(time.monotonic() - self._start, 1),
            "counts": dict(counts),
            "trials": [asdict(trial) for trial in self.trials],
        }
        path.write_text(json.dumps(found, indent=1))


def _cells(trials):
    return " | ".join(str(sum(trial.outcome == outcome for trial in trials)) for outcome in (PASSED, FAILED, SKIPPED))
