"""A batch shared out among the classes that a model gives the samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..contracts import Array, Integers, Mask
from ..errors import InvalidInput
from ..pruning.quotas import shares
from ..validation import shown, whole_number


@dataclass(frozen=True)
class Group:
    """The samples, ``members`` (N,) bool, from which ``count`` are to be chosen."""

    members: Mask
    count: int


def as_mapping(given: Mapping[Any, int] | str | None) -> dict[Any, Any]:
    """{class: budget}, also of a text: ``cat=20, dog=10``, with commas or line breaks between. The budgets are as they
    come, see :func:`checked`.

    Raises:
        InvalidInput: for a text of another form, and a class that it names twice
    """
    if not isinstance(given, str):
        return dict(given or {})
    found: dict[Any, Any] = {}
    for piece in given.replace("\n", ",").split(","):
        name, sign, number = (part.strip() for part in piece.rpartition("="))
        if not (name or sign or number):
            continue
        if not name or not number.isdecimal():
            raise InvalidInput(
                f"Budgets of classes are given as cat=20, dog=10; {shown(piece.strip())} is none.", "class_budgets"
            )
        if name in found:
            raise InvalidInput(f"The class {shown(name)} has two budgets.", "class_budgets")
        found[name] = int(number)
    return found


def checked(class_budgets: Mapping[Any, int] | str | None, budget: int) -> dict[Any, int]:
    """Budgets by class as whole numbers, see :func:`as_mapping`.

    Raises:
        InvalidInput: for other numbers, and for more than the whole budget
    """
    found = {}
    for name, wanted in as_mapping(class_budgets).items():
        count = whole_number(wanted)
        if count is None or count < 0:
            raise InvalidInput(
                f"The budget of the class {shown(name)} must be a whole number from 0, not {shown(wanted)}.",
                "class_budgets",
            )
        found[name] = count
    total = sum(found.values())
    if total > budget:
        raise InvalidInput(
            f"The budgets of the classes are {total:,} images together, more than the budget of {budget:,}.",
            "class_budgets",
        )
    return found


def grouped(
    wanted: Mapping[Any, int], budget: int, free: Mask, classes: Array, predicted: Integers
) -> tuple[list[Group], list[str]]:
    """Groups of free samples, ``budget`` in all, and sentences about classes that have too few.

    A class that is named gives as many as it is wanted to, as far as it has them; all others give the rest, and where
    these are too few the named ones give more, in proportion to what they have left.

    Args:
        classes: (C,) the model's, ``predicted`` (N,) places in them
    """
    if not wanted:
        return [Group(free, budget)], []
    codes = {name: code for code, name in enumerate(classes.tolist())}
    members = [free & (predicted == codes.get(name, -1)) for name in wanted]
    others = free & ~np.any(members, axis=0)
    has = np.array([int(mask.sum()) for mask in [*members, others]])
    counts = np.minimum(has, [*wanted.values(), budget - sum(wanted.values())])
    warnings = [
        _too_few(name, count, int(own), name in codes) for (name, count), own in zip(wanted.items(), has) if own < count
    ]
    missing = budget - int(counts.sum())
    first = min(missing, int(has[-1] - counts[-1]))
    counts[-1] += first
    if missing > first:
        left = has - counts
        counts += shares(missing - first, left, left)
    return [Group(mask, int(count)) for mask, count in zip([*members, others], counts) if count], warnings


def _too_few(name, wanted, has, known):
    if not known:
        return f"No label is of the class {shown(name)} yet, so no image can be taken for one: 0 of {wanted:,} chosen."
    return f"The model takes only {has:,} images that are left for {shown(name)}: not {wanted:,} as wanted."
