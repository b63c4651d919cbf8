"""What came back of all parts of a round, as one: which label each sample gets, and what stands in the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ... import rounds
from .backends.base import Returned
from .state import SentPart


@dataclass
class Merged:
    """``labels`` {id: class} that can be taken, ``skipped`` ids, and counts.

    ``unknown`` {class: images}: classes that the rounds do not have; ``doubled`` ids with labels that contradict each
    other; ``strangers`` labels of no sample that was sent. ``control``: {"images", "agreed", "waiting"}: on how many of
    the control set two or more annotators have given a label, on how many of these they agree, and how many wait for
    somebody's answer. ``disagreed``: ids of those on which they do not agree.
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


def merge(
    returned: Iterable[tuple[SentPart, Returned]],
    classes: Sequence[str],
    control: Mapping[str, int] | None = None,
    closing: bool = False,
) -> Merged:
    """Joins the parts.

    Args:
        returned: what came back of each part
        classes: that a label can be
        control: {id: how many annotators were asked}. Such a sample counts when all of them have answered, by a label
            of these classes or by skipping it. The majority of the labels counts; a tie gives none
        closing: nobody will answer any more, so the answers that there are count
    """
    votes: dict[str, list[str]] = {}
    found, known = Merged(), set(classes)
    answers: Counter[str] = Counter()
    for part, back in returned:
        found.strangers += back.strangers
        found.skipped |= back.skipped
        found.doubled += back.doubled
        answers.update(back.skipped)
        for i, label in back.labels.items():
            if label not in known:
                found.unknown[label] = found.unknown.get(label, 0) + 1
                continue
            votes.setdefault(i, []).append(label)
            answers[i] += 1
            found.by[i] = back.by.get(i) or part.annotator or ""
    control = control or {}
    waiting = {i for i, asked in control.items() if answers[i] < asked}
    later = set() if closing else waiting
    decided = rounds.majority({i: given for i, given in votes.items() if i not in later})
    found.labels = decided.labels
    found.doubled = list(dict.fromkeys([*found.doubled, *decided.ties]))
    found.skipped -= votes.keys() | later
    judged = {i: votes[i] for i in control if len(votes.get(i, ())) > 1}
    found.disagreed = [i for i, labels in judged.items() if len(set(labels)) > 1]
    if control:
        agreed = len(judged) - len(found.disagreed)
        found.control = {"images": len(judged), "agreed": agreed, "waiting": len(waiting)}
    return found


def changed(suggested: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, int]:
    """Of the labels that a suggestion was shown for: how many are another class."""
    shown = [i for i in labels if i in suggested]
    return {"shown": len(shown), "changed": sum(labels[i] != suggested[i] for i in shown)} if shown else {}
