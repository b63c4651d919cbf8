"""The rounds of a run as they are shown: what happened in each, how well it went, what is to be done next.

All of it is read from the run's record; what must be counted on the dataset is handed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .state import IN_APP, RETURNED, SELECTED, Round, SentPart, labelling_of, rounds_of

if TYPE_CHECKING:
    from ..run import Run
    from .queue import Counts

CHOOSE, SEND, LABEL, TAKE_BACK, LEARN = "choose", "send", "label", "take_back", "learn"
"""Names of steps."""

LEARNT = "learnt"
"""In ``when`` of a round whose labels have been learnt from."""


@dataclass(frozen=True)
class Measured:
    """What the golden set said after a round: ``accuracy`` with its ``standard_error`` (None: not known), on ``n``
    samples, of a model that had ``labels`` of them all; ``random`` is the accuracy of as many drawn at random."""

    number: int
    accuracy: float
    standard_error: float | None = None
    n: int = 0
    labels: int = 0
    random: float | None = None


@dataclass(frozen=True)
class Entry:
    """A round as it is shown. ``to`` is the name of the back end that it was sent to, ``counts`` what was counted on
    the dataset, or None."""

    number: int
    state: str
    method: str
    chosen: int
    sources: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    to: str | None = None
    parts: tuple[SentPart, ...] = ()
    returned: Mapping[str, Any] = field(default_factory=dict)
    measured: Measured | None = None
    when: float | None = None
    counts: Counts | None = None


@dataclass(frozen=True)
class Step:
    """What is to be done next, by ``name`` (:data:`CHOOSE` …), and ``text``, a sentence that says why."""

    name: str
    text: str


def timeline(run: Run, counted: Mapping[int, Counts] | None = None) -> list[Entry]:
    """The rounds in order; ``counted`` maps numbers of rounds to what was counted."""
    return [_entry(one, (counted or {}).get(one.number)) for one in rounds_of(run.record)]


def measurements(run: Run) -> list[Measured]:
    """The golden set's curve: the rounds after which it was asked."""
    return [found for found in map(_measured, rounds_of(run.record)) if found is not None]


def next_step(run: Run, waiting: int | None = None) -> Step:
    """What is to be done next; ``waiting`` is how many samples of the last round have no label yet, where that was
    counted."""
    rounds = rounds_of(run.record)
    if not rounds:
        return Step(CHOOSE, "Choose the first batch.")
    last = rounds[-1]
    if not last.is_open:
        return _after(run, last)
    if last.state == SELECTED or any(part.state == "planned" for part in last.parts):
        return _sending(last)
    if last.sent.get("to") == IN_APP and waiting != 0:
        left = "images wait" if waiting is None else f"{waiting:,} image{'s wait' if waiting != 1 else ' waits'}"
        return Step(LABEL, f"Round {last.number}: {left} for a label.")
    some = "Some labels of it are back; take back the others" if last.state == RETURNED else "Take its labels back"
    return Step(TAKE_BACK, f"Round {last.number} is being labelled. {some} when they are ready.")


def _sending(last):
    if last.state != SELECTED:
        return Step(SEND, f"Round {last.number} has been sent in part only. Send the rest.")
    return Step(SEND, f"Round {last.number} is chosen: {last.chosen:,} images. Send them to be labelled.")


def _after(run, last):
    if LEARNT in last.when or last.measured:
        return Step(CHOOSE, f"Round {last.number} is done. Choose the next batch.")
    labelling = labelling_of(run.record)
    golden = " and measure on the golden set what they are worth" if labelling and labelling.golden else ""
    return Step(LEARN, f"The labels of round {last.number} are back. Learn from them{golden}.")


def _entry(one: Round, counts):
    return Entry(
        number=one.number,
        state=one.state,
        method=one.method,
        chosen=one.chosen,
        sources=one.sources,
        reason=one.reason,
        to=one.sent.get("to"),
        parts=tuple(one.parts),
        returned=one.returned,
        measured=_measured(one),
        when=one.when.get(one.state),
        counts=counts,
    )


def _measured(one: Round):
    found = one.measured
    if found.get("accuracy") is None:
        return None
    random = found.get("random")
    if isinstance(random, Mapping):
        random = random.get("accuracy")
    return Measured(
        number=one.number,
        accuracy=found["accuracy"],
        standard_error=found.get("standard_error"),
        n=found.get("n") or 0,
        labels=found.get("labels") or 0,
        random=random,
    )
