"""A batch shared out among annotators, and what they say of the samples that all of them see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InvalidInput
from ..validation import shown, whole_number


@dataclass(frozen=True)
class Share:
    """``ids`` in order of labelling, one request to a labelling tool, for an ``annotator`` or None."""

    annotator: str | None
    ids: list[Any]


@dataclass(frozen=True)
class Agreement:
    """``share`` of the ``compared`` samples, those that two or more annotators have labelled, to which all of them gave
    one label; None where there are none. ``disagreements``: {id: {annotator: label}} of the others."""

    share: float | None
    compared: int
    disagreements: dict[Any, dict[str, Hashable]] = field(default_factory=dict)


@dataclass(frozen=True)
class Majority:
    """``labels`` {id: label} given more often than any other; ``ties`` {id: labels in the lead} where there is none."""

    labels: dict[Any, Hashable]
    ties: dict[Any, list[Hashable]]


def deal(
    ids: Sequence[Any], annotators: Sequence[str] | None = None, chunk: int | None = None, control: int = 0
) -> list[Share]:
    """Deals samples out in turns that change direction (a, b, b, a, …), so that everybody gets early and late ones.

    Args:
        ids: distinct, in order of labelling
        annotators: their names, or None for nobody in particular
        chunk: samples of one share at most (default: no limit)
        control: samples, spread evenly over the order, that each of two or more annotators gets, at the beginning of
            their list. Nobody can disagree with themselves: with fewer annotators there are none

    Returns:
        The shares of the first annotator in order, then those of the next; none that is empty

    Raises:
        InvalidInput: for names or ids that occur twice, and numbers out of range
    """
    ids = list(ids)
    names: list[str | None] = list(annotators or []) or [None]
    _check(ids, names, chunk, control)
    shared = _spread(len(ids), int(control)) if len(names) > 1 else []
    taken = set(shared)
    rest = [sample for place, sample in enumerate(ids) if place not in taken]
    lists: list[list[Any]] = [[ids[place] for place in shared] for _ in names]
    for place, sample in enumerate(rest):
        turn, who = divmod(place, len(names))
        lists[who if turn % 2 == 0 else -1 - who].append(sample)
    size = int(chunk) if chunk else max(len(ids), 1)
    return [
        Share(name, own[start : start + size]) for name, own in zip(names, lists) for start in range(0, len(own), size)
    ]


def agreement(labels_by: Mapping[str, Mapping[Any, Hashable]], control_ids: Sequence[Any]) -> Agreement:
    """Where annotators ({annotator: {id: label}}) differ on the samples that all of them were given."""
    compared, different = 0, {}
    for sample in control_ids:
        given = {name: labels[sample] for name, labels in labels_by.items() if sample in labels}
        if len(given) < 2:
            continue
        compared += 1
        if len(set(given.values())) > 1:
            different[sample] = given
    return Agreement(1 - len(different) / compared if compared else None, compared, different)


def majority(labels: Mapping[Any, Sequence[Hashable]]) -> Majority:
    """The label that most annotators gave to each sample ({id: labels}); samples without labels are in neither part."""
    found: dict[Any, Hashable] = {}
    ties: dict[Any, list[Hashable]] = {}
    for sample, given in labels.items():
        counts = Counter(given)
        most = max(counts.values(), default=0)
        first = [label for label, count in counts.items() if count == most]
        if len(first) == 1:
            found[sample] = first[0]
        elif first:
            ties[sample] = sorted(first, key=str)
    return Majority(found, ties)


def _spread(n, count):
    """``count`` of n places, each in the middle of its stretch."""
    return [(2 * number + 1) * n // (2 * count) for number in range(count)]


def _check(ids, names, chunk, control):
    if len(set(ids)) < len(ids):
        raise InvalidInput("A sample is in the batch twice.", "ids")
    if len(set(names)) < len(names):
        raise InvalidInput("An annotator is named twice.", "annotators")
    if chunk is not None and (whole_number(chunk) or 0) < 1:
        raise InvalidInput(f"A chunk must hold a whole number of images from 1, not {shown(chunk)}.", "chunk")
    number = whole_number(control)
    if number is None or not 0 <= number <= len(ids):
        raise InvalidInput(
            f"The control set must be a whole number of images from 0 to the batch's {len(ids):,}, not "
            f"{shown(control)}.",
            "control",
        )
