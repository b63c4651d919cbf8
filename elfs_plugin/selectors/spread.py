"""How a choice is spread over parents (the videos of frames) and over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput
from ..validation import plain_number, shown, whole_number

if TYPE_CHECKING:
    from .pool import Pool

PER_PARENT = ("proportional", "one")


@dataclass(frozen=True)
class Spread:
    """Rules for rows that have a parent, and a time.

    * ``per_parent``: a whole number m, at most that many of a parent, locked ones counted; ``"proportional"``: of each
      as many as its share of all rows that may be chosen; ``"one"``: at least one of each, or one of as many as the
      budget allows, parents with a locked one passed over
    * ``gap``: the smallest number of seconds between two chosen rows of a parent, from the end of one to the start of
      the next, locked ones counted

    Raises:
        InvalidInput: for other values
    """

    per_parent: int | str | None = None
    gap: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "per_parent", _per_parent(self.per_parent))
        object.__setattr__(self, "gap", _gap(self.gap))

    @classmethod
    def of(cls, given: Spread | Mapping[str, Any] | None) -> Spread | None:
        """What was given as such rules, None where they rule nothing."""
        if given is None:
            return None
        if isinstance(given, Mapping):
            unknown = set(given) - {"per_parent", "gap"}
            if unknown:
                raise InvalidInput(f"A spread has per_parent and gap, not {', '.join(map(str, unknown))}.", "spread")
            given = cls(**given)
        if not isinstance(given, Spread):
            raise InvalidInput(f"A spread is given as per_parent and gap, not as {shown(given)}.", "spread")
        return None if given == cls() else given

    @property
    def needs(self) -> tuple[str, ...]:
        """The fields of a :class:`~.pool.Pool` that it looks at."""
        return ("parents",) if self.gap is None else ("parents", "times")

    def reads(self, pool: Pool) -> tuple[str, ...]:
        """What it needs, and what it takes into account where a pool has it."""
        return self.needs if self.gap is None or pool.extents is None else (*self.needs, "extents")


def _per_parent(value):
    if value is None or value in PER_PARENT:
        return value
    found = whole_number(value)
    if found is None or found < 1:
        raise InvalidInput(
            f"per_parent is a whole number from 1, or one of {', '.join(PER_PARENT)}, not {shown(value)}.", "per_parent"
        )
    return found


def _gap(value):
    if value is None:
        return None
    found = plain_number(value)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 <= found < 1e9:
        raise InvalidInput(f"The smallest gap is a number of seconds from 0, not {shown(value)}.", "gap")
    return float(found) or None
