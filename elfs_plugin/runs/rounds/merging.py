"""What came back of all parts of a round, as one: which label each sample gets, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ... import rounds
from .backends.base import Returned
from .state import SentPart


@dataclass
class Merged:
    """``labels`` {id: class} that can be taken, ``skipped`` ids, and counts.

    ``unknown`` {class: images}: classes that the rounds do not have; ``doubled`` ids with labels that contradict each
    other; ``strangers`` labels of no sample that was sent. ``control``: {"images", "agreed"} of those that several
    annotators have labelled.
    """

    labels: dict[str, str] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    unknown: dict[str, int] = field(default_factory=dict)
    doubled: list[str] = field(default_factory=list)
    strangers: int = 0
    by: dict[str, str] = field(default_factory=dict)
    control: dict[str, int] = field(default_factory=dict)
    disagreed: list[str] = field(default_factory=list)


def within(returned: Returned, ids: Sequence[str]) -> Returned:
    """What came back of the samples of a part; labels of others are strangers, whatever the tool has said."""
    own = set(ids)
    others = [i for i in (*returned.labels, *returned.doubled) if i not in own]
    if not others:
        return returned
    return replace(
        returned,
        labels={i: label for i, label in returned.labels.items() if i in own},
        skipped=returned.skipped & own,
        doubled={i: labels for i, labels in returned.doubled.items() if i in own},
        strangers=returned.strangers + len(others),
    )


def merge(returned: Iterable[tuple[SentPart, Returned]], classes: Sequence[str], control: Sequence[str] = ()) -> Merged:
    """Joins the parts. Where annotators disagree on a control image the majority counts; a tie gives no label."""
    votes: dict[str, list[str]] = {}
    found, known = Merged(), set(classes)
    for part, back in returned:
        found.strangers += back.strangers
        found.skipped |= back.skipped
        found.doubled += back.doubled
        for i, label in back.labels.items():
            if label not in known:
                found.unknown[label] = found.unknown.get(label, 0) + 1
                continue
            votes.setdefault(i, []).append(label)
            found.by[i] = back.by.get(i) or part.annotator or ""
    decided = rounds.majority(votes)
    found.labels = decided.labels
    found.doubled = list(dict.fromkeys([*found.doubled, *decided.ties]))
    found.skipped -= set(votes)
    judged = {i: votes[i] for i in control if len(votes.get(i, ())) > 1}
    found.disagreed = [i for i, labels in judged.items() if len(set(labels)) > 1]
    if judged:
        found.control = {"images": len(judged), "agreed": len(judged) - len(found.disagreed)}
    return found


def changed(suggested: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, int]:
    """Of the labels that a suggestion was shown for: how many are another class."""
    shown = [i for i in labels if i in suggested]
    return {"shown": len(shown), "changed": sum(labels[i] != suggested[i] for i in shown)} if shown else {}
